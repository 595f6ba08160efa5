"""`python -m export quantize`: a float32 model -> int8 (static, QDQ, per channel) or float16.

    python -m export quantize own.onnx --out own-int8.onnx --folder crops
    python -m export quantize own.onnx --out own-float16.onnx --to float16

Activation ranges are set on aligned crops by MinMax, entropy and percentile; the method whose embeddings are nearest to the float model's is used. Then the
loss of each layer is measured separately, and layers are kept in float, the worst first, until the mean cosine reaches the goal on crops that set no range;
layers given with --keep are in float from the start. Finally the biases are corrected (`export/bias_correction.py`).
Half of the crops set the ranges, the other half judge. `verify` measures the gain.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, create_calibrator, quantize_static, save_tensors_data
from onnxruntime.transformers.float16 import convert_float_to_float16
from rich.console import Console
from rich.progress import track

from device.contract import ClockfaceError, ModelCard
from device.vision.embedder import Embedder
from export import artefact, bias_correction, crops
from export.foreign import PREFIX
from export.log_filter import errors_only
from training import arguments

METHODS: dict[str, tuple[CalibrationMethod, dict[str, Any]]] = {
    "minmax": (CalibrationMethod.MinMax, {}),
    "entropy": (CalibrationMethod.Entropy, {"num_bins": 512}),  # with onnxruntime's default of 128 bins the result is that of MinMax
    "percentile": (CalibrationMethod.Percentile, {"percentile": 99.999, "symmetric": False}),  # symmetric would waste half of a ReLU's range
}
LAYERS = ("Conv", "Gemm", "MatMul")  # the operators that cost time; each may be kept in float separately
OPERATORS = [*LAYERS, "Add", "Relu", "Clip", "PRelu", "Flatten", "MaxPool", "AveragePool", "GlobalAveragePool"]
GOAL = 0.995  # mean cosine to the float model on crops that set no range; `verify` requires 0.99 on another set
HALF_PARITY = 0.999  # lowest cosine of float16


class QuantizeError(ClockfaceError):
    """The model cannot be quantized as requested."""

    code = "quantize"


@dataclass(frozen=True)
class Kept:
    """A layer that stays in float, and why."""

    layer: str  # or two, joined by " + ": the tensor between them stays in int8 until both are float
    before: float  # mean cosine with the layers kept before this one ...
    after: float  # ... and with this one in float as well

    @property
    def reason(self) -> str:
        return f"mean cosine {self.before:.5f} before, {self.after:.5f} after"


@dataclass(frozen=True)
class QuantizeReport:
    """What was tried, with the results: mean cosines to the float model on the judging crops."""

    crops: int  # number that set the ranges; as many judge
    methods: dict[str, float]
    chosen: str
    layers: dict[str, float]  # with this layer alone in float, all others in int8; empty if the goal was reached without
    kept: tuple[Kept, ...]
    mean_cosine: float
    lowest_cosine: float
    corrected: float = 0.0  # mean cosine after bias correction


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Crops one by one, in the form that onnxruntime expects."""

    def __init__(self, name: str, values: NDArray[np.uint8]) -> None:
        self._name, self._values = name, iter(values)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        crop = next(self._values, None)
        return None if crop is None else {self._name: crop[None]}


class Quantizer:
    """One float model, the ranges of its activations, and the crops that judge.

    Args:
        source: float32 model that meets the contract.
        setting, judging: (N, 112, 112, 3) uint8 RGB each, of different people.
        workspace: folder for ranges and trial files.
        always: names of layers that stay in float in every trial.
    """

    def __init__(self, source: Path, setting: NDArray[np.uint8], judging: NDArray[np.uint8], workspace: Path, always: tuple[str, ...] = ()) -> None:
        self.source, self.workspace = source, workspace
        self._setting, self._judging, self.crops = setting, judging, len(setting)
        self._expected = Embedder(source, "cpu").embed(judging)
        nodes = list(artefact.read(source).graph.node)
        self._around = [node.name for node in nodes if node.name.startswith(PREFIX)]  # scaling and normalisation stay in float
        self.layers = tuple(node.name for node in nodes if node.op_type in LAYERS and node.name not in self._around)
        if not self.layers:
            raise QuantizeError(f"{source} has no named {', '.join(LAYERS)}: nothing to quantize")
        if missing := sorted(set(always) - set(self.layers)):
            raise QuantizeError(f"--keep {' '.join(missing)}: {source} has no such layer; it has {', '.join(self.layers)}")
        self.always = always
        self.pairs = tuple(_pairs(nodes, set(self.layers)))

    def _ranges(self, method: str) -> Path:
        """The file with the ranges found by a method, measured once."""
        cache = self.workspace / f"{method}.json"
        if not cache.exists():
            kind, options = METHODS[method]
            augmented = str(self.workspace / "augmented.onnx")
            with contextlib.redirect_stdout(io.StringIO()):  # onnxruntime prints its progress
                calibrator = create_calibrator(self.source, OPERATORS, augmented, kind, extra_options=options)
                calibrator.collect_data(_Reader("crops", self._setting))
                save_tensors_data(calibrator.compute_data(), cache)
        return cache

    def make(self, method: str, kept: tuple[str, ...], target: Path, source: Path | None = None) -> None:
        """Write the int8 graph with some layers kept in float; `source` may be the model with other biases."""
        with errors_only():  # onnxruntime recommends a preprocessing that this graph does not need
            quantize_static(
                source or self.source,
                target,
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=OPERATORS,
                per_channel=True,
                activation_type=QuantType.QUInt8,  # with int8 weights, depthwise layers are fast on x86 too
                weight_type=QuantType.QInt8,
                nodes_to_exclude=[*self._around, *self.always, *kept],
                calibrate_method=METHODS[method][0],
                calibration_cache_path=self._ranges(method),
            )

    def make_corrected(self, method: str, kept: tuple[str, ...], target: Path) -> float:
        """Write the int8 graph with corrected biases if that is nearer to the float model, and return its mean cosine."""
        self.make(method, kept, target)
        before = float(self.cosines(target).mean())
        source, trial = self.workspace / "corrected.onnx", self.workspace / "corrected-int8.onnx"
        source.write_bytes(bias_correction.corrected(artefact.read(self.source), artefact.read(target), self._setting).SerializeToString())
        self.make(method, kept, trial, source)
        after = float(self.cosines(trial).mean())
        if after > before:
            trial.replace(target)
        return max(before, after)

    def cosines(self, path: Path, precision: str = "int8") -> NDArray[np.float32]:
        """(N,) cosine of each judging crop's embedding to the float model's."""
        model = artefact.read(path)
        artefact.set_card(model, dataclasses.replace(artefact.card_of(artefact.read(self.source), self.source), precision=precision))
        path.write_bytes(model.SerializeToString())
        cosines: NDArray[np.float32] = np.sum(Embedder(path, "cpu").embed(self._judging) * self._expected, axis=1)
        return cosines

    def mean(self, method: str, kept: tuple[str, ...]) -> float:
        trial = self.workspace / "trial.onnx"
        self.make(method, kept, trial)
        return float(self.cosines(trial).mean())


def search(quantizer: Quantizer, goal: float, by: Sequence[str] = tuple(METHODS)) -> QuantizeReport:
    """Choose the method, then keep the worst layers in float until the goal is reached; if that fails, try the next best method.

    Raises:
        QuantizeError: no method reaches the goal with half of the layers in float.
    """
    methods = {method: quantizer.mean(method, ()) for method in by}
    failures = []
    for method in sorted(methods, key=lambda method: -methods[method]):
        reached = methods[method] >= goal
        layers = {} if reached else {layer: quantizer.mean(method, (layer,)) for layer in _shown(quantizer.layers, f"{method}: layers")}
        try:
            kept = () if reached else _keep(quantizer, method, methods[method], layers, goal)
        except QuantizeError as error:
            failures.append(str(error))
            continue
        trial = quantizer.workspace / "trial.onnx"
        quantizer.make(method, in_float(kept), trial)
        cosines = quantizer.cosines(trial)
        return QuantizeReport(quantizer.crops, methods, method, layers, kept, float(cosines.mean()), float(cosines.min()))
    raise QuantizeError(f"{'; '.join(failures)}; train for int8 (`python -m export qat`)")


def _keep(quantizer: Quantizer, method: str, reached: float, layers: dict[str, float], goal: float) -> tuple[Kept, ...]:
    """Keep the layers with the largest gain, one after the other; skip a layer that adds nothing to those already kept."""
    found: dict[tuple[str, ...], float] = {(layer,): mean for layer, mean in layers.items()}
    found |= {pair: quantizer.mean(method, pair) for pair in _shown(quantizer.pairs, f"{method}: pairs of layers")}
    kept: list[Kept] = []
    for names in sorted(found, key=lambda names: -found[names]):
        more = Kept(" + ".join(names), reached, quantizer.mean(method, (*in_float(kept), *names)))
        if more.after <= reached:
            continue
        kept.append(more)
        reached = more.after
        if reached >= goal:
            return tuple(kept)
        if len(in_float(kept)) > len(quantizer.layers) // 2:
            break
    count = f"{len(in_float(kept))} of {len(quantizer.layers)}"
    raise QuantizeError(f"{method}: mean cosine {reached:.4f} with {count} layers in float, {goal} needed")


def in_float(kept: Sequence[Kept]) -> tuple[str, ...]:
    """The names of the kept layers, each once."""
    return tuple(dict.fromkeys(name for one in kept for name in one.layer.split(" + ")))


def _pairs(nodes: Sequence[onnx.NodeProto], layers: set[str]) -> Iterator[tuple[str, str]]:
    """Each layer paired with each layer that reads its output, directly or through an activation."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in nodes:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for node in (node for node in nodes if node.name in layers):
        direct = readers.get(node.output[0], [])
        through = [reader for step in direct if step.op_type in ("Relu", "Clip", "PRelu", "Flatten") for reader in readers.get(step.output[0], [])]
        yield from ((node.name, reader.name) for reader in (*direct, *through) if reader.name in layers)


def _shown(things: tuple[Any, ...], description: str) -> Iterator[Any]:
    yield from track(things, description, console=Console(stderr=True), transient=True)


def to_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """The net in float16 for TensorRT and CUDA; scaling and normalisation stay in float32, where a sum of squares cannot overflow."""
    around = [node.name for node in model.graph.node if node.name.startswith(PREFIX)]
    halved: onnx.ModelProto = convert_float_to_float16(model, keep_io_types=True, node_block_list=around)
    return halved


def quantized_card(model: onnx.ModelProto, card: ModelCard, precision: str) -> ModelCard:
    """The float model's card for the quantized file: with a new id, and without measurements."""
    named = dataclasses.replace(card, model_id=artefact.model_id(model), name=f"{card.name}-{precision}", precision=precision)
    return dataclasses.replace(named, accuracy=(), latency=(), operating_points=(), visits=None)


def write_like(source: Path, model: onnx.ModelProto, precision: str, out: Path) -> None:
    """Write a model made from another one, with the same opset and its own card."""
    float_model = artefact.read(source)
    if artefact.opset(model) != artefact.opset(float_model):
        raise QuantizeError(f"opset became {artefact.opset(model)}, expected {artefact.opset(float_model)} as in {source}")
    model.ir_version = float_model.ir_version
    artefact.set_card(model, quantized_card(model, artefact.card_of(float_model, source), precision))
    artefact.write(model, out, lambda part: _loads(part))


def _loads(part: Path) -> None:
    embedder = Embedder(part, "cpu")
    rows = embedder.embed(np.zeros((2, 112, 112, 3), np.uint8))
    if not np.allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-3):
        raise QuantizeError("the embeddings of the result are not unit vectors")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="float32 file that meets the contract")
    parser.add_argument("--out", type=arguments.file, required=True)
    parser.add_argument("--to", choices=("int8", "float16"), default="int8")
    parser.add_argument("--goal", type=arguments.number(0, 1), default=GOAL, help="mean cosine to the float model on crops that set no range")
    parser.add_argument("--keep", nargs="+", default=[], metavar="LAYER", help="layers that stay in float, by the names of their nodes")
    parser.add_argument("--most", type=arguments.count, default=400, help="largest number of crops used, half of them to judge")
    parser.add_argument("--report", type=arguments.file, help="JSON file for everything that was tried")
    crops.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    if Embedder(args.model, "cpu").card.precision != "float32":
        raise QuantizeError(f"{args.model} is not float32; give the model that `build` or `adopt` wrote")
    if args.most < 2:
        raise QuantizeError("--most: expected at least 2 crops, one to set ranges and one to judge")
    if args.to == "float16":
        write_like(args.model, to_float16(artefact.read(args.model)), "float16", args.out)
        print(f"{args.out}: {args.out.stat().st_size / 1e6:.2f} MB; next: python -m export verify {args.out} --reference {args.model}")
        return 0
    everything = np.concatenate([chosen.crops for chosen in crops.from_arguments(args)])
    drawn = np.random.default_rng(0).permutation(len(everything))[: args.most]
    half = len(drawn) // 2
    with tempfile.TemporaryDirectory() as folder:
        quantizer = Quantizer(args.model, everything[drawn[:half]], everything[drawn[half:]], Path(folder), tuple(args.keep))
        report = search(quantizer, args.goal)
        corrected = quantizer.make_corrected(report.chosen, in_float(report.kept), Path(folder) / "final.onnx")
        report = dataclasses.replace(report, corrected=corrected)
        write_like(args.model, artefact.read(Path(folder) / "final.onnx"), "int8", args.out)
    if args.report:
        args.report.parent.mkdir(parents=True, exist_ok=True)
        args.report.write_text(json.dumps(dataclasses.asdict(report), indent=1), encoding="utf-8")
    print(as_text(report))
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.2f} MB; next: python -m export verify {args.out} --reference {args.model}")
    return 0


def as_text(report: QuantizeReport) -> str:
    """The report as lines of text."""
    lines = [f"ranges set on {report.crops} crops, judged on as many others; mean cosine to the float model:"]
    lines += [f"  {method:10} {mean:.5f}{'  chosen' if method == report.chosen else ''}" for method, mean in report.methods.items()]
    if report.layers:
        lines.append("layers that lose most in int8 (mean cosine with only this one in float):")
    lines += [f"  {mean:.5f}  {layer}" for layer, mean in sorted(report.layers.items(), key=lambda item: -item[1])[:5]]
    lines += [f"kept in float: {kept.layer}: {kept.reason}" for kept in report.kept] or ["kept in float: none"]
    lines.append(f"result: mean cosine {report.mean_cosine:.5f}, lowest {report.lowest_cosine:.5f}; with corrected biases mean {report.corrected:.5f}")
    return "\n".join(lines)
