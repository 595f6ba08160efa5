"""`python -m export yunet ORIGINAL OUT`: arrange the face detector that OpenCV publishes so that onnxruntime runs it in less than half the time.

The same function: weights packed as int8 in blocks are unpacked, the four heads of each grid are calculated by two convolutions in place of
eight, and the net takes pictures of any size, several at a time. Names and shapes of the outputs stay, so OpenCV's FaceDetectorYN reads the file as well.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from device.contract import ClockfaceError
from export import artefact
from training import arguments

STRIDES = (8, 16, 32)  # px of the input per cell of each grid
HEADS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}  # numbers per cell; the first two are shares, after a Sigmoid
OPSET, IR = 17, 8  # that older runtimes read

Weights = dict[str, NDArray[np.generic]]


class YuNetError(ClockfaceError):
    """The original is not the detector that is expected."""

    code = "yunet"


def arranged(original: onnx.ModelProto) -> onnx.ModelProto:
    """The detector arranged as said above.

    Raises:
        YuNetError: it is not YuNet as OpenCV publishes it.
    """
    try:
        weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in original.graph.initializer}
        nodes, weights = _joined(_unpacked(original.graph, weights), weights)
    except (KeyError, IndexError, ValueError) as error:
        raise YuNetError(f"this is not YuNet as OpenCV publishes it (at {error}); give face_detection_yunet_2023mar_int8bq.onnx of the OpenCV Zoo") from error
    source = original.graph.input[0].name
    grids = [(head, f"cells_{stride}", stride) for head in HEADS for stride in STRIDES]
    outputs = [helper.make_tensor_value_info(f"{head}_{stride}", onnx.TensorProto.FLOAT, ["N", cells, HEADS[head]]) for head, cells, stride in grids]
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "yunet",
        [helper.make_tensor_value_info(source, onnx.TensorProto.FLOAT, ["N", 3, "height", "width"])],
        outputs,
        [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in sorted(weights.items()) if name in used],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR, producer_name="clockface")
    onnx.checker.check_model(model, full_check=True)
    return model


def _unpacked(graph: onnx.GraphProto, weights: Weights) -> list[onnx.NodeProto]:
    """The nodes that calculate from the picture; what others make of weights alone is added to `weights`."""
    nodes = []
    for node in graph.node:
        options = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        if node.op_type == "DequantizeLinear":
            packed, scale, zero = (weights[name] for name in node.input)
            axis, block = options["axis"], options["block_size"]
            of = np.arange(packed.shape[axis]) // block  # the block of each row
            weights[node.output[0]] = (packed.astype(np.float32) - zero.take(of, axis).astype(np.float32)) * scale.take(of, axis)
        elif node.op_type == "Reshape" and node.input[0] in weights:
            weights[node.output[0]] = weights[node.input[0]].reshape(weights[node.input[1]].tolist())
        else:
            nodes.append(node)
    return nodes


def _joined(nodes: list[onnx.NodeProto], weights: Weights) -> tuple[list[onnx.NodeProto], Weights]:
    """The nodes and weights with the heads of each grid in one."""
    made = {name: node for node in nodes for name in node.output}
    weights = {**weights, "cells": np.array([0, -1, sum(HEADS.values())]), "parts": np.array(list(HEADS.values()))}
    old, new = [], []
    for stride in STRIDES:
        chains = [_chain(made, f"{head}_{stride}") for head in HEADS]
        old += [node for chain in chains for node in chain]
        (source,) = {chain[-1].input[0] for chain in chains}
        for name, place in (("spatial", -2), ("pointwise", -1)):
            for kind, which in (("weight", 1), ("bias", 2)):
                weights[f"{name}.{kind}_{stride}"] = np.concatenate([weights[chain[place].input[which]] for chain in chains])
        new += _heads(source, stride)
    return [node for node in nodes if node not in old] + new, weights


def _chain(made: dict[str, onnx.NodeProto], output: str) -> list[onnx.NodeProto]:
    """The nodes of one head, from its output back to its first convolution.

    Raises:
        ValueError: it has other layers.
    """
    chain = [made[output]]
    while len(chain) < 2 or [node.op_type for node in chain[-2:]] != ["Conv", "Conv"]:
        chain.append(made[chain[-1].input[0]])
    kinds = [node.op_type for node in chain]
    if kinds[-4:] != ["Reshape", "Transpose", "Conv", "Conv"] or kinds[:-4] not in ([], ["Sigmoid"]):
        raise ValueError(f"{output} is made by {', '.join(kinds)}")
    return chain


def _heads(source: str, stride: int) -> list[onnx.NodeProto]:
    """Two convolutions for all heads of one grid: of single pixels, then of single channels."""
    width = sum(HEADS.values())

    def names(*of: str) -> list[str]:
        return [f"{name}_{stride}" for name in of]

    return [
        helper.make_node("Conv", [source, *names("pointwise.weight", "pointwise.bias")], names("pointwise"), kernel_shape=[1, 1]),
        helper.make_node("Conv", names("pointwise", "spatial.weight", "spatial.bias"), names("spatial"), kernel_shape=[3, 3], pads=[1] * 4, group=width),
        helper.make_node("Transpose", names("spatial"), names("last"), perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", [*names("last"), "cells"], names("flat")),
        helper.make_node("Split", [*names("flat"), "parts"], names("class", "object", "bbox", "kps"), axis=2),
        helper.make_node("Sigmoid", names("class"), names("cls")),
        helper.make_node("Sigmoid", names("object"), names("obj")),
    ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("original", type=Path, help="face_detection_yunet_2023mar_int8bq.onnx of the OpenCV Zoo")
    parser.add_argument("out", type=arguments.file)


def run(args: argparse.Namespace) -> int:
    try:
        model = arranged(artefact.read(args.original))
    except YuNetError as error:
        raise YuNetError(f"{args.original}: {error}") from error
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_bytes(model.SerializeToString(deterministic=True))
    return 0
