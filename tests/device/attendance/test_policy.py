"""Attendance rules: refractory period, direction, clocks that jump, night shifts, forgotten check-outs."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.attendance.policy import Asked, AttendancePolicy, NotRecorded
from device.config import AttendanceSettings, scheduled
from device.storage.records import Direction, LastPunch
from tests.refused import refused

NOON = datetime(2026, 11, 24, 12, 0, 0).timestamp()
HOUR = 3600.0
ALTERNATE = AttendancePolicy(AttendanceSettings(refractory_seconds=60))


def day(policy: AttendancePolicy, times: list[float]) -> list[Direction]:
    """Directions of the punches of a person who is recognised at these times."""
    last: LastPunch | None = None
    directions: list[Direction] = []
    for now in times:
        answer = policy.decide(last, now)
        if not isinstance(answer, (NotRecorded, Asked)):
            last = LastPunch(now, answer)
            directions.append(answer)
    return directions


def test_the_first_punch_is_in() -> None:
    assert ALTERNATE.decide(None, NOON) == "in"


@pytest.mark.parametrize(("seconds", "refused"), [(0, True), (1, True), (59.999, True), (60, False), (61, False)])
def test_refractory_period(seconds: float, refused: bool) -> None:
    answer = ALTERNATE.decide(LastPunch(NOON, "in"), NOON + seconds)
    assert isinstance(answer, NotRecorded) is refused
    assert refused or answer == "out"


def test_a_refusal_states_its_punch_and_its_end() -> None:
    assert ALTERNATE.decide(LastPunch(NOON, "in"), NOON + 5) == NotRecorded("already recorded at 12:00:00", NOON + 60, NOON)


def test_no_refractory_period() -> None:
    policy = AttendancePolicy(AttendanceSettings(refractory_seconds=0))
    assert policy.decide(LastPunch(NOON, "in"), NOON) == "out"


@pytest.mark.parametrize("direction", ["in", "out"])
def test_a_fixed_direction_stays(direction: Direction) -> None:
    policy = AttendancePolicy(AttendanceSettings(direction=direction))
    assert day(policy, [NOON, NOON + 10, NOON + HOUR, NOON + 30 * HOUR]) == [direction] * 3


@pytest.mark.parametrize(("last", "following"), [("in", "out"), ("out", "in"), ("break_start", "break_end"), ("break_end", "out"), ("auto", "in")])
def test_alternate_gives_the_following_direction(last: Direction, following: Direction) -> None:
    assert ALTERNATE.decide(LastPunch(NOON, last), NOON + HOUR) == following


def test_a_forgotten_check_out_does_not_reverse_later_days() -> None:
    days = [[8, 17], [8], [8, 17], [8, 17]]  # hours; nobody checked out on the second day
    times = [NOON - 12 * HOUR + (24 * number + hour) * HOUR for number, hours in enumerate(days) for hour in hours]
    assert day(ALTERNATE, times) == ["in", "out", "in", "in", "out", "in", "out"]


def test_a_night_shift_is_one_stay() -> None:
    assert day(ALTERNATE, [NOON + 10 * HOUR, NOON + 18 * HOUR]) == ["in", "out"]


def test_a_clock_set_back_a_little_records_nobody_twice() -> None:
    answer = ALTERNATE.decide(LastPunch(NOON, "in"), NOON - 2)
    assert isinstance(answer, NotRecorded)
    assert answer.until == NOON + 60


def test_a_clock_set_back_by_hours_locks_nobody_out() -> None:
    assert ALTERNATE.decide(LastPunch(NOON, "in"), NOON - 3 * HOUR) == "out"


def test_a_clock_set_back_by_days_starts_again_with_in() -> None:
    assert ALTERNATE.decide(LastPunch(NOON, "in"), NOON - 30 * 24 * HOUR) == "in"


@given(st.lists(st.floats(0, 200_000), max_size=60), st.floats(0, 5000))
def test_accepted_punches_are_a_refractory_period_apart(times: list[float], seconds: float) -> None:
    policy = AttendancePolicy(AttendanceSettings(refractory_seconds=seconds))
    last: LastPunch | None = None
    for now in times:
        answer = policy.decide(last, now)
        if isinstance(answer, NotRecorded):
            assert last is not None and abs(now - last.occurred_at) < seconds
            assert policy.decide(last, answer.until + 1e-6) != answer
        else:
            assert last is None or abs(now - last.occurred_at) >= seconds
            last = LastPunch(now, answer)


def test_a_person_who_stays_in_view_is_not_recorded_again_until_they_were_away() -> None:
    last = LastPunch(NOON, "in")
    for minute in range(1, 60):
        assert isinstance(ALTERNATE.decide(last, NOON + 60 * minute, last_seen=NOON + 60 * minute - 1), NotRecorded)
    assert ALTERNATE.decide(last, NOON + 3600, last_seen=NOON + 3540) == "out"


SCHEDULE = "05:30 in, 12:00 break_start, 12:30 break_end, 14:00 out"


@pytest.mark.parametrize(
    ("time", "direction"),
    [("05:29", "out"), ("05:30", "in"), ("11:59", "in"), ("12:00", "break_start"), ("12:31", "break_end"), ("14:00", "out"), ("00:00", "out")],
)
def test_by_schedule_the_last_entry_that_has_begun_counts(time: str, direction: str) -> None:
    policy = AttendancePolicy(AttendanceSettings(direction="schedule", schedule=SCHEDULE))
    hour, minute = map(int, time.split(":"))
    now = datetime(2026, 11, 24, hour, minute).timestamp()
    assert policy.decide(LastPunch(now - 7200, "in"), now) == direction


@pytest.mark.parametrize("schedule", ["", "5 in", "25:00 in", "05:60 in", "05:00 auto", "05:00", "05:00 in 06:00 out", "05:00 in, 05:00 out", "05:00 in,"])
def test_a_schedule_that_cannot_be_read_stops_the_start(schedule: str) -> None:
    with refused("config.schedule"):
        AttendanceSettings(direction="schedule", schedule=schedule)


def test_a_schedule_is_put_in_order() -> None:
    assert scheduled("14:00 out, 5:30 in") == [(330, "in"), (840, "out")]


def test_asked_suggests_what_alternate_would_give_and_keeps_the_refractory_period() -> None:
    policy = AttendancePolicy(AttendanceSettings(direction="asked"))
    assert policy.decide(None, NOON) == Asked("in")
    assert policy.decide(LastPunch(NOON - HOUR, "in"), NOON) == Asked("out")
    assert isinstance(policy.decide(LastPunch(NOON - 10, "in"), NOON), NotRecorded)
