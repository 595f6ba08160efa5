"""Worked examples of what the looks of one visit come to."""

from __future__ import annotations

import pytest

from device.config import DecisionSettings
from device.vision.decision import Bar, Decision, Outcome, judge
from device.vision.gallery import Match

A, B = Match(1, 0.8, 0.5), Match(2, 0.7, 0.4)
JUST = Match(1, 0.45, 0.2)  # above the threshold of 0.4, but not by the early margins
CLOSE = Match(1, 0.6, 0.01)  # without a lead
BELOW, FAR_BELOW = Match(1, 0.3, 0.1), Match(1, 0.2, 0.1)  # below the threshold, and clearly so
TWINS, TWINS_APART = Match(1, 0.8, 0.09, 0.35), Match(1, 0.8, 0.11, 0.35)  # of two people who are alike themselves
EARLY = (0.2, 0.1, 0.06)  # after one, two and three pictures
DEFAULTS = DecisionSettings()
BAR = Bar(0.4, lambda pictures: dict(enumerate(EARLY, 1)).get(round(pictures), 0.0))


def after(matches: list[Match | None], bar: Bar = BAR, settings: DecisionSettings = DEFAULTS) -> Outcome:
    """The outcome of looks that each add a whole picture."""
    decision = Decision(settings)
    outcome = decision.outcome
    for pictures, match in enumerate(matches, 1):
        outcome = decision.add(match, bar, pictures, float(pictures))
        assert outcome is decision.outcome and outcome.pictures == pictures
    return outcome


@pytest.mark.parametrize(
    ("matches", "state", "person"),
    [
        ([], "undecided", None),
        ([A], "undecided", None),  # `agree` asks for two pictures
        ([A, A], "known", 1),
        ([B, A], "known", 1),  # each result is that of all pictures so far
        ([A, A, B], "known", 2),
        ([JUST] * 3, "undecided", None),  # the margin of three pictures is 0.06
        ([JUST] * 4, "known", 1),  # none is asked for from the fourth on
        ([A, A, JUST], "known", 1),  # who is known needs no margin any more
        ([A, A, BELOW], "undecided", None),
        ([A, A, BELOW, JUST], "known", 1),
        ([A, A, FAR_BELOW], "unknown", None),
        ([CLOSE] * 6, "undecided", None),
        ([TWINS] * 6, "undecided", None),  # the double lead is 0.1
        ([TWINS_APART] * 2, "known", 1),
        ([BELOW] * 5, "undecided", None),
        ([BELOW] * 6, "unknown", None),
        ([FAR_BELOW], "undecided", None),
        ([FAR_BELOW] * 2, "unknown", None),
        ([None], "undecided", None),
        ([None] * 2, "unknown", None),
        ([FAR_BELOW] * 2 + [BELOW], "unknown", None),  # and so it stays below the threshold
        ([FAR_BELOW] * 2 + [CLOSE], "undecided", None),
        ([FAR_BELOW] * 2 + [JUST], "undecided", None),
        ([FAR_BELOW] * 2 + [JUST] * 2, "known", 1),
        ([FAR_BELOW] * 2 + [A], "known", 1),
        ([BELOW] * 6 + [JUST], "known", 1),
    ],
)
def test_looks(matches: list[Match | None], state: str, person: int | None) -> None:
    outcome = after(matches)
    assert (outcome.state, outcome.person_id) == (state, person) and outcome.reason


@pytest.mark.parametrize("pictures", [1, 2, 3, 4])
def test_the_early_margin_is_added_to_the_threshold(pictures: int) -> None:
    needed = 0.4 + (*EARLY, 0.0)[pictures - 1]
    settings = DecisionSettings(agree=1)
    for score, state in ((needed - 0.001, "undecided"), (needed + 0.001, "known")):
        outcome = Decision(settings).add(Match(1, score, 0.3), BAR, pictures, float(pictures))
        assert outcome.state == state and outcome.threshold == 0.4


def test_near_duplicates_keep_the_early_margin_in_force() -> None:
    """Four pictures that weigh as much as two."""
    for score, state in ((0.49, "undecided"), (0.51, "known")):
        assert Decision(DecisionSettings()).add(Match(1, score, 0.3), BAR, 4, 2.0).state == state


def test_another_person_needs_the_margin_though_somebody_is_known() -> None:
    decision = Decision(DecisionSettings())
    assert decision.add(A, BAR, 2, 2.0).person_id == 1
    assert decision.add(Match(2, 0.45, 0.2), BAR, 3, 3.0).state == "undecided"
    assert decision.add(Match(2, 0.47, 0.2), BAR, 3, 3.0).person_id == 2


def test_known_reports_the_newest_search() -> None:
    outcome = after([A, B, Match(1, 0.6, 0.3)])
    assert (outcome.score, outcome.lead, outcome.threshold, outcome.pictures) == (0.6, 0.3, 0.4, 3)


def test_a_picture_more_is_asked_for_by_agree() -> None:
    settings = DecisionSettings(agree=3)
    assert [after([A] * n, settings=settings).state for n in (1, 2, 3)] == ["undecided", "undecided", "known"]
    assert [after([FAR_BELOW] * n, settings=settings).state for n in (1, 2, 3)] == ["undecided", "undecided", "unknown"]


@pytest.mark.parametrize(
    ("pair_score", "lead", "state"),
    [
        (-1.0, 0.051, "known"),
        (-1.0, 0.049, "undecided"),
        (0.299, 0.051, "known"),  # the two are alike from 0.4 - 0.1 on
        (0.301, 0.051, "undecided"),
        (0.301, 0.099, "undecided"),
        (0.301, 0.101, "known"),
        (0.9, 0.101, "known"),
        (0.9, None, "known"),  # nobody else is enrolled
    ],
)
def test_look_alikes_need_the_double_lead(pair_score: float, lead: float | None, state: str) -> None:
    assert judge(Match(1, 0.8, lead, pair_score), 0.4, 0.05).state == state


def test_without_a_lead_asked_for_look_alikes_need_none() -> None:
    """As enrolment searches for a face that is known."""
    assert judge(Match(1, 0.8, 0.0, 0.9), 0.4, 0.0).person_id == 1
