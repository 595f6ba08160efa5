"""Scores against a cohort of strangers: how alike two embeddings are, compared with how alike each of them is to people who are nobody here.

Some faces resemble many others, and a net tells some groups apart less well than others; a plain cosine then accepts their strangers more often.
Adaptive symmetric normalisation takes from a score the mean of the highest cohort scores of either side, and divides by their deviation:

    z = ((s - mean_probe) / deviation_probe + (s - mean_template) / deviation_template) / 2

Source: Z. N. Karam, W. M. Campbell and N. Dehak, "Towards reduced false-alarms using cohorts", ICASSP 2011; P. Matejka et al., "Analysis of score
normalization in multilingual speaker recognition", Interspeech 2017. The result is given on the scale of a cosine: the usual mean and deviation are put back.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from device.contract import ContractError

FLOOR = 0.25  # smallest deviation that counts, as a share of the usual one, so that no score is blown up


@dataclass(frozen=True)
class Statistics:
    """Of the highest cohort scores of N embeddings."""

    mean: NDArray[np.float32]  # (N,)
    deviation: NDArray[np.float32]  # (N,)

    @classmethod
    def none(cls, count: int = 0) -> Statistics:
        """Nothing measured yet."""
        return cls(np.zeros(count, np.float32), np.zeros(count, np.float32))


@dataclass(frozen=True)
class Cohort:
    """Strangers' embeddings that lie in the model file beside the card."""

    rows: NDArray[np.int8]  # (C, D); a row times 1/127 of its largest value is about a unit vector
    highest: int  # cohort scores that count
    spread: float  # power of the deviations, 0: only means are taken off; 1: the formula above; less treats groups less alike and misses fewer people
    mean: float  # usual mean of the highest cohort scores
    deviation: float  # and their usual deviation
    data: str  # whose faces these are, with their licence
    _unit: NDArray[np.float32] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        directions = self.rows.ndim == 2 and bool(self.rows.any(axis=1).all())
        usual = 0 <= self.spread <= 1 and np.isfinite(self.mean) and self.deviation > 0
        if not directions or not 1 < self.highest < len(self.rows) or not usual:
            found = f"{self.rows.shape} rows{'' if directions else ' that are no directions'}, {self.highest} highest, spread {self.spread}"
            raise ContractError(f"cohort of the model: {found}, usual {self.mean} and {self.deviation}; calibrate the model again", code="contract.card")
        rows = self.rows.astype(np.float32)
        object.__setattr__(self, "_unit", rows / np.linalg.norm(rows, axis=1, keepdims=True))

    @classmethod
    def of(cls, embeddings: NDArray[np.float32], usual: NDArray[np.float32], highest: int, spread: float, data: str) -> Cohort:
        """A cohort of (C, D) unit embeddings; the mean and deviation that other unit embeddings (N, D) have against it are the usual ones."""
        rows = np.round(embeddings / np.abs(embeddings).max(axis=1, keepdims=True) * 127).astype(np.int8)
        found = cls(rows, highest, spread, 0.0, 1.0, data).statistics(usual)
        return cls(rows, highest, spread, float(found.mean.mean()), float(found.deviation.mean()), data)

    @property
    def directions(self) -> NDArray[np.float32]:
        """(C, D) of unit length."""
        return self._unit

    def statistics(self, embeddings: NDArray[np.float32]) -> Statistics:
        """Of (N, D) unit embeddings."""
        return _highest(embeddings @ self._unit.T, self.highest)

    def normalise(self, scores: NDArray[np.float32], probe: Statistics, templates: Statistics) -> NDArray[np.float32]:
        """Cosines (P, N) of P probes and N templates -> scores (P, N) on the same scale."""
        by_probe = (scores - probe.mean[:, None]) / self._relative(probe.deviation)[:, None]
        by_template = (scores - templates.mean[None]) / self._relative(templates.deviation)[None]
        return np.asarray(np.minimum(self.mean + (by_probe + by_template) / 2, 1.0), np.float32)

    def _relative(self, deviation: NDArray[np.float32]) -> NDArray[np.float32]:
        """Deviations over the usual one, (N,), to the power of `spread`."""
        return np.asarray(np.maximum(deviation / np.float32(self.deviation), FLOOR) ** self.spread, np.float32)

    def to_text(self) -> str:
        """For the metadata of a model file."""
        about = {"shape": self.rows.shape, "highest": self.highest, "spread": self.spread, "mean": self.mean, "deviation": self.deviation, "data": self.data}
        return json.dumps({**about, "rows": base64.b64encode(self.rows.tobytes()).decode()})

    @classmethod
    def from_text(cls, text: str, embedding_size: int) -> Cohort:
        """Read the metadata of a model file.

        Raises:
            ContractError: it is damaged, or of another embedding size.
        """
        try:
            about = json.loads(text)
            rows = np.frombuffer(base64.b64decode(about.pop("rows"), validate=True), np.int8).reshape(about.pop("shape"))
            cohort = cls(rows, **about)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ContractError(f"cohort of the model: not readable ({error}); calibrate the model again", code="contract.card") from error
        if cohort.rows.shape[1] != embedding_size:
            raise ContractError(f"cohort of the model: expected {embedding_size} columns, got {cohort.rows.shape[1]}", code="contract.card")
        return cohort


def scores(probes: NDArray[np.float32], others: NDArray[np.float32], cohort: Cohort | None) -> NDArray[np.float32]:
    """(P, D), (N, D) unit embeddings -> (P, N) on the scale of the card's thresholds; plain cosines for a model without a cohort."""
    cosines = np.asarray(probes @ others.T, np.float32)
    return cosines if cohort is None else cohort.normalise(cosines, cohort.statistics(probes), cohort.statistics(others))


@dataclass(frozen=True)
class Comparison:
    """Whether pictures show one person: they are compared with each other, not searched in a gallery."""

    threshold: float  # on the scale of the model's scores
    cohort: Cohort | None = None  # of the model

    def scores(self, ones: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
        """(P, D), (N, D) unit embeddings -> (P, N)."""
        return scores(ones, others, self.cohort)

    def alike(self, one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
        """Of two unit embeddings (D,)."""
        return bool(self.scores(one[None], other[None])[0, 0] >= self.threshold)


def _highest(scores: NDArray[np.float32], highest: int) -> Statistics:
    top = np.partition(scores, scores.shape[1] - highest, axis=1)[:, -highest:]
    return Statistics(top.mean(axis=1), top.std(axis=1))
