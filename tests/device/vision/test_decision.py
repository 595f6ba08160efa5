"""Worked examples of the vote."""

from __future__ import annotations

import pytest

from device.config import DecisionSettings
from device.vision.decision import Decision
from device.vision.gallery import Match

A, B, CLOSE = Match(1, 0.8, 0.5), Match(2, 0.7, 0.4), Match(1, 0.6, 0.01)
STRANGER, NOBODY_LIKE = Match(1, 0.3, 0.1), Match(1, 0.2, 0.1)  # below the threshold of 0.4, and clearly so


@pytest.mark.parametrize(
    ("matches", "state", "person"),
    [
        ([], "undecided", None),
        ([A, A], "undecided", None),
        ([A, A, A], "known", 1),
        ([A, STRANGER, A, STRANGER, A], "known", 1),
        ([A, A, A, B], "undecided", None),
        ([STRANGER] * 5, "undecided", None),
        ([STRANGER] * 6, "unknown", None),
        ([NOBODY_LIKE] * 2, "undecided", None),
        ([NOBODY_LIKE] * 3, "unknown", None),
        ([None] * 3, "unknown", None),
        ([NOBODY_LIKE] * 2 + [STRANGER], "undecided", None),
        ([NOBODY_LIKE] * 3 + [STRANGER], "unknown", None),
        ([NOBODY_LIKE] * 3 + [CLOSE], "undecided", None),
        ([NOBODY_LIKE] * 3 + [A], "undecided", None),
        ([NOBODY_LIKE] * 3 + [A, A, A], "known", 1),
        ([CLOSE] * 6, "undecided", None),
        ([None] * 6, "unknown", None),
        ([B, A, A, A, A, A, A], "known", 1),
        ([A, A, A] + [STRANGER] * 6, "unknown", None),
    ],
)
def test_votes(matches: list[Match | None], state: str, person: int | None) -> None:
    decision = Decision(DecisionSettings())
    outcome = decision.outcome()
    for match in matches:
        outcome = decision.add(match, 0.4)
    assert (outcome.state, outcome.person_id) == (state, person)


def test_known_reports_the_mean_of_the_agreeing_pictures() -> None:
    decision = Decision(DecisionSettings())
    for score in (0.5, 0.6, 0.7):
        outcome = decision.add(Match(1, score, score - 0.1), 0.4)
    assert (outcome.score, outcome.lead, outcome.threshold) == (pytest.approx(0.6), pytest.approx(0.5), 0.4)
