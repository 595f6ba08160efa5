"""From several crops of one track to one word: known, unknown or undecided, each with its reason.

Pure: votes come in, an outcome comes out. A single crop never decides.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal

from device.config import DecisionSettings
from device.vision.gallery import Match

State = Literal["known", "unknown", "undecided"]


@dataclass(frozen=True)
class Outcome:
    """What is known of one track so far."""

    state: State
    reason: str
    person_id: int | None = None  # only when known
    score: float = -1.0  # mean over the agreeing crops when known, else the best seen
    lead: float | None = None  # None where nobody else is enrolled
    threshold: float = 1.0


def judge(match: Match | None, threshold: float, min_lead: float) -> Outcome:
    """One probe on its own, as `identify` and enrolment need it."""
    if match is None:
        return Outcome("unknown", "nobody is enrolled", threshold=threshold)
    if match.score < threshold:
        return Outcome("unknown", "score below the threshold", None, match.score, match.lead, threshold)
    if match.lead is not None and match.lead < min_lead:
        return Outcome("undecided", "two people are about as alike", None, match.score, match.lead, threshold)
    return Outcome("known", "score above the threshold", match.person_id, match.score, match.lead, threshold)


class Decision:
    """Votes of one track.

    Known: at least `agree` of the latest `window` crops name the same person, each above the threshold and ahead of
    everybody else, and no crop names somebody else. Unknown: `window` crops, all of them below the threshold, or `agree`
    crops, all of them below it by `clear_miss`; and so it stays while crops are below the threshold.
    """

    def __init__(self, settings: DecisionSettings) -> None:
        self.settings = settings
        self._votes: deque[Outcome] = deque(maxlen=settings.window)
        self._unknown = False  # the outcome before the newest crop

    def add(self, match: Match | None, threshold: float) -> Outcome:
        """Take in the search result of one more crop and say where things stand."""
        self._votes.append(judge(match, threshold, self.settings.min_lead))
        outcome = self.outcome()
        self._unknown = outcome.state == "unknown"
        return outcome

    def outcome(self) -> Outcome:
        votes = self._votes
        if not votes:
            return Outcome("undecided", "no good picture yet")
        best = max(votes, key=lambda vote: vote.score)
        so_far = replace(best, state="undecided", person_id=None)
        named = {vote.person_id for vote in votes if vote.person_id is not None}
        if len(named) > 1:
            return replace(so_far, reason="pictures name different people")
        if named:
            agreeing = [vote for vote in votes if vote.person_id is not None]
            if len(agreeing) < self.settings.agree:
                return replace(so_far, reason=f"{len(agreeing)} of {self.settings.agree} pictures agree")
            score, threshold = fmean(vote.score for vote in agreeing), max(vote.threshold for vote in agreeing)
            leads = [vote.lead for vote in agreeing if vote.lead is not None]
            return Outcome("known", f"{len(agreeing)} pictures agree", named.pop(), score, fmean(leads) if leads else None, threshold)
        missed = self._unknown or all(vote.state == "unknown" and vote.score < vote.threshold - self.settings.clear_miss for vote in votes)
        if len(votes) < (self.settings.agree if missed else self.settings.window):
            return replace(so_far, reason=f"{len(votes)} of {self.settings.window} pictures seen")
        if any(vote.state == "undecided" for vote in votes):
            return so_far  # never "unknown": somebody enrolled is close, but two are too alike to tell
        return replace(best, state="unknown")
