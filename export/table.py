"""`python -m export table MODEL... --backbone NAME...`: time, size and accuracy of several models in one table; one run, one thread, one crop at a time.

    python -m export table models/sface.onnx models/clockface-edge.onnx models/clockface-edge-int8.onnx --backbone mobilefacenet \\
        --crops faces/dev --pairs faces/verify/pairs.txt --images faces/verify

Model files are measured unchanged. A backbone is built with random weights, in float32 and in int8 (MinMax, every layer quantized): its time is real,
but its accuracy would mean nothing and is left out.

    python -m export table models/sface.onnx models/clockface-mobile-int8.onnx --choose --people faces/dev --strangers faces/strangers \\
        --groups faces/groups faces/fairface.rec

`--choose` takes the default by the rule of `export/choose.py`, compared with the first model or with --reference, and says why.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from device.contract import ClockfaceError
from device.vision.embedder import Embedder
from export import artefact, groups, latency
from export.build import build
from export.choose import LIMITS, ChooseError, cells, choose, measured
from export.macs import macs
from export.quantize import Quantizer, write_like
from training import backbones, pairs
from training.config import BackboneSettings
from training.evaluate import evaluate_pairs
from training.model import EmbedderNet

Clock = Callable[[], float]  # s

EMBEDDING_SIZE = 192  # for backbones with random weights


@dataclass(frozen=True)
class Row:
    name: str
    precision: str
    megabytes: float
    mmacs: float  # million multiply-accumulates for one crop
    p50_ms: float
    to_first: float
    accuracy: float | None  # on the pairs; None for random weights or without pairs


def random_model(name: str, crops: NDArray[np.uint8], folder: Path) -> tuple[Path, Path]:
    """The float32 and int8 files of a backbone with random weights, including those of batch norm."""
    torch.manual_seed(0)
    net = EmbedderNet(BackboneSettings(name, EMBEDDING_SIZE)).eval()
    for layer in net.modules():
        if isinstance(layer, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
            torch.nn.init.uniform_(layer.weight, 0.5, 1.0)
            torch.nn.init.uniform_(layer.bias, -0.1, 0.1)  # equal biases would become one tensor, whose layers stay in float
    model = build(net)
    artefact.set_card(model, artefact.first_card(model, f"{name}-random", "float32", "none", "none", "none"))
    base, small = folder / f"{name}.onnx", folder / f"{name}-int8.onnx"
    artefact.write(model, base, lambda part: None)
    (folder / name).mkdir()
    quantizer = Quantizer(base, crops[:8], crops[8:16], folder / name)
    quantizer.make("minmax", (), folder / name / "graph.onnx")
    write_like(base, artefact.read(folder / name / "graph.onnx"), "int8", small)
    return base, small


def rows(models: list[Path], made: list[Path], crops: NDArray[np.uint8], data: pairs.Pairs | None, rounds: int, clock: Clock) -> list[Row]:
    """One row per model, in order; the times are measured alternately.

    Args:
        models: files with trained weights.
        made: files with random weights.
        crops: (N, 112, 112, 3) uint8 RGB for timing.
        data: the verification set.
        rounds: runs per model.
        clock: see `export.latency.measure`.
    """
    taken = [float(np.median(ms)) for ms in latency.measure([*models, *made], crops, 1, rounds, clock)]
    found = []
    for path, ms in zip([*models, *made], taken, strict=True):
        embedder = Embedder(path, "cpu")
        accuracy = evaluate_pairs(embedder.embed, data)[0]["accuracy_mean"] if data is not None and path in models else None
        found.append(Row(embedder.card.name, embedder.card.precision, path.stat().st_size / 1e6, macs(path) / 1e6, ms, ms / taken[0], accuracy))
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", type=Path, nargs="*", metavar="MODEL", help="files that meet the contract; ratios are to the first row")
    parser.add_argument("--backbone", action="append", default=[], choices=sorted(backbones.BACKBONES), help="with random weights; may be repeated")
    parser.add_argument("--crops", type=Path, help="folder of crops or photos for timing (default: synthetic crops)")
    parser.add_argument("--pairs", type=Path, help="pairs.txt in LFW's format, to measure the accuracy of trained weights")
    parser.add_argument("--images", type=Path, help="folder of the crops named in --pairs (default: that of --pairs)")
    parser.add_argument("--choose", action="store_true", help="measure visits and groups, and choose the default by the rule")
    parser.add_argument("--reference", type=Path, metavar="MODEL", help="with --choose: compare with this file (default: the first)")
    parser.add_argument("--people", type=Path, metavar="DIR", help="with --choose: photos, one sub-folder per person")
    parser.add_argument("--strangers", type=Path, metavar="DIR", help="with --choose: photos of people who are not in --people")
    parser.add_argument("--groups", type=Path, nargs="+", metavar="PATH", help=f"with --choose: {groups.SOURCES}")
    parser.add_argument("--rounds", type=int, default=latency.ROUNDS)
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    if not args.models and not args.backbone or args.rounds < 1:
        raise ClockfaceError("nothing to measure: give model files or --backbone, and --rounds of at least 1")
    if args.choose:
        return _choose(args)
    crops = latency.read_crops(args.crops)
    data = pairs.from_text(args.pairs, args.images or args.pairs.parent) if args.pairs else None
    with tempfile.TemporaryDirectory() as folder:
        made = [path for name in dict.fromkeys(args.backbone) for path in random_model(name, latency.read_crops(None), Path(folder))]
        found = rows(args.models, made, crops, data, args.rounds, time.perf_counter)
    if args.json:
        print(json.dumps({"host": latency.host(), "rows": [asdict(row) for row in found]}, indent=1))
        return 0
    print(_circumstances(args.rounds, "one thread"))
    print("| model | precision | MB | MMACs | ms per crop | to the first | accuracy |\n|---|---|---|---|---|---|---|")
    for row in found:
        accuracy = "random weights" if row.accuracy is None else f"{100 * row.accuracy:.2f} %"
        print(f"| {row.name} | {row.precision} | {row.megabytes:.2f} | {row.mmacs:.0f} | {row.p50_ms:.2f} | {row.to_first:.3f} | {accuracy if data else ''} |")
    return 0


def _choose(args: argparse.Namespace) -> int:
    """Measure, print and choose; exit code 1 where no file meets the rule."""
    if args.backbone or not (args.people and args.strangers and args.groups):
        raise ChooseError("--choose takes model files with --people, --strangers and --groups, and no --backbone")
    models = list(dict.fromkeys([args.reference or args.models[0], *args.models]))
    faces = [groups.read(source) for source in args.groups]
    data = pairs.from_text(args.pairs, args.images or args.pairs.parent) if args.pairs else None
    timed = rows(models, [], latency.read_crops(args.crops), data, args.rounds, time.thread_time)
    found = [measured(path, row.p50_ms, args.people, args.strangers, faces) for path, row in zip(models, timed, strict=True)]
    chosen, verdicts = choose(found)
    every = list(zip(timed, found, verdicts, strict=True))
    if args.json:
        lines = [{**asdict(row), **asdict(one), **asdict(verdict)} for row, one, verdict in every]
        print(json.dumps({"host": latency.host(), "chosen": None if chosen is None else found[chosen].name, "rows": lines}, indent=1))
        return int(chosen is None)
    print(_circumstances(args.rounds, "processor time of one thread"))
    print("| model | MB | ms per crop | accuracy | FNIR at the card's threshold | FPIR | FNIR at equal FPIR | worst group | verdict |\n" + "|---" * 9 + "|")
    for row, one, verdict in every:
        accuracy = "" if row.accuracy is None else f"{100 * row.accuracy:.2f} %"
        print(f"| {row.name} | {row.megabytes:.2f} | {row.p50_ms:.2f} | {accuracy} | {cells(one, verdict)} |")
    print(f"\n{LIMITS}; the reference is {found[0].name}: {'no file meets the rule' if chosen is None else f'{found[chosen].name} is chosen'}")
    return int(chosen is None)


def _circumstances(rounds: int, time_of: str) -> str:
    about = latency.host()
    return f"{about['cpu']}, {' '.join(about['flags'])}, {about['runtime']}; {time_of}, one crop, {rounds} rounds, models measured alternately\n"
