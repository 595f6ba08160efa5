"""Who lingers, who comes nearer, what is a picture: against times and distances counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from device.terminal.whereabouts import FORGOTTEN_SECONDS, LINGERING_SECONDS, PASSED_SECONDS, STILL_SECONDS, Whereabouts
from device.vision.detector import Face

ADA = 1


def face(x: float, eyes: float = 40.0) -> Face:
    landmarks = np.array([[0, 0], [eyes, 0], [eyes / 2, 20], [0, 40], [eyes, 40]], np.float32)
    return Face((x, 100.0, 2.5 * eyes, 3.0 * eyes), landmarks, 0.9)


def stay(where: Whereabouts, shown: Face, start: float, seconds: float, recorded: bool = True, state: str = "undecided") -> float:
    for step in range(round(seconds) + 1):
        where.see(ADA, shown, start + step, recorded, state)  # type: ignore[arg-type]
    return start + seconds


def test_who_was_recorded_is_remembered_however_long_ago() -> None:
    where = Whereabouts()
    end = stay(where, face(100), 0.0, 30.0)
    assert where.last_seen(ADA, face(300), 31.0, 31.0) == end
    for later in (PASSED_SECONDS + 50, FORGOTTEN_SECONDS * 3):
        where.see(2, face(300), end + later, recorded=True)
        assert where.last_seen(ADA, face(300), end + later, end + later) == end
    assert where.last_seen(3, face(300), end, end) is None


def test_who_was_not_recorded_holds_nobody_back() -> None:
    where = Whereabouts()
    stay(where, face(100), 0.0, 30.0, recorded=False)
    assert where.last_seen(ADA, face(100), 31.0, 31.0) is None


@pytest.mark.parametrize("state", ["refused", "undecided"])
def test_a_picture_holds_back_itself_alone(state: str) -> None:
    where, hung = Whereabouts(), face(20)
    end = stay(where, hung, 0.0, STILL_SECONDS + 5, state=state)
    assert where.is_picture(ADA, hung) == where.picture_in_view(end) == (state == "refused")
    where.see(ADA, face(300), end, recorded=False)
    assert where.last_seen(ADA, face(300), end, end) is None
    assert where.last_seen(ADA, face(22), end, end) == end  # lost and found again
    assert where.picture_in_view(end + FORGOTTEN_SECONDS) and not where.picture_in_view(end + FORGOTTEN_SECONDS + 1)


def test_who_sits_still_and_then_moves_is_no_picture_and_held_back() -> None:
    where = Whereabouts()
    end = stay(where, face(20), 0.0, STILL_SECONDS + 5)
    stay(where, face(300), end + 1, 5.0)
    assert not where.picture_in_view(end + 6)
    assert where.last_seen(ADA, face(500), end + 7, end + 7) == end + 6


def test_a_living_face_is_no_picture_any_more() -> None:
    where = Whereabouts()
    end = stay(where, face(20), 0.0, STILL_SECONDS + 5, recorded=False, state="refused")
    assert where.picture_in_view(end)
    where.see(ADA, face(20), end + 1, recorded=True, state="live")
    assert not where.picture_in_view(end + 1)


@pytest.mark.parametrize(("eyes", "nearer"), [(59.0, False), (60.0, True), (80.0, True)])
def test_nearer_is_one_and_a_half_times_the_nearest_of_the_last_minute(eyes: float, nearer: bool) -> None:
    where = Whereabouts()
    stay(where, face(100, 70.0), 0.0, 10.0)
    end = stay(where, face(100, 40.0), 11.0, LINGERING_SECONDS[0] + 10)
    assert where.nearer(ADA, eyes, end) == nearer
    assert (where.last_seen(ADA, face(100, eyes), end, end) is None) == nearer


def test_who_has_just_come_is_not_nearer() -> None:
    where = Whereabouts()
    end = stay(where, face(100, 25.0), 0.0, LINGERING_SECONDS[1] - 1)
    assert not where.nearer(ADA, 90.0, end)


def test_memory_is_bounded_by_people_not_by_frames() -> None:
    """A day of people who walk about at ten frames a second."""
    where, dice = Whereabouts(), np.random.default_rng(3)
    for frame in range(20_000):
        where.see(int(dice.integers(1, 20)), face(float(dice.uniform(0, 600)), float(dice.uniform(25, 90))), frame / 2.0, recorded=True)
    assert len(where._places) <= 2 * PASSED_SECONDS + 2
    assert all(len(noted) <= LINGERING_SECONDS[0] + 2 for noted in where._nearness.values())
