"""From the search results of one visit to one word: known, unknown or undecided, each with its reason.

Pure: results come in, an outcome comes out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from device.config import DecisionSettings
from device.vision.cohort import Cohort
from device.vision.gallery import Match

State = Literal["known", "unknown", "undecided"]

LATE_MARGIN = 0.04  # who is not known within the window needs this on top of the threshold: the mean of a long visit still moves a little
LOOK_ALIKE_GUARD = 0.1  # people whose means score more with each other than the threshold minus this ...
LOOK_ALIKE_LEAD = 2.0  # ... need this many times the usual lead


@dataclass(frozen=True)
class Bar:
    """What the score of a visit must exceed."""

    threshold: float  # of the card, for this many people
    early: Callable[[float], float] = lambda _: 0.0  # what is asked for on top of it after so many pictures
    changed: float = 0.25  # cosine to the visit's mean below which a picture shows another face
    cohort: Cohort | None = None  # of the model, whose scale the threshold has


@dataclass(frozen=True)
class Outcome:
    """What is known of one visit so far."""

    state: State
    reason: str
    person_id: int | None = None  # only when known
    score: float = -1.0  # of the visit's mean
    lead: float | None = None  # None where nobody else is enrolled
    threshold: float = 1.0
    pictures: int = 0


def judge(match: Match | None, threshold: float, min_lead: float) -> Outcome:
    """One probe on its own, as `identify` and enrolment need it."""
    if match is None:
        return Outcome("unknown", "nobody is enrolled", threshold=threshold)
    seen = Outcome("undecided", "", None, match.score, match.lead, threshold, 1)
    if match.score < threshold:
        return replace(seen, state="unknown", reason="score below the threshold")
    needed = min_lead * (LOOK_ALIKE_LEAD if look_alikes(match.pair_score, threshold) else 1.0)
    if match.lead is not None and match.lead < needed:
        return replace(seen, reason="two people are about as alike")
    return replace(seen, state="known", reason="score above the threshold", person_id=match.person_id)


def look_alikes(pair_score: float, threshold: float) -> bool:
    """Whether two enrolled people are so alike that they need a larger lead over each other."""
    return pair_score > threshold - LOOK_ALIKE_GUARD


class Decision:
    """What the looks of one visit come to.

    Known: the score of the visit's mean exceeds the threshold, by a margin while there are few pictures and once there are many, and leads.
    Unknown: `window` pictures, or `agree` pictures whose mean is below the threshold by `clear_miss`; and so it stays while the score is below the threshold.
    """

    def __init__(self, settings: DecisionSettings) -> None:
        self.settings = settings
        self.outcome = Outcome("undecided", "no good picture yet")

    def add(self, match: Match | None, bar: Bar, pictures: int, weighed: float) -> Outcome:
        """Take in the search result of the mean of so many pictures and say where things stand."""
        found = replace(judge(match, bar.threshold, self.settings.min_lead), pictures=pictures)
        if found.state == "known":
            found = self._known(found, bar.early(weighed) if pictures <= self.settings.window else LATE_MARGIN)
        elif found.state == "unknown" and not self._clear(found):
            found = replace(found, state="undecided", reason=f"{pictures} of {self.settings.window} pictures seen")
        self.outcome = found
        return found

    def _known(self, found: Outcome, margin: float) -> Outcome:
        if self.outcome.person_id == found.person_id:
            return found  # known before, and nothing speaks against it
        if found.pictures < self.settings.agree or found.score < found.threshold + margin:
            return replace(found, state="undecided", reason=f"alike, after {found.pictures} pictures not sure enough", person_id=None)
        return found

    def _clear(self, found: Outcome) -> bool:
        enough = found.pictures >= self.settings.window or self.outcome.state == "unknown"
        return enough or (found.pictures >= self.settings.agree and found.score < found.threshold - self.settings.clear_miss)
