"""The biases of a quantized graph are those with which each layer has the float layer's mean output."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export import bias_correction

STEP = 16.0
WEIGHT = np.array([[0.30, 0.41, -0.20], [0.11, -0.52, 0.93]], np.float32)
ROUNDED = np.array([[0.25, 0.50, -0.25], [0.00, -0.50, 1.00]], np.float32)
CROPS = np.random.default_rng(0).integers(0, 256, (5, 112, 112, 3), np.uint8)


def model(nodes: list[onnx.NodeProto], **constants: Any) -> onnx.ModelProto:
    start = [helper.make_node("Cast", ["crops"], ["cast"], to=TensorProto.FLOAT), helper.make_node("Transpose", ["cast"], ["pixels"], perm=[0, 3, 1, 2])]
    crops = helper.make_tensor_value_info("crops", TensorProto.UINT8, ["N", 112, 112, 3])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["N", 2, 112, 112])
    weights = [numpy_helper.from_array(np.asarray(values), name) for name, values in constants.items()]
    return helper.make_model(helper.make_graph([*start, *nodes], "net", [crops], [out], weights), opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def test_the_shift_of_weights_and_activations_is_taken_off_the_bias() -> None:
    bias = np.array([1.0, -2.0], np.float32)
    conv = helper.make_node("Conv", ["pixels", "w", "b"], ["out"], name="layer")
    source = model([conv], w=WEIGHT[:, :, None, None], b=bias)
    rounding = [
        helper.make_node("QuantizeLinear", ["pixels", "scale", "zero"], ["steps"]),
        helper.make_node("DequantizeLinear", ["steps", "scale", "zero"], ["rounded"]),
        helper.make_node("Conv", ["rounded", "w", "b"], ["out"], name="layer"),
    ]
    quantized = model(rounding, w=ROUNDED[:, :, None, None], b=bias, scale=np.float32(STEP), zero=np.uint8(0))

    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in bias_correction.corrected(source, quantized, CROPS).graph.initializer}
    mean, rounded = CROPS.mean((0, 1, 2)), (STEP * np.clip(np.rint(CROPS / STEP), 0, 255)).mean((0, 1, 2))
    np.testing.assert_allclose(found["b"], bias - (ROUNDED @ rounded - WEIGHT @ mean), rtol=1e-4)
    np.testing.assert_array_equal(found["w"][:, :, 0, 0], WEIGHT)


@pytest.mark.parametrize("inputs", [["bounded", "w"], ["bounded", "w", ""]])
def test_a_layer_without_bias_gets_one(inputs: list[str]) -> None:
    """Inputs that are left out have no name, in the layer and in others."""
    nodes = [helper.make_node("Clip", ["pixels", "", "most"], ["bounded"]), helper.make_node("Conv", inputs, ["out"], name="layer")]
    source, quantized = (model(nodes, w=w[:, :, None, None], most=np.float32(255)) for w in (WEIGHT, ROUNDED))
    corrected = bias_correction.corrected(source, quantized, CROPS)
    onnx.checker.check_model(corrected)
    [layer] = [node for node in corrected.graph.node if node.op_type == "Conv"]
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in corrected.graph.initializer}
    np.testing.assert_allclose(found[layer.input[2]], (WEIGHT - ROUNDED) @ CROPS.mean((0, 1, 2)), rtol=1e-4)
