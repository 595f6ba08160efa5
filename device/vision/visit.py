"""Evidence of a visit: one face in view, from its first good picture until it has been gone for a while.

The evidence is the weighted mean of the embeddings of all its good pictures. So whoever stays longer gets no further tries: each search asks about
the same face, better known. Pure: embeddings and times come in.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from device.config import DecisionSettings
from device.vision.cohort import Comparison
from device.vision.decision import Bar, Decision, Outcome
from device.vision.gallery import Match

Embedding = NDArray[np.float32]  # (D,) unit length

NOVEL_SECONDS = 0.3  # pictures this far apart count in full; nearer ones are near-duplicates and count in part
GONE_SECONDS = 10.0  # a face that comes back within this time goes on with its visit


class Evidence:
    """The weighted mean of embeddings."""

    def __init__(self) -> None:
        self.pictures = 0
        self.weighed = 0.0  # pictures, near-duplicates in part
        self.last = float("-inf")  # s
        self._sum: NDArray[np.float64] | None = None

    @property
    def mean(self) -> Embedding:
        """Only once there is a picture."""
        assert self._sum is not None
        return np.asarray(self._sum / max(float(np.linalg.norm(self._sum)), 1e-9), np.float32)

    def add(self, embedding: Embedding, quality: float, time: float) -> None:
        """Take in one picture of this quality, 0..1, seen at this time in s."""
        share = float(np.clip((time - self.last) / NOVEL_SECONDS, 0.05, 1.0))
        part = embedding.astype(np.float64) * share * max(quality, 0.01)
        self._sum = part if self._sum is None else self._sum + part
        self.pictures, self.weighed, self.last = self.pictures + 1, self.weighed + share, time

    def likeness(self, embedding: Embedding) -> float:
        """Cosine of another picture to the mean."""
        return float(self.mean @ embedding)


class Visit:
    """One visit and its outcome so far."""

    def __init__(self, settings: DecisionSettings) -> None:
        self.counted = False  # as a sighting
        self.faces = 0  # how many faces it was about so far, one after the other
        self._settings = settings
        self._odd: tuple[Embedding, float, float] | None = None  # the newest picture, if it does not fit the others
        self._start()

    @property
    def outcome(self) -> Outcome:
        return self._decision.outcome

    @property
    def doubtful(self) -> bool:
        """Whether the newest picture was set aside, so that the next one decides whether it is somebody else."""
        return self._odd is not None

    def look(self, embedding: Embedding, quality: float, time: float, search: Callable[[Embedding], Match | None], bar: Bar) -> Outcome:
        """Take in one more picture, search for the mean and decide.

        One picture that does not fit the others is set aside. Two such pictures that fit each other show another face: the evidence starts anew.
        """
        odd, self._odd = self._odd, None
        if self._evidence.pictures and self._evidence.likeness(embedding) < bar.changed:
            if odd is None or float(odd[0] @ embedding) < bar.changed:
                self._odd = embedding, quality, time
                return self.outcome
            self.counted = False
            self._start()
            self._evidence.add(*odd)
        self._evidence.add(embedding, quality, time)
        return self.search(search, bar)

    def search(self, search: Callable[[Embedding], Match | None], bar: Bar) -> Outcome:
        """Decide about the pictures so far."""
        return self._decision.add(search(self._evidence.mean), bar, self._evidence.pictures, self._evidence.weighed)

    def continues(self, embedding: Embedding, bar: Bar) -> bool:
        """Whether a face that has just appeared is that of this visit."""
        return bool(self._evidence.pictures) and Comparison(bar.threshold, bar.cohort).alike(self._evidence.mean, embedding)

    def _start(self) -> None:
        self.faces += 1
        self._evidence, self._decision = Evidence(), Decision(self._settings)


class InterruptedVisits:
    """Visits whose face was lost from view a moment ago."""

    def __init__(self) -> None:
        self._lost: list[tuple[float, Visit]] = []  # s and the visit

    def add(self, visit: Visit, time: float) -> None:
        self._lost.append((time, visit))

    def resumed(self, embedding: Embedding, time: float, bar: Bar) -> Visit | None:
        """The visit that goes on with a face that has just appeared; None where it is another one, or too long ago."""
        self._lost = [(lost, visit) for lost, visit in self._lost if 0 <= time - lost <= GONE_SECONDS]
        found = next((entry for entry in self._lost if entry[1].continues(embedding, bar)), None)
        if found is not None:
            self._lost.remove(found)
        return found[1] if found else None
