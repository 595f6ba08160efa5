"""Bias correction: rounding weights and activations shifts the mean output of a layer, above all after a ReLU; the shift is taken off its bias.

Each quantized layer is given the float model's activations and compared with the float layer, so that it corrects its own shift and no other's.
Source: M. Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019, https://arxiv.org/abs/1906.04721.
"""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper

LAYER = "Conv"
PREFIX = "int8_"  # of the quantized graph's tensors beside the float graph's


def corrected(source: onnx.ModelProto, quantized: onnx.ModelProto, crops: NDArray[np.uint8]) -> onnx.ModelProto:
    """The float model with the biases that its quantized graph needs; quantize it again with the same ranges.

    Args:
        quantized: the graph in QDQ form that was made from `source`, with its names.
        crops: (N, 112, 112, 3) uint8 RGB.
    """
    float_ = {node.name: node.output[0] for node in source.graph.node if node.op_type == LAYER}
    rounded = {node.name: PREFIX + node.output[0] for node in quantized.graph.node if node.name in float_}
    means = _means(beside(source, quantized), [*float_.values(), *rounded.values()], crops)
    result: onnx.ModelProto = onnx.ModelProto.FromString(source.SerializeToString())
    weights = {tensor.name: tensor for tensor in result.graph.initializer}
    for node in result.graph.node:
        if node.op_type == LAYER:
            shift = means[rounded[node.name]] - means[float_[node.name]]
            _subtract(result.graph, weights, node, shift.astype(np.float32))
    return result


def beside(source: onnx.ModelProto, quantized: onnx.ModelProto) -> onnx.ModelProto:
    """Both graphs in one model; each activation that the second rounds is the first one's."""
    model: onnx.ModelProto = onnx.ModelProto.FromString(source.SerializeToString())
    shared = {name for node in source.graph.node for name in node.output} | {value.name for value in source.graph.input}
    for tensor in quantized.graph.initializer:
        copy = model.graph.initializer.add()
        copy.CopyFrom(tensor)
        copy.name = PREFIX + tensor.name
    for node in quantized.graph.node:
        copy = model.graph.node.add()
        copy.CopyFrom(node)
        copy.name = PREFIX + node.output[0]
        rounds = node.op_type == "QuantizeLinear"
        inputs = [name if rounds and name in shared or name == source.graph.input[0].name else _apart(name) for name in node.input]
        del copy.input[:], copy.output[:]
        copy.input.extend(inputs)
        copy.output.extend(map(_apart, node.output))
    return model


def _apart(name: str) -> str:
    """Of a tensor of the quantized graph; one that is left out, such as the limits of a Clip, stays without a name."""
    return name and PREFIX + name


def _means(model: onnx.ModelProto, names: list[str], crops: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
    """(C,) mean of each channel of the named tensors."""
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    each = [[values.mean(axis=(0, 2, 3)) for values in session.run(names, {model.graph.input[0].name: crop[None]})] for crop in crops]
    return {name: np.mean(rows, axis=0, dtype=np.float64) for name, rows in zip(names, zip(*each, strict=True), strict=True)}


def _subtract(graph: onnx.GraphProto, weights: dict[str, onnx.TensorProto], node: onnx.NodeProto, shift: NDArray[np.float32]) -> None:
    if node.input[2:] and node.input[2]:
        before = weights[node.input[2]]
        before.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(before) - shift, before.name))
    else:
        del node.input[2:]
        node.input.append(f"{node.output[0]}_shift")
        graph.initializer.append(numpy_helper.from_array(-shift, node.input[2]))
