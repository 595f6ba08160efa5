"""Teacher embeddings of a set of crops: read from a file, or computed once with an embedder and cached under `runs/teacher`."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from device.contract import CROP_SIZE, ClockfaceError
from training.config import expanded
from training.embedding import BATCH, Embed, open_model
from training.recordio import RecordError

CACHE = Path("runs") / "teacher"
PART = 2048  # crops per cached part
Embeddings = NDArray[np.float32]  # (N, D), unit rows


class TeacherError(ClockfaceError):
    """Teacher embeddings are missing or cannot be used."""

    code = "teacher"


class NamedCrops(Protocol):
    """A source of crops by position, with a name for each."""


    @property
    def names(self) -> Sequence[str]: ...

    def crop(self, position: int) -> NDArray[np.uint8]: ...


def joined(pairs: list[tuple[str, NamedCrops]]) -> Embeddings | None:
    """Teacher embeddings of all sources in order; rows of a source without a teacher are zero; None if no source has one."""
    parts = [embeddings(expanded(path), source) if path else None for path, source in pairs]
    sizes = {part.shape[1] for part in parts if part is not None}
    if not sizes:
        return None
    if len(sizes) > 1:
        raise TeacherError(f"the sources' teachers have embedding sizes {sorted(sizes)}; use one teacher")
    size = sizes.pop()
    return np.concatenate([np.zeros((len(s.names), size), np.float32) if part is None else part for part, (_, s) in zip(parts, pairs, strict=True)])


def embeddings(path: str, source: NamedCrops) -> Embeddings:
    """(N, D) unit rows in the source's order, from an `.npz` or by an embedder, `.onnx` or `.pt` (cached as `.npz` under `runs/teacher`)."""
    rows = _embedded(Path(path), source) if path.endswith((".onnx", ".pt")) else load(Path(path))
    if len(rows) != len(source.names):
        raise TeacherError(f"{path}: expected {len(source.names)} embeddings in the order of the crops, got {len(rows)}")
    return rows


def load(path: Path) -> Embeddings:
    """Read `embedding` (N, D) float, or int8 with `scale` (N,), as unit float32 rows."""
    try:
        with np.load(path) as data:
            rows = data["embedding"].astype(np.float32)
            if "scale" in data:
                rows *= data["scale"][:, None]
    except (OSError, KeyError, ValueError, TypeError) as error:  # TypeError: np.load of an .npy gives an array
        raise TeacherError(f"{path} holds no teacher embeddings ({error}); expected an .npz with `embedding`, and `scale` if int8") from error
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.isfinite(norms).all() or (norms < 1e-6).any():
        raise TeacherError(f"{path}: some embeddings are zero or not finite; create the file again")
    return np.asarray(rows / norms, np.float32)


def _embedded(path: Path, source: NamedCrops) -> Embeddings:
    """Embed every crop and its mirror image once; the row of a corrupted crop is zero. After a kill, work resumes at the first part that is missing."""
    cache = CACHE / f"{_fingerprint(path, source)}.npz"
    parts = cache.with_suffix(".parts")
    if not cache.exists():
        embed, starts = open_model(path), range(0, len(source.names), PART)
        files = [_part(parts / f"{start:08d}.npz", embed, source, range(start, min(start + PART, len(source.names)))) for start in starts]
        write(cache, embedding=np.concatenate([_read(file) for file in files]))
        shutil.rmtree(parts)
    return _read(cache)


def _part(file: Path, embed: Embed, source: NamedCrops, positions: range) -> Path:
    if not file.exists():
        blocks = (range(start, min(start + BATCH, positions.stop)) for start in range(positions.start, positions.stop, BATCH))
        write(file, embedding=np.concatenate([_rows(embed, source, block) for block in blocks]))
    return file


def _read(file: Path) -> Embeddings:
    with np.load(file) as data:
        return np.asarray(data["embedding"], np.float32)


def write(path: Path, **arrays: NDArray[Any]) -> None:
    """Write an `.npz` in one step, mode 600, because embeddings are biometric data."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    part.replace(path)


def _rows(embed: Embed, source: NamedCrops, positions: range) -> Embeddings:
    kept, crops = [], []
    for row, position in enumerate(positions):
        with contextlib.suppress(RecordError):  # training counts and names it
            crops.append(source.crop(position))
            kept.append(row)
    size = embed(np.full((1, CROP_SIZE, CROP_SIZE, 3), 128, np.uint8)).shape[1]
    rows = np.zeros((len(positions), size), np.float32)
    if kept:
        stack = np.stack(crops)
        both = embed(stack) + embed(np.ascontiguousarray(stack[:, :, ::-1]))
        rows[kept] = both / np.linalg.norm(both, axis=1, keepdims=True)
    return rows


def _fingerprint(path: Path, source: NamedCrops) -> str:
    """Hash of the model file and the names of the crops: if either changes, the crops are embedded again."""
    digest = hashlib.sha256(path.read_bytes() if path.is_file() else b"")
    digest.update("\n".join(source.names).encode())
    return digest.hexdigest()[:32]
