"""`python -m export latency MODEL...`: milliseconds per crop of several models, measured alternately in one run, with ratios.

    python -m export latency models/clockface-edge.onnx models/clockface-edge-int8.onnx models/sface.onnx --crops DIR

Absolute times vary with the load of the machine; the ratio of two models measured alternately varies little.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from device.contract import ClockfaceError
from device.vision.embedder import Embedder
from device.vision.images import IMAGE_SUFFIXES, read_image
from export import artefact
from export.adopt import smooth_crops
from export.crops import CropsError

ROUNDS = 200  # runs per model and number of threads
WARM_UP = 5
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "asimd", "asimddp", "i8mm")  # features that select int8 and float kernels


def host() -> dict[str, Any]:
    """The host facts on which latency depends: CPU, its flags, cores, runtime version."""
    fields: dict[str, str] = {}
    info = Path("/proc/cpuinfo")
    for line in reversed(info.read_text(encoding="utf-8").splitlines() if info.exists() else []):
        key, _, value = line.partition(":")
        fields[key.strip()] = value.strip()  # read in reverse, so the first core's values remain
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    return {
        "cpu": fields.get("model name", platform.processor() or platform.machine()),
        "machine": platform.machine(),
        "cores": os.cpu_count() or 1,
        "flags": [flag for flag in FLAGS if flag in flags],
        "runtime": f"onnxruntime {onnxruntime.__version__}",
    }


def measure(
    models: Sequence[Path], crops: NDArray[np.uint8], threads: int, rounds: int = ROUNDS, clock: Callable[[], float] = time.perf_counter
) -> list[NDArray[np.float64]]:
    """(rounds,) ms for each model, one crop per run; each round runs every model once.

    Args:
        models: files that meet the contract.
        crops: (N, 112, 112, 3) uint8 RGB, used in turn.
        threads: number of threads of a run.
        clock: seconds; with one thread, `time.thread_time` leaves out what else the machine does.
    """
    embedders = [Embedder(path, "cpu", threads) for path in models]
    taken = np.zeros((len(models), rounds))
    for turn in range(-WARM_UP, rounds):
        crop = crops[turn % len(crops)][None]
        for number, embedder in enumerate(embedders):
            begin = clock()
            embedder.embed(crop)
            if turn >= 0:
                taken[number, turn] = 1000 * (clock() - begin)
    return list(taken)


def entry(milliseconds: NDArray[np.float64], threads: int) -> dict[str, Any]:
    """The card's entry for one measurement."""
    p50, p95 = np.percentile(milliseconds, [50, 95])
    return {"threads": threads, "p50_ms": round(float(p50), 3), "p95_ms": round(float(p95), 3), "runs": len(milliseconds), **host()}


def read_crops(folder: Path | None, most: int = 100) -> NDArray[np.uint8]:
    """Crops for timing: the pictures of a folder and its sub-folders, cut to 112 x 112; without a folder, synthetic crops."""
    if folder is None:
        return smooth_crops(32)
    paths = sorted(path for pattern in ("*", "*/*") for path in folder.glob(pattern) if path.suffix.lower() in IMAGE_SUFFIXES)[:most]
    if not paths:
        raise CropsError(f"{folder}: no pictures; give a folder of crops or photos")
    return np.stack([_central(read_image(path)) for path in paths])


def _central(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) BGR -> the middle 112 x 112, RGB; time does not depend on where the face is."""
    top, left = (image.shape[0] - 112) // 2, (image.shape[1] - 112) // 2
    if min(top, left) < 0:
        raise CropsError(f"a picture of {image.shape[1]} x {image.shape[0]}: at least 112 x 112 is needed")
    return np.ascontiguousarray(image[top : top + 112, left : left + 112, ::-1])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", type=Path, nargs="+", help="files that meet the contract; ratios are to the first")
    parser.add_argument("--crops", type=Path, help="folder of crops or photos (default: synthetic crops)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--write", action="store_true", help="replace the latency figures in the models' cards")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    if args.rounds < 1 or min(args.threads) < 1:
        raise ClockfaceError("--rounds and --threads: expected at least 1")
    crops = read_crops(args.crops)
    rows: list[dict[str, Any]] = []
    entries: dict[Path, list[dict[str, Any]]] = {path: [] for path in args.models}
    for threads in args.threads:
        taken = measure(args.models, crops, threads, args.rounds)
        first = float(np.median(taken[0]))
        for path, milliseconds in zip(args.models, taken, strict=True):
            entries[path].append(entry(milliseconds, threads))
            ratio = round(float(np.median(milliseconds)) / first, 3)
            rows.append({"model": str(path), "bytes": path.stat().st_size, **entries[path][-1], "ratio": ratio})
    if args.write:
        for path, found in entries.items():
            card = artefact.card_of(artefact.read(path), path)
            artefact.write_card(path, dataclasses.replace(card, latency=tuple(found)))
    if args.json:
        print(json.dumps(rows, indent=1))
        return 0
    about = host()
    print(f"{about['cpu']}, {about['cores']} cores, {' '.join(about['flags'])}, {about['runtime']}; {args.rounds} rounds, models measured alternately")
    print(f"{'model':44} {'MB':>6} {'threads':>7} {'p50 ms':>8} {'p95 ms':>8} {'to the first':>12}")
    for row in rows:
        print(f"{row['model']:44} {row['bytes'] / 1e6:6.2f} {row['threads']:7d} {row['p50_ms']:8.2f} {row['p95_ms']:8.2f} {row['ratio']:12.3f}")
    return 0
