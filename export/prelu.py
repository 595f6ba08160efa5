"""Replace PReLU by operators that are fast in onnxruntime on CPUs: the same function, the same weights.

onnxruntime's PRelu kernel takes half of SFace's time: it is not vectorised, and on x86 each one leaves the blocked layout in which the
convolutions around it compute. x + (1 - slope) * max(0, -x) is the same function; a factor per channel written as BatchNormalization stays in
that layout, fused with the Relu or the sum next to it (docs/experiments-device.md).
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PREFIX = "clockface_prelu_"  # of the names added to the graph


def spell_out(graph: onnx.GraphProto) -> int:
    """Replace each PRelu that has one float32 slope per channel, in place; return the number replaced.

    Only the slopes remain weights. The other constants are nodes that the runtime folds, so the model's id does not change.
    """
    slopes = {tensor.name: tensor.dims[0] for tensor in graph.initializer if _per_channel(tensor)}
    found = [node for node in graph.node if node.op_type == "PRelu" and node.input[1] in slopes]
    nodes = []
    if found:
        nodes = [_constant("one", np.float32(1)), _constant("flat", np.array([-1], np.int64))]
    for channels in sorted({slopes[node.input[1]] for node in found}):
        nodes += [_constant(f"{value}_{channels}", np.full(channels, value, np.float32)) for value in (-1, 0, 1)]
    for node in graph.node:
        nodes += _spelt(node, slopes[node.input[1]]) if node in found else [node]
    del graph.node[:]
    graph.node.extend(nodes)
    return len(found)


def _per_channel(tensor: onnx.TensorProto) -> bool:
    return tensor.data_type == TensorProto.FLOAT and len(tensor.dims) == 3 and tensor.dims[1:] == [1, 1]


def _constant(name: str, value: np.ndarray | np.generic) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [PREFIX + name], value=numpy_helper.from_array(np.asarray(value)))


def _spelt(node: onnx.NodeProto, channels: int) -> list[onnx.NodeProto]:
    source, slope, result = node.input[0], node.input[1], node.output[0]
    own = f"{PREFIX}{result}_"

    def scaled(value: str, factor: str, output: str) -> onnx.NodeProto:
        zero, one = (f"{PREFIX}{value}_{channels}" for value in (0, 1))
        return helper.make_node("BatchNormalization", [value, factor, zero, zero, one], [output], name=output, epsilon=0.0)

    return [
        helper.make_node("Sub", [PREFIX + "one", slope], [own + "rest"], name=own + "rest"),
        helper.make_node("Reshape", [own + "rest", PREFIX + "flat"], [own + "factor"], name=own + "factor"),
        scaled(source, f"{PREFIX}-1_{channels}", own + "mirrored"),
        helper.make_node("Relu", [own + "mirrored"], [own + "below"], name=own + "below"),
        scaled(own + "below", own + "factor", own + "lift"),
        helper.make_node("Add", [source, own + "lift"], [result], name=own + "sum"),
    ]
