"""Embeddings from a model file, `.pt` or `.onnx`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from device.contract import ClockfaceError
from training.checkpoint import load_embedder

Crops = NDArray[np.uint8]  # (N, 112, 112, 3) RGB
Embeddings = NDArray[np.float32]  # (N, D), unit length
Embed = Callable[[Crops], Embeddings]
BATCH = 16  # larger batches exceed the processor's caches: SFace takes 26 ms per crop in batches of 16, 43 ms in batches of 64 (one thread, two busy cores)


def open_model(path: Path) -> Embed:
    """A function from crops to embeddings.

    Raises:
        ClockfaceError: the file is missing or is no embedder.
    """
    if not path.is_file():
        raise ClockfaceError(f"{path} does not exist; give a .pt checkpoint or an .onnx model")
    return _onnx(path) if path.suffix == ".onnx" else _torch(path)


def _torch(path: Path) -> Embed:
    embedder, _ = load_embedder(path)

    @torch.inference_mode()
    def embed(crops: Crops) -> Embeddings:
        return np.asarray(embedder.unit(torch.from_numpy(crops)).numpy(), np.float32)

    return embed


def _onnx(path: Path) -> Embed:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # warnings are of no use to somebody who trains
    options.intra_op_num_threads = torch.get_num_threads()  # follows OMP_NUM_THREADS, which onnxruntime does not read
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own classes derive from Exception alone
        raise ClockfaceError(f"{path} is no model that onnxruntime can read: {error}") from error
    (entry,) = session.get_inputs()
    if entry.type == "tensor(uint8)":
        return lambda crops: _unit(session.run(None, {entry.name: crops})[0])
    if entry.type == "tensor(float)" and list(entry.shape[1:]) == [3, 112, 112]:  # such as SFace: float RGB 0..255, one crop at a time
        return lambda crops: _unit(np.concatenate([session.run(None, {entry.name: np.float32(c.transpose(2, 0, 1)[None])})[0] for c in crops]))
    raise ClockfaceError(f"{path}: input {entry.type} {entry.shape}; expected uint8 (N, 112, 112, 3), or float (1, 3, 112, 112) of 0..255")


def _unit(rows: NDArray[np.float32]) -> Embeddings:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def embed_all(embed: Embed, crops: Crops) -> tuple[Embeddings, float]:
    """Embeddings of all crops, computed in batches, and the milliseconds per crop."""
    begin = time.perf_counter()
    rows = np.concatenate([embed(np.ascontiguousarray(crops[i : i + BATCH])) for i in range(0, len(crops), BATCH)])
    if not np.isfinite(rows).all():
        raise ClockfaceError("the model gives embeddings that are not finite; train it again")
    return rows, 1000 * (time.perf_counter() - begin) / len(crops)
