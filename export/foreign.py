"""Models of others as their exporters wrote them: brought into one form, and run as they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from device.contract import CARD_KEY, CROP_SIZE, ClockfaceError

PREFIX = "clockface_"  # of the names added to the graph
FIRST_IR = 4  # of the ONNX format, that lets weights be no inputs
FORMS = ((3, CROP_SIZE, CROP_SIZE), (CROP_SIZE, CROP_SIZE, 3))  # of a crop; colours first, or last as TensorFlow has them
KINDS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8)


class AdoptError(ClockfaceError):
    """The original cannot be converted to the contract."""

    code = "adopt"


def refuse_ours(model: onnx.ModelProto, path: Path) -> None:
    """Raises:
    AdoptError: the model has a card, so it is under the contract.
    """
    if any(entry.key == CARD_KEY for entry in model.metadata_props):
        raise AdoptError(f"{path} is under the contract already: use it as it is, or give the original as it was published")


def refuse_ranges_of_batches(model: onnx.ModelProto) -> None:
    """Raises:
    AdoptError: int8 ranges are taken anew from each batch, so that the embedding of a crop depends on the others in it.
    """
    if any(node.op_type == "DynamicQuantizeLinear" for node in model.graph.node):
        said = "its int8 ranges are taken from each batch (dynamic quantization), so that a crop's embedding depends on the crops beside it"
        raise AdoptError(f"{said}; adopt the float model that it was made from, then use `python -m export quantize`")


def tidied(original: onnx.ModelProto, output: str | None = None) -> onnx.ModelProto:
    """A copy of what an exporter wrote, with one input (N, 3, 112, 112), one output and the names that the contract needs left free.

    Args:
        output: the output to keep, where there are several.

    Raises:
        AdoptError: more than one input, or no picture of 112 x 112; several outputs and none is named; no such output.
    """
    model = drop_weights_from_inputs(onnx.ModelProto.FromString(original.SerializeToString()))
    graph, outputs = model.graph, [value.name for value in model.graph.output]
    if len(graph.input) != 1:
        named = ", ".join(value.name for value in graph.input) or "none that a node reads"
        raise AdoptError(f"expected one input, the picture, got {named}; export the net again with all others fixed")
    _state_form(graph.input[0])
    if output not in (outputs if len(outputs) > 1 else (None, *outputs)):
        raise AdoptError(f"the outputs are {', '.join(outputs)}; name the one with the embeddings: --output NAME")
    kept = next(value for value in graph.output if output in (None, value.name))
    for value in [value for value in graph.output if value is not kept]:
        graph.output.remove(value)
    model.ir_version = max(model.ir_version, FIRST_IR)
    _name_reshape_targets(graph)
    _rename(graph, {name: f"original_{name}" for node in graph.node for name in (*node.input, *node.output) if name.startswith(PREFIX)})
    _rename(graph, {name: f"{PREFIX}original_{name}" for name in ("crops", "embeddings")})
    spell_old_operators(model)
    _put_colours_first(graph)
    return model


def _state_form(source: onnx.ValueInfoProto) -> None:
    """Write the sizes of a crop where a net takes pictures of any size, or does not say.

    Raises:
        AdoptError: the input is no picture of 112 x 112 with three colours, or of numbers that are not taken.
    """
    kind = source.type.tensor_type.elem_type
    shape = [dim.dim_value for dim in source.type.tensor_type.shape.dim] or [0] * 4  # 0: any
    fitting = [form for form in FORMS if len(shape) == 4 and all(have in (0, want) for have, want in zip(shape[1:], form, strict=True))]
    if kind not in KINDS or not fitting:
        what = f"{TensorProto.DataType.Name(kind).lower()} ({', '.join(str(size or 'any') for size in shape)})"
        expected = f"float, float16 or uint8 (N, 3, {CROP_SIZE}, {CROP_SIZE}) or (N, {CROP_SIZE}, {CROP_SIZE}, 3)"
        remedy = "only embedders of such crops can be used; a detector or a net for other sizes cannot"
        raise AdoptError(f"input {source.name}: expected {expected}, got {what}; {remedy}")
    source.CopyFrom(helper.make_tensor_value_info(source.name, kind, ["N", *fitting[0]]))


def spell_old_operators(model: onnx.ModelProto) -> None:
    """Write as the standard has it what MXNet's exporter wrote: a slope of PRelu for each channel without its other axes; `spatial` of BatchNormalization."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    slopes = [node for node in model.graph.node if node.op_type == "PRelu" and node.input[1] in weights and len(weights[node.input[1]].dims) == 1]
    shapes = _shapes(model) if slopes else {}
    for node in slopes:
        slope, shape = weights[node.input[1]], shapes.get(node.input[0], [])
        if len(slope.dims) == 1 and len(shape) == 4 and slope.dims[0] == shape[1] != shape[3]:  # for the last axis, as the standard reads it, it does not fit
            slope.dims.extend([1, 1])
    for node in (node for node in model.graph.node if node.op_type == "BatchNormalization"):
        for attribute in [attribute for attribute in node.attribute if attribute.name == "spatial"]:
            node.attribute.remove(attribute)  # its weights are one per channel, so it can only mean 1


def _shapes(model: onnx.ModelProto) -> dict[str, list[int]]:
    """The shape of each tensor between layers, 0 where it is not known."""
    known = onnx.shape_inference.infer_shapes(model).graph.value_info
    return {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in known}


def _put_colours_first(graph: onnx.GraphProto) -> None:
    """Give an input (N, 112, 112, 3), as TensorFlow has it, the form (N, 3, 112, 112); onnxruntime removes the pair of Transposes that this makes."""
    source = graph.input[0]
    dims = source.type.tensor_type.shape.dim
    if tuple(dim.dim_value for dim in dims)[1:] != FORMS[1]:
        return
    inside = f"{PREFIX}colours_last"
    _rename(graph, {source.name: inside})
    source.name = f"{PREFIX}colours_first"
    dims[1].dim_value, dims[3].dim_value = 3, CROP_SIZE
    graph.node.insert(0, helper.make_node("Transpose", [source.name], [inside], name=f"{PREFIX}Transpose_original", perm=[0, 2, 3, 1]))


def _name_reshape_targets(graph: onnx.GraphProto) -> None:
    """Turn constants that say how a Reshape shapes into weights, as most exporters write them."""
    targets = {node.input[1] for node in graph.node if node.op_type == "Reshape"}
    for node in [node for node in graph.node if node.op_type == "Constant" and node.output[0] in targets]:
        value = helper.get_attribute_value(node.attribute[0])
        tensor = value if isinstance(value, onnx.TensorProto) else numpy_helper.from_array(np.array(value, np.int64))
        tensor.name = node.output[0]
        graph.initializer.append(tensor)
        graph.node.remove(node)


def _rename(graph: onnx.GraphProto, new: dict[str, str]) -> None:
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [new.get(name, name) for name in names]
    for named in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        named.name = new.get(named.name, named.name)
    for node in graph.node:
        node.name = f"original_{node.name}" if node.name.startswith(PREFIX) else node.name


def drop_weights_from_inputs(model: onnx.ModelProto) -> onnx.ModelProto:
    """Remove weights, and inputs that no node reads, from the graph inputs: old exporters list them, onnxruntime and OpenCV refuse them."""
    weights = {tensor.name for tensor in model.graph.initializer}
    used = {name for node in model.graph.node for name in node.input}
    kept = [value for value in model.graph.input if value.name in used - weights]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    return model


def make_batch_dynamic(model: onnx.ModelProto) -> None:
    """Remove stored shapes with a batch of one; turn a Reshape to (1, ...) into a Reshape to (N, ...)."""
    del model.graph.value_info[:]
    produced = {output for node in model.graph.node for output in node.output} - from_weights(model.graph)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Reshape" and node.input[0] in produced and node.input[1] in weights:
            target = numpy_helper.to_array(weights[node.input[1]]).copy()
            if target[0] in (0, 1):  # 0: another Reshape has the same target
                target[0] = 0  # copies the dimension
                _let_zero_copy(node, target)
                weights[node.input[1]].CopyFrom(numpy_helper.from_array(target, node.input[1]))


def _let_zero_copy(node: onnx.NodeProto, target: NDArray[np.int64]) -> None:
    """Take off `allowzero`, which exporters write where no dimension is 0."""
    for attribute in [attribute for attribute in node.attribute if attribute.name == "allowzero" and attribute.i and not (target[1:] == 0).any()]:
        node.attribute.remove(attribute)


def precision(model: onnx.ModelProto) -> str:
    """In which numbers the convolutions and matrix products compute: int8, float16 or float32. Weights alone that are stored as int8 do not make it int8."""
    activations = {node.output[0] for node in model.graph.node if node.op_type == "QuantizeLinear"}
    whole = any(node.op_type in ("QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger") for node in model.graph.node)
    if whole or any(node.op_type == "DequantizeLinear" and node.input[0] in activations for node in model.graph.node):
        return "int8"
    kinds = [tensor.data_type for tensor in model.graph.initializer if len(tensor.dims) > 1]
    return "float16" if kinds and kinds.count(onnx.TensorProto.FLOAT16) * 2 > len(kinds) else "float32"


def from_weights(graph: onnx.GraphProto) -> set[str]:
    """Names of tensors that depend on weights only, such as dequantized weights: their shapes have no batch."""
    fixed = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        if all(not name or name in fixed for name in node.input):
            fixed.update(node.output)
    return fixed


def run(model: onnx.ModelProto, crops: NDArray[Any]) -> NDArray[np.float64]:
    """What a tidied original gives for crops (N, 3, 112, 112), which are run one by one: (N, ...) float64.

    Raises:
        AdoptError: onnxruntime cannot run it.
    """
    return opened(model)(crops)


def opened(model: onnx.ModelProto) -> Callable[[NDArray[Any]], NDArray[np.float64]]:
    """`run` for several batches of crops.

    Raises:
        AdoptError: onnxruntime cannot load it, or later cannot run it.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = _tried(lambda: ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"]))
    name = session.get_inputs()[0].name
    return lambda crops: finite(_tried(lambda: np.concatenate([session.run(None, {name: one[None]})[0] for one in crops]).astype(np.float64)))


def finite(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same rows.

    Raises:
        AdoptError: some are not finite.
    """
    if not np.isfinite(rows).all():
        raise AdoptError("the original gives numbers that are not finite; download it again, or take a float32 file in place of a float16 one")
    return rows


def _tried(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except Exception as error:  # onnxruntime's own classes derive from Exception alone
        raise AdoptError(f"onnxruntime cannot run the original: {error}") from error
