"""Multiply-accumulates (MACs) of a model file for one crop: those of convolutions and matrix products with weights, in float or int8."""

from __future__ import annotations

import math
from pathlib import Path

import onnx

from export import artefact
from export.foreign import from_weights


def macs(path: Path) -> int:
    """Each weight of a convolution is used once at each position of its output, each of a matrix product once."""
    model = artefact.read(path)
    shapes, fixed = _shapes(model), from_weights(model.graph)
    total = 0
    for node in model.graph.node:
        if node.op_type in ("Conv", "Gemm", "MatMul") and node.input[1] in fixed:
            positions = shapes[node.output[0]][2:] if node.op_type == "Conv" else []
            total += math.prod(shapes[node.input[1]]) * math.prod(positions)
    return total


def _shapes(model: onnx.ModelProto) -> dict[str, list[int]]:
    """The shapes of all tensors for one crop."""
    one = onnx.ModelProto.FromString(model.SerializeToString())
    one.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    inferred = onnx.shape_inference.infer_shapes(one, data_prop=True).graph
    found = {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in inferred.value_info}
    return found | {tensor.name: list(tensor.dims) for tensor in inferred.initializer}
