"""Who is asked for the direction, in the flow of `test_pipeline.py`: recorded with the answer, or as the settings say without one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from device.config import AttendanceSettings, Settings
from device.storage.store import Store
from tests.device.terminal.drawn import OFF, Shown, Terminal, recorded, two_people
from tests.device.terminal.test_pipeline import Failing, see_on, yesterday


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with two_people(tmp_path) as opened:
        yield opened


def asking(store: Store, unanswered: str = "auto") -> Terminal:
    return Terminal(
        store, Settings(attendance=AttendanceSettings(refractory_seconds=60, direction="asked", ask_seconds=5, unanswered=unanswered), liveness=OFF)
    )


def test_who_is_asked_is_recorded_with_the_answer_for_the_time_of_recognition(store: Store) -> None:
    terminal = asking(store)
    terminal.see(2, Shown("A"))
    (question,) = terminal.pipeline.questions.open()
    assert recorded(store) == [] and question.draft.direction == "in"
    terminal.see(1)  # steps out of view to reach the buttons
    assert not terminal.pipeline.questions.answer("guessed", "out", terminal.now)
    assert terminal.pipeline.questions.answer(question.token, "break_start", terminal.now)
    assert not terminal.pipeline.questions.answer(question.token, "out", terminal.now)
    scenes = terminal.see(1, Shown("A"))
    assert [punch.direction for scene in scenes for _, punch in scene.punches] == ["break_start"]
    assert recorded(store) == [(1, "break_start")] and store.punches()[0].occurred_at == pytest.approx(question.draft.occurred_at, abs=0.001)
    terminal.see(10, Shown("A"))
    assert recorded(store) == [(1, "break_start")]


@pytest.mark.parametrize(("unanswered", "expected"), [("auto", [(1, "auto")]), ("none", [])])
def test_who_does_not_answer_is_recorded_as_the_settings_say(store: Store, unanswered: str, expected: list[tuple[int, str]]) -> None:
    terminal = asking(store, unanswered)
    terminal.see(2, Shown("A"))
    token = terminal.pipeline.questions.open()[0].token
    terminal.see(8, Shown("A"))
    assert recorded(store) == expected and terminal.pipeline.questions.open() == ()
    assert not terminal.pipeline.questions.answer(token, "in", terminal.now)


def test_a_clock_that_is_set_back_does_not_leave_a_question_open_for_hours(store: Store) -> None:
    terminal = asking(store)
    terminal.see(2, Shown("A"))
    terminal.now -= 3600
    terminal.see(2, Shown("A"))
    assert recorded(store) == [(1, "auto")]
    (question,) = terminal.pipeline.questions.open()
    assert terminal.pipeline.questions.answer(question.token, "out", terminal.now)  # of the visit after the clock was set
    terminal.see(1, Shown("A"))
    assert recorded(store) == [(1, "out"), (1, "auto")]  # by what the clock said


def test_who_was_not_recorded_for_want_of_an_answer_is_asked_again_when_they_come_back(store: Store) -> None:
    yesterday(store)
    terminal = asking(store, "none")
    terminal.see(10, Shown("A"))
    terminal.see(2)
    scenes = terminal.see(2, Shown("A"))
    assert scenes[-1].subjects[0].words == "A: in or out?" and len(terminal.pipeline.questions.open()) == 1


def test_an_answer_outlives_a_store_that_fails(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = asking(store)
    terminal.see(2, Shown("A"))
    (question,) = terminal.pipeline.questions.open()
    assert terminal.pipeline.questions.answer(question.token, "break_start", terminal.now)
    monkeypatch.setattr(store, "record_punch", Failing(store, 1, 2))
    see_on(terminal, 2)
    assert recorded(store) == [(1, "break_start")] and terminal.pipeline.questions.settled(terminal.now + 100) == []


def test_two_people_are_asked_apart(store: Store) -> None:
    terminal = asking(store)
    terminal.see(2, Shown("A"), Shown("B", 400.0))
    first, second = terminal.pipeline.questions.open()
    assert terminal.pipeline.questions.answer(second.token, "out", terminal.now)
    terminal.see(1, Shown("A"), Shown("B", 400.0))
    assert recorded(store) == [(second.person.id, "out")] and terminal.pipeline.questions.open() == (first,)


def test_who_is_deactivated_while_asked_is_not_recorded(store: Store) -> None:
    terminal = asking(store)
    terminal.see(2, Shown("A"))
    store.deactivate(1)
    terminal.pipeline.questions.answer(terminal.pipeline.questions.open()[0].token, "in", terminal.now)
    terminal.see(2, Shown("A"))
    assert recorded(store) == []
