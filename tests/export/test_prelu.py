"""Replaced PReLUs give the same values as ONNX's reference evaluator, with the same weights."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from export import artefact, prelu

SLOPES = np.array([-0.8, 0.0, 0.25, 1.0, 1.12], np.float32)  # SFace's lie between -0.82 and 1.13


def net(slopes: NDArray[np.float32]) -> onnx.ModelProto:
    """Conv, PRelu, Conv, PRelu with the same slopes."""
    random, channels = np.random.default_rng(0), len(SLOPES)
    weights: dict[str, NDArray[np.floating]] = {
        "first": random.normal(size=(channels, 3, 3, 3)),
        "second": random.normal(size=(channels, channels, 1, 1)),
        "slopes": slopes,
    }
    steps = [
        helper.make_node("Conv", ["data", "first"], ["a"]),
        helper.make_node("PRelu", ["a", "slopes"], ["b"]),
        helper.make_node("Conv", ["b", "second"], ["c"]),
        helper.make_node("PRelu", ["c", "slopes"], ["d"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", size, "h", "w"]) for name, size in (("data", 3), ("d", channels))]
    tensors = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    return helper.make_model(helper.make_graph(steps, "net", ends[:1], ends[1:], tensors), opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def operators(model: onnx.ModelProto) -> set[str]:
    return {node.op_type for node in model.graph.node}


def test_the_same_values_and_the_same_model_id() -> None:
    model, before = net(SLOPES.reshape(-1, 1, 1)), net(SLOPES.reshape(-1, 1, 1))
    assert prelu.spell_out(model.graph) == 2 and "PRelu" not in operators(model)
    onnx.checker.check_model(model, full_check=True)
    data = np.random.default_rng(1).normal(size=(2, 3, 9, 7)).astype(np.float32)
    expected = np.asarray(ReferenceEvaluator(before).run(None, {"data": data}))[0]
    assert (expected < 0).any() and (expected > 0).any()
    got = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"data": data})[0]
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    assert artefact.model_id(model) == artefact.model_id(before)


@pytest.mark.parametrize("slopes", [np.full((1,), 0.25), SLOPES.reshape(1, -1, 1, 1), np.full((1, 7, 5), 0.25)], ids=["one", "rank 4", "by place"])
def test_other_slopes_are_left_as_they_are(slopes: NDArray[np.float32]) -> None:
    model = net(slopes)
    assert prelu.spell_out(model.graph) == 0
    assert model.SerializeToString() == net(slopes).SerializeToString()
