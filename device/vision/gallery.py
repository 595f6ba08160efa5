"""Exact search over everybody enrolled: one matrix, one product a probe.

Brute force is right for a terminal: 50,000 templates take milliseconds, lose no recall and need no index to keep.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from device.contract import ClockfaceError


class GalleryError(ClockfaceError):
    """A template or probe that does not belong to this gallery."""

    code = "gallery"


@dataclass(frozen=True)
class Match:
    """The best person for one probe."""

    person_id: int
    score: float  # cosine, -1..1
    lead: float | None  # score minus the best score of another person; None where nobody else is enrolled


class Gallery:
    """Templates of one model; several a person; people come and go while it is searched.

    Args:
        model_id: the only model whose templates may be added.
        size: embedding size D.
    """

    def __init__(self, model_id: str, size: int) -> None:
        self.model_id = model_id
        self.size = size
        self._rows = 0
        self._matrix = np.zeros((16, size), dtype=np.float32)  # (capacity, D); rows behind _rows are spare
        self._person_ids = np.zeros(16, dtype=np.int64)  # (capacity,)

    def __len__(self) -> int:
        """Templates."""
        return self._rows

    @property
    def people(self) -> int:
        """Different people: the N that thresholds depend on."""
        return len(np.unique(self._person_ids[: self._rows]))

    def add(self, person_ids: NDArray[np.int64], templates: NDArray[np.float32], model_id: str) -> None:
        """Add templates.

        Args:
            person_ids: (K,) int64.
            templates: (K, D) float32, unit length.
            model_id: of the model that made them.

        Raises:
            GalleryError: they are of another model, shape or length.
        """
        if model_id != self.model_id:
            raise GalleryError(
                f"templates of model {model_id:.12} cannot be searched with {self.model_id:.12}; enrol these people again", code="model.mismatch"
            )
        if templates.shape != (len(person_ids), self.size) or templates.dtype != np.float32:
            raise GalleryError(
                f"templates: expected ({len(person_ids)}, {self.size}) float32, got {templates.shape} {templates.dtype}", code="gallery.templates"
            )
        if not np.allclose(np.linalg.norm(templates, axis=1), 1.0, atol=1e-3):
            raise GalleryError("templates: expected unit length; the database may be damaged, run `python -m device doctor`", code="gallery.templates")
        self._reserve(self._rows + len(person_ids))
        self._matrix[self._rows : self._rows + len(person_ids)] = templates
        self._person_ids[self._rows : self._rows + len(person_ids)] = person_ids
        self._rows += len(person_ids)

    def remove(self, person_id: int) -> int:
        """Forget all templates of one person; returns how many there were."""
        keep = self._person_ids[: self._rows] != person_id
        kept = int(keep.sum())
        removed = self._rows - kept
        self._matrix[:kept] = self._matrix[: self._rows][keep]
        self._person_ids[:kept] = self._person_ids[: self._rows][keep]
        self._matrix[kept : self._rows] = 0.0  # nothing of them stays in memory
        self._rows = kept
        return removed

    def search(self, probe: NDArray[np.float32]) -> Match | None:
        """The person most like a probe, or None in an empty gallery.

        Args:
            probe: (D,) float32, unit length.
        """
        if probe.shape != (self.size,):
            raise GalleryError(f"probe: expected ({self.size},), got {probe.shape}", code="gallery.probe")
        if self._rows == 0:
            return None
        scores = self._matrix[: self._rows] @ probe  # (K, D) @ (D,) -> (K,)
        ids = self._person_ids[: self._rows]
        best = int(np.argmax(scores))
        score, person_id = float(scores[best]), int(ids[best])
        others = scores[ids != person_id]
        return Match(person_id, score, score - float(others.max()) if len(others) else None)

    def _reserve(self, rows: int) -> None:
        if rows > len(self._matrix):
            spare = max(rows, 2 * len(self._matrix)) - self._rows
            self._matrix = np.concatenate([self._matrix[: self._rows], np.zeros((spare, self.size), dtype=np.float32)])
            self._person_ids = np.concatenate([self._person_ids[: self._rows], np.zeros(spare, dtype=np.int64)])
