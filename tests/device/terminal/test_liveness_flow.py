"""Nobody is recorded whose face may be a picture: the flow with faces drawn by hand, whose liveness is chosen."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as drawn_with
from hypothesis import strategies as st

from device.config import AttendanceSettings, CameraSettings, LivenessSettings, Settings
from device.storage.store import Store
from device.terminal.capture_session import Booth
from device.terminal.liveness_gate import MOST_PICTURES
from device.terminal.pipeline import BROKEN_PICTURES, Scene
from device.terminal.supervisor import Recognition
from device.vision.liveness import NOT_JUDGED, STEP_BACK, Judgement, LivenessError
from device.vision.visit import GONE_SECONDS
from tests.device.terminal.drawn import ENFORCE, GOOD, OBSERVE, OFF, POOR_LIGHT, START, Shown, Terminal, recorded, two_people
from tests.refused import refused

PICTURE, LIVING = 0.02, 0.95
POSTER = Shown("A", 20.0, size=0.5, live=PICTURE)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with two_people(tmp_path) as opened:
        yield opened


def terminal_with(store: Store, liveness: LivenessSettings = ENFORCE, **others: Any) -> Terminal:
    return Terminal(store, Settings(attendance=AttendanceSettings(refractory_seconds=60, **others), liveness=liveness))


@pytest.fixture
def terminal(store: Store) -> Terminal:
    return terminal_with(store)


def reasons(store: Store) -> dict[str, int]:
    return store.refusals().counts


def alarms(store: Store) -> list[int]:
    with store.reading() as db:
        return [row[0] for row in db.execute("SELECT attempts FROM refusal_alarms ORDER BY id")]


def frames_until_recorded(scenes: list[Scene]) -> int | None:
    return next((number for number, scene in enumerate(scenes, 1) if scene.punches), None)


def test_a_living_face_is_recorded_with_its_score_as_soon_as_enough_pictures_are_judged(terminal: Terminal, store: Store) -> None:
    scenes = terminal.see(30, Shown("A"))
    assert frames_until_recorded(scenes) == 5  # pictures, as the card says
    assert recorded(store) == [(1, "in")] and store.punches()[0].liveness == LIVING
    assert terminal.recogniser.judged == 5, "nothing is judged once somebody is recorded"


def test_a_picture_is_not_recorded_and_its_attempts_are_counted(terminal: Terminal, store: Store) -> None:
    scenes = terminal.see(1, Shown("A", live=PICTURE))
    assert scenes[-1].subjects[0].words == "turn to the light"
    scenes += terminal.see(13, Shown("A", live=PICTURE))
    assert recorded(store) == [] and reasons(store) == {"picture": 1} and alarms(store) == []
    assert scenes[-1].subjects[0].words == "step aside and come again"
    assert all(subject.person is None for scene in scenes for subject in scene.subjects), "nobody is told whose picture it is"
    terminal.see(20, Shown("A", live=PICTURE))
    assert reasons(store) == {"picture": 3} and alarms(store) == [3]
    last = store.refusals().latest
    assert last is not None and last.score == PICTURE and last.pictures >= 5


def test_the_alarm_is_given_once_a_track(terminal: Terminal, store: Store) -> None:
    for place in (20.0, 250.0, 480.0):  # so that nothing stays in its place for a minute
        terminal.see(55, Shown("A", place, live=PICTURE))
        terminal.see(2)
    assert alarms(store) == [3, 3, 3] and reasons(store) == {"picture": 12}


def test_who_is_refused_for_long_is_judged_no_longer_and_comes_again(terminal: Terminal, store: Store) -> None:
    terminal.see(30, Shown("A", live=PICTURE))
    assert terminal.recogniser.judged == MOST_PICTURES
    terminal.see(20, Shown("A"))
    assert recorded(store) == []
    terminal.see(2)
    assert frames_until_recorded(terminal.see(2, Shown("A"))) == 5


@pytest.mark.parametrize("live", [STEP_BACK, NOT_JUDGED, Judgement(float("nan")), Judgement(1.5), Judgement(None)])
def test_who_cannot_be_judged_is_not_recorded_and_it_is_said(terminal: Terminal, store: Store, live: Judgement) -> None:
    shown = [Shown("A", live=live), Shown("A", live=live), Shown("A", live=LIVING)]
    scenes = [scene for _, one in zip(range(130), itertools.cycle(shown), strict=False) for scene in terminal.see(0.1, one)][:12]
    assert frames_until_recorded(scenes) is None
    terminal = terminal_with(store)
    terminal.now += 100
    scenes = terminal.see(0.4, Shown("B", live=STEP_BACK)) + terminal.see(6, Shown("B", live=STEP_BACK))
    assert scenes[-1].subjects[0].words == "step back a little"
    assert reasons(store) == {"not_judged": 1} and all(person != 2 for person, _ in recorded(store))


@pytest.mark.parametrize("live", [None, RuntimeError("the session broke"), NOT_JUDGED])
def test_a_model_that_does_not_work_is_a_fault_that_is_shown(store: Store, live: Any) -> None:
    terminal, said = terminal_with(store), list[str]()
    now = itertools.count(0, 1000)
    recognition = Recognition(
        terminal.pipeline, Booth(lambda: 0.0), lambda: terminal.recogniser, said.append, monotonic=lambda: float(next(now))  # type: ignore[arg-type, return-value]
    )
    process, terminal.pipeline = terminal.pipeline, SimpleNamespace(process=recognition.process)  # type: ignore[assignment]
    terminal.see(3, Shown("A", live=live))
    assert recorded(store) == [] and recognition.trouble == "recogniser" and "failed" in said[0]
    terminal.see(3)
    assert recognition.trouble == ""
    terminal.see(2, Shown("A"))
    assert recorded(store) == [(1, "in")] and process.settings.liveness.mode == "enforce"


def test_scores_that_are_missing_in_a_row_are_an_error_with_a_name(terminal: Terminal) -> None:
    terminal.see((BROKEN_PICTURES - 1) / 10, Shown("A", live=NOT_JUDGED))
    with refused("liveness.no_score"):
        terminal.see(0.1, Shown("A", live=NOT_JUDGED))


def test_nobody_shows_a_living_face_first_and_a_picture_then(terminal: Terminal, store: Store) -> None:
    """Neither in the same track, nor after another face came near, nor after a short loss."""
    terminal.see(3, Shown("stranger"))
    terminal.see(3, Shown("A", live=PICTURE))
    terminal.see(2)
    terminal.see(0.2, Shown("A"))
    terminal.see(0.2, Shown("A"), Shown("stranger", 150.0))
    terminal.see(3, Shown("A", live=PICTURE))
    terminal.see(2)
    terminal.see(0.4, Shown("B"))
    terminal.see(1)
    terminal.see(3, Shown("B", live=PICTURE))
    assert recorded(store) == []
    assert reasons(store) == {"picture": 3}


def test_pictures_of_another_face_do_not_count_as_living(terminal: Terminal, store: Store) -> None:
    """A living stranger who shows the picture of A now and then, or half of the time."""
    for _ in range(40):
        terminal.see(0.1, Shown("A", live=PICTURE))
        terminal.see(0.1, Shown("stranger", live=1.0))
    assert recorded(store) == []


def test_who_is_known_is_asked_for_the_direction_only_if_living(store: Store) -> None:
    terminal = terminal_with(store, direction="asked")
    terminal.see(3, Shown("A", live=PICTURE))
    assert terminal.pipeline.questions.open() == ()
    terminal.see(2)
    terminal.see(1, Shown("A"))
    assert [question.draft.liveness for question in terminal.pipeline.questions.open()] == [LIVING]


def test_observe_records_at_once_with_what_there_is(store: Store) -> None:
    terminal = terminal_with(store, OBSERVE)
    assert frames_until_recorded(terminal.see(8, Shown("A", live=PICTURE))) == 2
    assert store.punches()[0].liveness == PICTURE and reasons(store) == {} and terminal.recogniser.judged == 5
    terminal.see(2)
    terminal.see(3, Shown("B", 400.0, live=STEP_BACK))
    assert [(punch.person_id, punch.liveness) for punch in store.punches()] == [(1, PICTURE), (2, None)]


def test_off_judges_nothing(store: Store) -> None:
    terminal = terminal_with(store, OFF)
    assert frames_until_recorded(terminal.see(3, Shown("A", live=RuntimeError()))) == 2
    assert terminal.recogniser.judged == 0 and store.punches()[0].liveness is None


def test_only_who_may_be_somebody_enrolled_is_judged(terminal: Terminal, store: Store) -> None:
    terminal.see(30, Shown("stranger", live=RuntimeError()))
    assert terminal.recogniser.judged == 0
    terminal.see(GONE_SECONDS + 2)
    assert frames_until_recorded(terminal.see(2, replace(POOR_LIGHT, x=400.0))) == 5, "judged from the first picture on, though known by the fourth"


# a poster, a spectator


def test_a_poster_does_not_hold_back_its_person_and_is_reported(terminal: Terminal, store: Store) -> None:
    for _ in range(3):
        terminal.see(70, POSTER)
        assert terminal.pipeline.picture_in_view
        scenes = terminal.see(3, POSTER, Shown("A", 300.0, size=0.6))
        assert [person.name for scene in scenes for person, _ in scene.punches] == ["A"]
        terminal.see(2, Shown("B", 90.0, size=1.5), POSTER)  # somebody passes before it
    assert [person for person, _ in recorded(store)].count(1) == 3
    assert reasons(store)["picture"] <= 5 and len(alarms(store)) <= 1, "what hangs there is not counted all day"
    terminal.see(700)
    assert not terminal.pipeline.picture_in_view


@pytest.mark.parametrize("liveness", [OFF, OBSERVE])
def test_a_poster_does_not_hold_back_its_person_where_nothing_is_enforced(store: Store, liveness: LivenessSettings) -> None:
    terminal = terminal_with(store, liveness)
    terminal.see(70, POSTER)
    assert recorded(store) == [(1, "in")]  # nobody can tell
    terminal.see(3, POSTER, Shown("A", 300.0, size=0.6))
    assert recorded(store) == [(1, "in"), (1, "out")] and terminal.pipeline.picture_in_view
    for _ in range(10):
        terminal.see(30, POSTER)
        terminal.see(2)
    assert len(recorded(store)) == 2, "each time it is seen again it holds back itself"


def test_who_works_in_view_and_comes_to_the_terminal_is_recorded_again(store: Store) -> None:
    for liveness in (ENFORCE, OBSERVE, OFF):
        terminal = terminal_with(store, liveness)
        terminal.now += {"enforce": 0, "observe": 10**6, "off": 2 * 10**6}[liveness.mode]
        before = len(recorded(store))
        terminal.see(100, Shown("A", size=0.7))
        assert len(recorded(store)) == before + 1
        terminal.see(15, Shown("A", size=0.9))
        assert len(recorded(store)) == before + 1, "a little nearer is nothing"
        terminal.see(0.2, Shown("A", size=1.1))
        terminal.see(3, Shown("A", size=1.5))
        assert len(recorded(store)) == before + 2, liveness.mode
        terminal.see(90, Shown("A", size=1.5))
        assert len(recorded(store)) == before + 2


def test_who_came_nearer_is_judged_anew(terminal: Terminal, store: Store) -> None:
    terminal.see(100, Shown("A", size=0.7))
    terminal.see(0.2, Shown("A", size=1.1))
    terminal.see(10, Shown("A", size=1.5, live=PICTURE))
    assert recorded(store) == [(1, "in")] and reasons(store) == {"picture": 1}


# a turn of the head


def turn(store: Store, *, mirrored: bool = False, seconds: float = 6.0) -> Terminal:
    rules = LivenessSettings(mode="enforce", challenge="turn", challenge_seconds=seconds)
    return Terminal(store, Settings(camera=CameraSettings(mirror=mirrored), liveness=rules))


def turned(yaw: float) -> Shown:
    return Shown("A", quality=replace(GOOD, yaw=yaw, reasons=("turned",) if abs(yaw) > 0.35 else ()))


def asked(terminal: Terminal) -> float:
    """The sign of the yaw that is asked for: the nose of who turns to their left goes to the right of a picture that is not mirrored."""
    [subject] = terminal.see(0.8, turned(0.0))[-1].subjects
    assert subject.challenge in ("left", "right") and subject.words == f"turn your head to the {subject.challenge}"
    return (1.0 if subject.challenge == "left" else -1.0) * (-1.0 if terminal.pipeline.settings.camera.mirror else 1.0)


@pytest.mark.parametrize("mirrored", [False, True])
def test_who_turns_the_head_to_the_side_and_back_is_recorded(store: Store, mirrored: bool) -> None:
    terminal = turn(store, mirrored=mirrored)
    sign = asked(terminal)
    assert recorded(store) == []
    for yaw in (0.2, 0.5, 0.7):
        terminal.see(0.3, turned(sign * yaw))
    [subject] = terminal.see(0.1, turned(sign * 0.7))[-1].subjects
    assert subject.challenge is None and subject.words == "look at the camera" and recorded(store) == []
    terminal.see(1.5)  # lost from view at the end of the turn
    terminal.see(1, turned(0.0))
    assert recorded(store) == [(1, "in")]


@pytest.mark.parametrize("yaws", [(0.0,), (0.15, -0.15), (-0.7, 0.0, 0.7, 0.0), (0.4, 0.0)])
def test_who_does_not_turn_the_head_as_asked_is_not_recorded(store: Store, yaws: tuple[float, ...]) -> None:
    """Still, as a print that is bent; to the other side; not far enough."""
    terminal = turn(store)
    sign = asked(terminal)
    for _ in range(3):
        for yaw in yaws:
            scenes = terminal.see(1, turned(sign * yaw))
    scenes += terminal.see(6, turned(0.0))
    assert recorded(store) == [] and reasons(store).keys() == {"not_judged"}
    assert scenes[-1].subjects[0].words == "step aside and come again" and scenes[-1].subjects[0].challenge is None


def test_too_late_is_too_late_and_a_new_track_begins_anew(store: Store) -> None:
    terminal = turn(store, seconds=2.0)
    sign = asked(terminal)
    terminal.see(3, turned(0.0))
    for yaw in (0.7, 0.0):
        terminal.see(0.5, turned(sign * yaw))
    assert recorded(store) == []
    terminal.see(3)
    sign = asked(terminal)
    for yaw in (0.7, 0.0):
        terminal.see(0.5, turned(sign * yaw))
    assert recorded(store) == [(1, "in")]


def test_a_long_wait_for_the_turn_is_watched_closely(store: Store) -> None:
    terminal = turn(store, seconds=30.0)
    sign = asked(terminal)
    terminal.see(20, turned(0.0))
    for yaw in (0.7, 0.0):
        terminal.see(0.3, turned(sign * yaw))
    terminal.see(1, turned(0.0))
    assert recorded(store) == [(1, "in")]


def test_another_person_cannot_turn_the_head_in_their_place(store: Store) -> None:
    terminal = turn(store)
    sign = asked(terminal)
    terminal.see(0.3, turned(sign * 0.7))
    terminal.see(0.5, Shown("B"))
    assert recorded(store) == []
    terminal.see(0.3, turned(sign * 0.7))
    terminal.see(2, Shown("stranger"))
    assert recorded(store) == []


def test_a_picture_is_not_asked_to_turn(store: Store) -> None:
    terminal = turn(store)
    scenes = terminal.see(10, Shown("A", live=PICTURE))
    assert all(subject.challenge is None for scene in scenes for subject in scene.subjects) and recorded(store) == []


# whatever happens

LIVES = st.sampled_from([PICTURE, 0.4, 0.6, LIVING, None, STEP_BACK, NOT_JUDGED, Judgement(float("nan")), Judgement(-1.0), RuntimeError("broken")])
FACES = st.lists(
    st.builds(Shown, st.sampled_from(["A", "B", "stranger"]), st.sampled_from([0.0, 100.0, 300.0, 560.0]), size=st.sampled_from([0.2, 1.0, 3.0]), live=LIVES),
    max_size=3,
    unique_by=lambda shown: shown.x,
)


@pytest.fixture(scope="module")
def any_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with two_people(tmp_path_factory.mktemp("any")) as opened:
        yield opened


STARTS = itertools.count(START, 1e5)


@drawn_with(max_examples=50, deadline=None)
@given(course=st.lists(st.tuples(FACES, st.integers(1, 9)), min_size=1, max_size=9), challenge=st.sampled_from(["none", "turn"]))
def test_nobody_is_ever_recorded_whose_pictures_were_not_judged_living(any_store: Store, course: Any, challenge: str) -> None:
    """Each punch must have enough judged pictures of that person before it, half of them above the threshold, whatever fails in between."""
    terminal = Terminal(any_store, Settings(liveness=LivenessSettings(mode="enforce", challenge=challenge)))
    terminal.now = next(STARTS)
    living = {"A": 0, "B": 0, "stranger": 0}
    for faces, frames in course:
        for _ in range(frames):
            try:
                scenes = terminal.see(0.1, *faces)
            except (RuntimeError, AttributeError, LivenessError):
                terminal.now, scenes = terminal.now + 0.1, []
            for shown in faces:
                living[shown.who] += isinstance(shown.live, float) and shown.live > 0.5
            for person, punch in (pair for scene in scenes for pair in scene.punches):
                assert challenge == "none" and living[person.name] >= 3
                assert punch.liveness is not None and punch.liveness > 0.5
