"""Finds the file of a model by the model's id: one that has served here before, or one of the list; either is verified."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from device.contract import ClockfaceError
from device.vision.catalogue import Catalogue, sha256
from device.vision.embedder import card_in


@dataclass(frozen=True)
class ServedFile:
    """A model file as it was when it served."""

    model_id: str
    path: Path
    sha256: str


def file_of(model_id: str, served: Iterable[ServedFile], catalogue: Catalogue) -> Path | None:
    """A file with this model; None if it is no longer here, or was changed."""
    remembered = (file.path for file in served if file.model_id == model_id and file.path.is_file() and sha256(file.path) == file.sha256)
    return next((path for path in (*remembered, *_listed(catalogue)) if _holds(path, model_id)), None)


def _listed(catalogue: Catalogue) -> Iterator[Path]:
    for entry in catalogue.entries.values():
        if entry.kind == "embedder" and catalogue.fault(entry) is None:
            yield catalogue.place(entry)


def _holds(path: Path, model_id: str) -> bool:
    try:
        return card_in(path).model_id == model_id
    except ClockfaceError:
        return False
