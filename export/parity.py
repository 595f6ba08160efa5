"""`python -m export elsewhere MODEL... --python COMMAND`: check that another Python gives the same embeddings: an old onnxruntime, arm64, a board.

    python -m export elsewhere own.onnx own-int8.onnx --python old/bin/python --python older/bin/python
    python -m export elsewhere own.onnx own-int8.onnx --python "chroot arm64 /venv/bin/python"
    python -m export elsewhere own.onnx own-int8.onnx --python "ssh pi@terminal /opt/clockface/venv/bin/python"

The other Python needs numpy and onnxruntime, but nothing of this project: it reads a program with the model and the crops from standard input. The exit
code is 1 if 1 - cosine between an embedding there and here exceeds 1e-3 for a float32 model, or 5e-3 for a float16 or int8 model.
"""

from __future__ import annotations

import argparse
import base64
import dataclasses
import io
import json
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device.contract import ClockfaceError
from device.vision.embedder import Embedder
from export.latency import read_crops
from training import arguments

FARTHEST = {"float32": 1e-3, "float16": 5e-3, "int8": 5e-3}  # largest 1 - cosine
SECONDS = 1800  # an emulated machine is some 50 times slower
MARK = "embeddings:"  # starts the line with the answer; all other output is ignored

PROGRAM = """
import base64, io, platform, sys
import numpy, onnxruntime
onnxruntime.set_default_logger_severity(4)
options = onnxruntime.SessionOptions()
options.add_session_config_entry("session.disable_quant_qdq", "{unpack}")
session = onnxruntime.InferenceSession(base64.b64decode("{model}"), options, providers=["CPUExecutionProvider"])
crops = numpy.load(io.BytesIO(base64.b64decode("{crops}")))
rows = numpy.concatenate([session.run(None, {{session.get_inputs()[0].name: crop[None]}})[0] for crop in crops])
file = io.BytesIO()
numpy.save(file, rows.astype(numpy.float32))
about = platform.machine() + ", Python " + platform.python_version() + ", onnxruntime " + onnxruntime.__version__
print("{mark}" + about + ":" + base64.b64encode(file.getvalue()).decode())
"""


class ParityError(ClockfaceError):
    """The other Python cannot run the model, or gives different embeddings."""

    code = "parity"


@dataclass(frozen=True)
class Compared:
    """A comparison of one model's embeddings under the other Python and here."""

    model: str
    precision: str
    where: str  # machine, Python, onnxruntime
    crops: int
    largest: float  # 1 - cosine
    mean: float
    allowed: float


def compare(model: Path, crops: NDArray[np.uint8], python: list[str], seconds: float = SECONDS) -> Compared:
    """Run a model here and under another Python.

    Args:
        model: a file that meets the contract.
        crops: (N, 112, 112, 3) uint8 RGB.
        python: the command that starts the other Python.
        seconds: time limit of the other Python.

    Raises:
        ParityError: the other Python cannot be started, takes too long or fails; the message has the last line of its errors.
    """
    embedder = Embedder(model, "cpu")
    precision = embedder.card.precision
    where, there = _ask(python, _program(model, crops, precision), seconds)
    expected = embedder.embed(crops)
    if there.shape != expected.shape:
        raise ParityError(f"{model.name}: {where} gives {there.shape}, expected {expected.shape}")
    apart = 1 - np.sum(there.astype(np.float64) * expected, axis=1)
    return Compared(model.name, precision, where, len(crops), float(apart.max()), float(apart.mean()), FARTHEST[precision])


def _program(model: Path, crops: NDArray[np.uint8], precision: str) -> str:
    file = io.BytesIO()
    np.save(file, crops)
    packed = {"model": base64.b64encode(model.read_bytes()).decode(), "crops": base64.b64encode(file.getvalue()).decode()}
    return PROGRAM.format(unpack=int(precision != "int8"), mark=MARK, **packed)


def _ask(python: list[str], program: str, seconds: float) -> tuple[str, NDArray[np.float32]]:
    try:
        done = subprocess.run([*python, "-"], input=program, capture_output=True, text=True, timeout=seconds)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ParityError(
            f"{shlex.join(python)} gives no answer ({error}); give the command of a Python that has numpy and onnxruntime", code="parity.no_answer"
        ) from error
    answer = next((line for line in done.stdout.splitlines() if line.startswith(MARK)), None)
    if done.returncode or answer is None:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise ParityError(f"{shlex.join(python)} fails: {last:.300}; install numpy and onnxruntime there", code="parity.fails")
    where, _, rows = answer.removeprefix(MARK).rpartition(":")
    return where, np.load(io.BytesIO(base64.b64decode(rows)))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL")
    parser.add_argument("--python", action="append", required=True, metavar="COMMAND", help="command that starts the other Python, quoted; may be repeated")
    parser.add_argument("--crops", type=Path, help="folder of crops or photos (default: synthetic crops)")
    parser.add_argument("--most", type=arguments.count, default=16, help="largest number of crops compared")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    crops = read_crops(args.crops, args.most)[: args.most]
    found, failures = [], []
    for python in args.python:
        for model in args.models:
            try:
                found.append(compare(model, crops, shlex.split(python)))
            except ParityError as error:
                failures.append(error)
                print(f"{model.name}: {error}", file=sys.stderr)
    if args.json:
        print(json.dumps([dataclasses.asdict(one) for one in found], indent=1))
    else:
        print("\n".join(map(as_text, found)))
    if wrong := [one.model for one in found if not one.largest <= one.allowed]:  # NaN is wrong too
        raise ParityError(f"{', '.join(wrong)}: the embeddings differ from those of this machine", code="parity.other")
    if failures:
        first = failures[0]
        raise ParityError(f"{len(failures)} of {len(found) + len(failures)} runs gave no embeddings", code=first.code)
    return 0


def as_text(one: Compared) -> str:
    far = f"1 - cosine at most {one.largest:.2e} (mean {one.mean:.2e}, allowed {one.allowed:g})"
    return f"{one.model} ({one.precision}) on {one.where}: {far} over {one.crops} crops"
