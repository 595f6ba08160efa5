"""`python -m export adopt`: convert any 112 x 112 face embedder to the contract.

SFace, MobileFaceNet, EdgeFace and the InsightFace packs take float NCHW with their own colour order, mean and std. The
file written takes uint8 NHWC RGB, does the preprocessing inside the graph, gives unit vectors and holds a model card.
Nothing is written unless its embeddings agree with the original's.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from device.contract import CROP_SIZE
from device.vision.embedder import Embedder
from export import artefact, foreign, prelu
from export.centre import mean_embedding
from export.foreign import PREFIX, AdoptError
from export.preprocessing import FormResult, Preprocessing, add_form_arguments, as_published, measure, refuse_normalised_bytes, stated
from training import arguments, pairs

PARITY = 0.99999  # lowest cosine to the original
LEAST_D_PRIME = 0.5  # of pairs; embedders have 2 and more, scores drawn at random less than 0.3 with a hundred pairs of each kind


def adopt(
    original: onnx.ModelProto, preprocessing: Preprocessing, centre: NDArray[np.float32] | None = None, output: str | None = None
) -> tuple[onnx.ModelProto, int]:
    """The model converted to the contract, without its card, and its embedding size D.

    Args:
        centre: (D,) is taken off each embedding of unit length, which then gets unit length again.
        output: the output with the embeddings, where there are several.

    Raises:
        AdoptError: the model has more than one input, several outputs of which none is named, or is not (N, 3, 112, 112) -> (N, D) or (N, D, 1, 1).
    """
    model = foreign.tidied(original, output)
    graph = model.graph
    source, result = graph.input[0], graph.output[0]
    kind = source.type.tensor_type.elem_type
    refuse_normalised_bytes(kind, preprocessing)
    found = foreign.run(model, np.zeros((1, 3, CROP_SIZE, CROP_SIZE), helper.tensor_dtype_to_np_dtype(kind))).shape
    size = int(np.prod(found[1:]))
    if found[0] != 1 or not 1 < size == max(found[1:]):
        remedy = "is this a face embedder, and the right output? --output names another; else export it again, with the batch as first dimension"
        raise AdoptError(f"output {result.name} has the shape {found} for one crop; expected (1, D) or (1, D, 1, 1): {remedy}")
    foreign.make_batch_dynamic(model)
    before, constants = _before(source.name, kind, preprocessing)
    after, more = _after(result.name, artefact.opset(model), centre)
    if len(found) > 2:
        after = [helper.make_node("Flatten", [result.name], [PREFIX + "flat"], axis=1), *_after(PREFIX + "flat", artefact.opset(model), centre)[0]]
    nodes = [*before, *graph.node, *after]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend([*constants, *more])
    _set_signature(graph, size)
    onnx.checker.check_model(model)
    return model, size


def _before(name: str, kind: int, preprocessing: Preprocessing) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    order = [0, 1, 2] if preprocessing.colour == "RGB" else [2, 1, 0]
    values: dict[str, NDArray[Any]] = {
        "mean": _constant(preprocessing.mean),
        "std": _constant(preprocessing.std),
        "order": np.array(order, dtype=np.int64),
    }
    steps: list[tuple[str, list[str], dict[str, Any]]] = [
        ("Cast", [], {"to": TensorProto.FLOAT}),  # (N, 112, 112, 3) float32
        ("Transpose", [], {"perm": [0, 3, 1, 2]}),  # (N, 3, 112, 112)
    ]
    used = []
    if preprocessing.colour == "BGR":
        steps.append(("Gather", ["order"], {"axis": 1}))
        used.append("order")
    if any(preprocessing.mean):
        steps.append(("Sub", ["mean"], {}))
        used.append("mean")
    if any(value != 1.0 for value in preprocessing.std):
        steps.append(("Div", ["std"], {}))
        used.append("std")
    if kind != TensorProto.FLOAT:
        steps.append(("Cast", [], {"to": kind}))
    nodes, current = [], "crops"
    for index, (operator, constants, attributes) in enumerate(steps):
        produced = name if index == len(steps) - 1 else f"{PREFIX}in{index}"
        nodes.append(helper.make_node(operator, [current, *(PREFIX + c for c in constants)], [produced], name=f"{PREFIX}{operator}_{index}", **attributes))
        current = produced
    return nodes, [numpy_helper.from_array(values[key], PREFIX + key) for key in used]


def _constant(values: tuple[float, ...]) -> NDArray[np.float32]:
    """One number where the channels are equal, else a row of pixels: onnxruntime turns int8 graphs to NHWC, where three numbers on the last axis are slow."""
    if len(set(values)) == 1:
        return np.array(values[0], np.float32)
    return np.repeat(np.array(values, np.float32).reshape(1, 3, 1, 1), CROP_SIZE, axis=3)  # (1, 3, 1, 112)


def _after(name: str, opset: int, centre: NDArray[np.float32] | None) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    nodes = [helper.make_node("Cast", [name], [PREFIX + "out"], to=TensorProto.FLOAT)]
    constants = [numpy_helper.from_array(np.array([1e-12], dtype=np.float32), PREFIX + "tiny")]
    if opset >= 13:
        constants.append(numpy_helper.from_array(np.array([1], dtype=np.int64), PREFIX + "axes"))
    if centre is None:
        return [*nodes, *_unit_length("out", "embeddings", opset)], constants
    constants.append(numpy_helper.from_array(centre, PREFIX + "centre"))
    off = helper.make_node("Sub", [PREFIX + "unit", PREFIX + "centre"], [PREFIX + "centred"])
    return [*nodes, *_unit_length("out", PREFIX + "unit", opset), off, *_unit_length("centred", "embeddings", opset)], constants


def _unit_length(source: str, target: str, opset: int) -> list[onnx.NodeProto]:
    """Nodes that divide each row of `source`, a name without its prefix, by its length."""
    names = {part: f"{PREFIX}{part}" if source == "out" else f"{PREFIX}{source}_{part}" for part in ("squares", "sum", "safe", "norm")}
    if opset >= 13:
        total = helper.make_node("ReduceSum", [names["squares"], PREFIX + "axes"], [names["sum"]], keepdims=1)
    else:
        total = helper.make_node("ReduceSum", [names["squares"]], [names["sum"]], axes=[1], keepdims=1)
    return [
        helper.make_node("Mul", [PREFIX + source] * 2, [names["squares"]]),
        total,
        _at_least_tiny(names["sum"], names["safe"], opset),
        helper.make_node("Sqrt", [names["safe"]], [names["norm"]]),
        helper.make_node("Div", [PREFIX + source, names["norm"]], [target]),
    ]


def _at_least_tiny(source: str, target: str, opset: int) -> onnx.NodeProto:
    """Before opset 8, Max takes equal shapes only, and Clip has its limits as attributes."""
    if opset < 8:
        return helper.make_node("Clip", [source], [target], min=1e-12)
    return helper.make_node("Max", [source, PREFIX + "tiny"], [target])


def _set_signature(graph: onnx.GraphProto, size: int) -> None:
    del graph.input[:]
    del graph.output[:]
    graph.input.append(helper.make_tensor_value_info("crops", TensorProto.UINT8, ["N", CROP_SIZE, CROP_SIZE, 3]))
    graph.output.append(helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["N", size]))


def check_parity(
    written: Path,
    original: onnx.ModelProto,
    preprocessing: Preprocessing,
    batches: Sequence[int] = (1, 3, 32),
    centre: NDArray[np.float32] | None = None,
    output: str | None = None,
) -> float:
    """The lowest cosine between the written file and the original, run crop by crop and minus the centre, on smooth random crops.

    Raises:
        AdoptError: the cosine is below PARITY.
    """
    refuse_fixed_batch(written)
    Embedder(written, "cpu")  # raises if the file does not meet the contract
    embed = as_published(foreign.tidied(original, output), preprocessing, centre)
    lowest = 1.0
    for batch in batches:
        crops = smooth_crops(batch)
        lowest = min(lowest, float(np.sum(in_one_run(written, crops) * embed(crops), axis=1).min()))
    if not lowest >= PARITY:
        raise AdoptError(f"the result does not agree with the original (cosine {lowest:.6f}, at least {PARITY} needed); check colour order, mean and std")
    return lowest


def refuse_fixed_batch(written: Path) -> None:
    """Raises:
    AdoptError: the graph takes one crop at a time, in a way that is not mended.
    """
    fault = ""
    try:
        rows = in_one_run(written, smooth_crops(3))
        fault = "" if len(rows) == 3 else f"3 crops give {len(rows)} embeddings"
    except Exception as error:  # onnxruntime's own classes derive from Exception alone
        fault = " ".join(str(error).rpartition("Status Message:")[2].split())[:300]
    if fault:
        remedy = 'export it again with the first dimension free: torch.onnx.export(..., dynamo=False, dynamic_axes={"input": {0: "N"}}, input_names=["input"])'
        raise AdoptError(f"the graph is made for batches of one ({fault}); {remedy}")


def in_one_run(path: Path, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, 112, 112, 3) uint8 RGB -> (N, D) float32 as one batch; `Embedder` runs crops one by one, which would hide a batch size fixed to one."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: crops})[0], np.float32)


def smooth_crops(count: int) -> NDArray[np.uint8]:
    """(count, 112, 112, 3) uint8: smoothed coarse noise, with the contrast of photos."""
    coarse = np.random.default_rng(count).uniform(0, 255, (count, 8, 8, 3))
    fine = np.repeat(np.repeat(coarse, 14, axis=1), 14, axis=2)
    shifted = [np.roll(fine, (dy, dx), axis=(1, 2)) for dy in (-6, 0, 6) for dx in (-6, 0, 6)]
    crops: NDArray[np.uint8] = np.mean(shifted, axis=0).round().astype(np.uint8)
    return crops


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("original", type=Path, help="an .onnx embedder of 112 x 112 crops")
    parser.add_argument("--out", type=arguments.file, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--licence", required=True)
    parser.add_argument("--training-data", required=True)
    add_form_arguments(parser, "default: ")
    parser.add_argument("--pairs", type=Path, help="pairs.txt or .bin: the usual colour orders, means and stds are measured, the best is used")
    parser.add_argument("--images", type=Path, help="folder of the crops named in --pairs")
    parser.add_argument("--precision", choices=("float32", "float16", "int8"), help="of the arithmetic, for the card (default: as the graph shows)")
    parser.add_argument(
        "--centre", type=Path, metavar="REC", help="InsightFace .rec file of different people: the mean embedding of its crops is taken off inside the graph"
    )


def run(args: argparse.Namespace) -> int:
    original = artefact.read(args.original)
    foreign.refuse_ours(original, args.original)
    foreign.refuse_ranges_of_batches(original)
    precision = foreign.precision(original)
    if args.precision not in (None, precision):
        raise AdoptError(f"--precision {args.precision}: the graph computes in {precision}; leave the option out")
    form = chosen_preprocessing(original, args)
    mean, about = (None, args.training_data) if args.centre is None else measured_centre(original, form, args.centre, args.training_data, args.output)
    model, size = adopt(original, form, mean, args.output)
    prelu.spell_out(model.graph)
    artefact.set_card(model, artefact.first_card(model, args.name, precision, about, args.licence, "not trained here"))
    lowest = 1.0

    def check(part: Path) -> None:
        nonlocal lowest
        lowest = check_parity(part, original, form, centre=mean, output=args.output)

    artefact.write(model, args.out, check)
    artefact.add_agreement(args.out, args.original.name, lowest)
    print(f"{args.out}: {size}-D, agrees with the original (lowest cosine {lowest:.7f}); next: python -m export verify, then calibrate {args.out}")
    return 0


def chosen_preprocessing(original: onnx.ModelProto, args: argparse.Namespace) -> Preprocessing:
    """What is given, or with pairs what tells them apart best; the parity check cannot know: it applies the same numbers on both sides."""
    given = stated(args, Preprocessing())
    if args.images is not None and args.pairs is None:
        raise AdoptError("--images needs --pairs, the list of pairs of these crops")
    if args.pairs is None:
        print("colour order, mean and std are taken as given and were not checked; --pairs measures them", file=sys.stderr)
        return given
    data = pairs.from_bin(args.pairs) if args.images is None else pairs.from_text(args.pairs, args.images)
    table = measure(foreign.tidied(original, args.output), given, data)
    print(as_text(table))
    if not table[0].d_prime >= LEAST_D_PRIME:
        remedy = "is this a face embedder, and are the crops aligned (`python -m training prepare`)?"
        raise AdoptError(f"with none of these forms it tells people apart (d' {table[0].d_prime:.2f}, at least {LEAST_D_PRIME} needed): {remedy}")
    return table[0].preprocessing


def as_text(table: list[FormResult]) -> str:
    """A line for each form, the best first."""
    lines = [f"{'colour':6}  {'mean':24}  {'std':24}  {'d prime':>7}  accuracy"]
    for one in table:
        mean, std = (" ".join(f"{value:g}" for value in values) for values in (one.preprocessing.mean, one.preprocessing.std))
        lines.append(f"{one.preprocessing.colour:6}  {mean:24}  {std:24}  {one.d_prime:7.3f}  {100 * one.accuracy:6.2f} %")
    return "\n".join(lines)


def measured_centre(
    original: onnx.ModelProto, preprocessing: Preprocessing, records: Path, training_data: str, output: str | None
) -> tuple[NDArray[np.float32], str]:
    """The centre that the crops of a RecordIO file give, (D,), and the training data for the card, which names them."""
    plain, _ = adopt(original, preprocessing, output=output)
    prelu.spell_out(plain.graph)
    mean, count = mean_embedding(plain, records)
    return mean, f"{training_data}; the mean embedding of {count} faces of {records.stem} is taken off"
