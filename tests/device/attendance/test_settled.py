"""The same answer wherever reading starts, by the store: punches without a direction, who is listed, absences that meet."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from device.__main__ import main
from device.attendance.planning import Planning
from device.attendance.policy import AttendancePolicy
from device.attendance.reading import settled
from device.attendance.sheets import company_sheets, person_sheet
from device.attendance.timesheet.absences import Absence, Employment
from device.attendance.timesheet.sheet import sheet
from device.attendance.timesheet.shifts import Assignment, DayShifts, Schedule, Shift
from device.attendance.timesheet.windows import Windows
from device.attendance.timesheet.worksite import Site, month_days
from device.attendance.today import Board
from device.config import AttendanceSettings
from device.storage.effective import Correction, Entry, Recorded, effective
from device.storage.records import Direction, LastPunch
from device.storage.store import PunchDraft, Store
from device.system.clock import ClockState
from tests.refused import refused

BERLIN = Site("Europe/Berlin")
LATER = int(datetime(2026, 12, 31, tzinfo=ZoneInfo("UTC")).timestamp() // 60)
OCTOBER = month_days("2026-10")
EARLY, LATE, NIGHT = (Shift(name, time(start), time(end)) for name, start, end in (("early", 6, 14), ("late", 14, 22), ("night", 22, 6)))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "clockface.db") as store:
        store.add_person("Ann", "E1")
        Planning(store).set_site(BERLIN, "test")
        yield store


def punch(store: Store, day: date, clock: str, direction: Direction = "auto", person: int = 1) -> None:
    at = datetime.combine(day, time.fromisoformat(clock), ZoneInfo("Europe/Berlin")).timestamp()
    store.record_punch(PunchDraft(person, at, direction, "door", "manual", ClockState(True, "boot", 1)))


@pytest.mark.parametrize("planned", [False, True])
def test_forty_nights_without_a_direction(store: Store, planned: bool) -> None:
    """21:55 to 06:03, one night with an hour more when the clocks go back; the last of the month reaches into the next."""
    if planned:
        planning = Planning(store)
        plan = planning.add_plan("nights", [planning.add_shift(NIGHT, "test")], date(2026, 9, 1), "test")
        planning.assign(1, plan, date(2026, 9, 1), "test")
    for night in range(40):
        day = date(2026, 9, 25) + timedelta(days=night)
        punch(store, day, "21:55")
        punch(store, day + timedelta(days=1), "06:03")
    _, month = person_sheet(store, 1, OCTOBER, LATER)
    assert month.totals.worked == 31 * 488 + 60 and month.totals.days_with_faults == 0
    by_day = [person_sheet(store, 1, [day], LATER)[1].days[0] for day in OCTOBER]
    assert tuple(by_day) == month.days == company_sheets(store, OCTOBER, LATER)[1][1].days
    noon = OCTOBER[20]
    line = Board(lambda: BERLIN.moment(noon, time(12)) * 60.0).picture(store).lines[0]
    assert line.days[0].stamps == month.days[19].stamps and line.presence.state in ("out", "off", "expected")


def test_a_month_is_the_sum_of_its_days_and_of_its_export(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(20):
        for clock in ("07:58", "12:01", "12:33", f"16:{number + 10}", f"17:{number + 10}"):
            punch(store, OCTOBER[number], clock)
    _, month = person_sheet(store, 1, OCTOBER, LATER)
    assert main(["timesheet", "--db", str(store.path), "--month", "2026-10", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    for name, total in (("worked", month.totals.worked), ("late", month.totals.late), ("balance", month.totals.balance), ("due", month.totals.due)):
        assert total == sum(row[f"{name}_minutes"] for row in rows)
    one_by_one = [person_sheet(store, 1, [day], LATER)[1].totals for day in OCTOBER]
    assert month.totals.worked == sum(totals.worked for totals in one_by_one) > 0


@given(st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_the_order_in_which_punches_and_absences_were_entered_does_not_matter(chance: random.Random) -> None:
    """A terminal may come online late: what it has recorded is entered after what others have recorded later."""
    recorded = [Recorded(number, 1e9 + number * 5_000, "auto") for number in range(30)]
    changed = [Correction(1, 5, None, 1e9 + 300, "in"), Correction(2, 9, None, None, None), Correction(3, None, None, 1e9 + 77_000, "out")]
    absences = [Absence(OCTOBER[4], OCTOBER[9], "vacation"), Absence(OCTOBER[6], OCTOBER[7], "sick"), Absence(OCTOBER[11], OCTOBER[12], "unpaid")]
    absences += [Absence(OCTOBER[14], OCTOBER[14], "vacation", "first"), Absence(OCTOBER[14], OCTOBER[14], "sick", "second")]
    absences += [Absence(OCTOBER[14], OCTOBER[14], "training", None, time(9), time(12)), Absence(OCTOBER[6], OCTOBER[6], "sick", None, time(7), time(8))]
    mixed = [sorted(rows, key=lambda _: chance.random()) for rows in (recorded, changed, absences)]
    assert effective(mixed[0], mixed[1]) == effective(recorded, changed)
    plans = [Schedule([Assignment(OCTOBER[0], (EARLY,), OCTOBER[0])], {}, rows) for rows in (absences, mixed[2])]
    assert [plans[0].planned(day, BERLIN) for day in OCTOBER] == [plans[1].planned(day, BERLIN) for day in OCTOBER]


def test_alternate_days_of_twelve_hours_are_read_back_to_the_last_rest(store: Store) -> None:
    """12 hours at work and 12 away, without a plan and without a direction: nothing but the first punch says which is which."""
    first = date(2026, 9, 1)
    for number in range(60):
        punch(store, first + timedelta(days=number), "07:00")
        punch(store, first + timedelta(days=number), "19:00")
    _, month = person_sheet(store, 1, OCTOBER[:24], LATER)
    assert month.totals.worked == 24 * 720 and tuple(person_sheet(store, 1, [day], LATER)[1].days[0] for day in OCTOBER[:24]) == month.days


SPLIT = (Shift("morning", time(8), time(12)), Shift("evening", time(16), time(20)))
SHIFTS = st.sampled_from([None, None, EARLY, LATE, NIGHT, SPLIT])
GAPS = st.integers(1, 30 * 60)
DIRECTIONS = st.sampled_from(["auto", "auto", "auto", "in", "out", "break_start", "break_end"])


@given(st.lists(st.tuples(GAPS, DIRECTIONS), max_size=60), st.lists(SHIFTS, max_size=8), st.integers(0, 20), st.integers(2, 12))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_day_does_not_depend_on_where_reading_starts(punches: list[tuple[int, str]], cycle: list[DayShifts], first: int, back: int) -> None:
    plan, day = Schedule([Assignment(OCTOBER[0] - timedelta(days=20), tuple(cycle), OCTOBER[0])]), OCTOBER[first]
    moment, entries = BERLIN.begins(OCTOBER[0] - timedelta(days=5)), []
    for gap, direction in punches:
        moment += gap
        entries.append(Entry(moment * 60.0, direction))  # type: ignore[arg-type]
    since = BERLIN.begins(day - timedelta(days=back)) * 60.0
    part = [entry for entry in entries if entry.occurred_at >= since]
    if settled(part, Windows(plan, BERLIN), day):
        assert sheet(1, part, [day], plan, BERLIN, LATER).days == sheet(1, entries, [day], plan, BERLIN, LATER).days


def test_the_door_asks_the_plan(store: Store) -> None:
    """By turns: a forgotten check-out does not make the next arrival a departure, and a second look at the door changes nothing."""
    planning = Planning(store)
    plan = planning.add_plan("two", [planning.add_shift(shift, "test") for shift in (LATE, EARLY)], date(2026, 10, 6), "test")
    planning.assign(1, plan, date(2026, 10, 1), "test")
    policy = AttendancePolicy(AttendanceSettings(direction="alternate"))

    def said(last: str, direction: Direction, now: str) -> object:
        moments = (datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Berlin")).timestamp() for text in (last, now))
        before, at = moments
        return policy.decide(LastPunch(before, direction), at, windows=lambda: planning.windows(1))

    assert said("2026-10-06T13:55", "in", "2026-10-07T05:50") == "in"
    assert said("2026-10-06T13:55", "in", "2026-10-06T14:04") == "in"  # a repetition
    assert said("2026-10-06T13:55", "in", "2026-10-06T22:03") == "out"
    assert said("2026-10-06T22:03", "out", "2026-10-06T22:06") == "out"
    assert said("2026-10-07T05:50", "in", "2026-10-07T10:00") == "out"


def test_who_left_is_listed_for_the_days_before(store: Store) -> None:
    planning = Planning(store)
    plan = planning.add_plan("days", [planning.add_shift(EARLY, "test")] * 5 + [None, None], date(2026, 10, 5), "test")
    planning.assign(1, plan, date(2026, 9, 1), "test")
    store.deactivate(1, date(2026, 10, 15))
    _, sheets = company_sheets(store, OCTOBER, LATER)
    assert sheets[1].totals.absent_days == 11 and sheets[1].totals.balance == -11 * 480  # the working days until the 15th
    assert 1 in company_sheets(store, [OCTOBER[14]], LATER)[1] and 1 not in company_sheets(store, [OCTOBER[15]], LATER)[1]
    with refused("store.not_employed", "Ann"):
        planning.add_absence(1, Absence(date(2026, 10, 16), date(2026, 10, 20), "vacation"), "test")
    planning.set_employment(1, Employment(date(2026, 11, 2)), "test")  # comes back
    assert 1 not in company_sheets(store, [OCTOBER[20]], LATER)[1]
    assert person_sheet(store, 1, month_days("2026-11"), LATER)[1].totals.due == 21 * 480


def test_absences_that_meet(store: Store) -> None:
    planning = Planning(store)
    vacation = Absence(date(2026, 10, 5), date(2026, 10, 9), "vacation")
    planning.add_absence(1, vacation, "test")
    for other in (vacation, Absence(date(2026, 10, 9), date(2026, 10, 12), "training"), Absence(date(2026, 10, 1), date(2026, 10, 5), "vacation")):
        with refused("store.absence_overlaps", "vacation from 2026-10-05 to 2026-10-09"):
            planning.add_absence(1, other, "test")
    planning.add_absence(1, Absence(date(2026, 10, 7), date(2026, 10, 7), "sick"), "test")  # interrupts it
    _, month = person_sheet(store, 1, OCTOBER[4:9], LATER)
    assert [day.planned.title for day in month.days] == ["vacation", "vacation", "sick", "vacation", "vacation"]


def test_shifts_that_do_not_fit_into_a_plan(store: Store) -> None:
    planning = Planning(store)
    numbers = {shift.name: planning.add_shift(shift, "test") for shift in (EARLY, LATE, NIGHT, Shift("day and night", time(8), time(8)))}
    with refused("store.plan", "'night'", "'five'"):
        planning.add_plan("x", [numbers["night"], planning.add_shift(Shift("five", time(5), time(13)), "test")], OCTOBER[0], "test")
    planning.add_plan("y", [numbers["night"], numbers["early"]], OCTOBER[0], "test")  # the one ends when the other begins
    planning.add_plan("z", [numbers["day and night"], None, None], OCTOBER[0], "test")


def test_two_shifts_of_one_day(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """Entered in any order; the door, Today, month and export follow both."""
    planning = Planning(store)
    for shift in (*SPLIT, Shift("long", time(8), time(17)), Shift("any", minutes=480)):
        planning.add_shift(shift, "test")
    for days, why in ((((3, 2),), "'long' has not ended when 'evening' begins on the same day"), (((1, 4),), "'any' is flexible")):
        with refused("store.plan", why):
            planning.add_plan("x", days, OCTOBER[0], "test")
    assert main(["schedule", "plan", "split", "evening+morning", "long", ".", "--anchor", "2026-10-01", "--db", str(store.path)]) == 0
    assert planning.plans()[1].cycle == ((2, 1), 3, None)
    planning.assign(1, 1, OCTOBER[0], "test")
    for clock in ("07:58", "12:01", "16:10", "19:50"):
        punch(store, OCTOBER[0], clock)
    day = person_sheet(store, 1, [OCTOBER[0]], LATER)[1].days[0]
    assert (day.worked_minutes, day.planned.due_minutes, day.late_minutes, day.early_minutes, day.break_minutes) == (463, 480, 10, 10, 0)
    assert day.planned.title == "morning + evening"
    capsys.readouterr()
    assert main(["timesheet", "--db", str(store.path), "--day", "2026-10-01", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["shifts"] == "morning 08:00-12:00; evening 16:00-20:00 10 min late 10 min early"

    def state(clock: str, day: date = OCTOBER[3]) -> str:
        return Board(lambda: BERLIN.moment(day, time.fromisoformat(clock)) * 60.0).picture(store).lines[0].presence.state

    punch(store, OCTOBER[3], "08:00")
    punch(store, OCTOBER[3], "12:00")
    assert [state(clock) for clock in ("12:30", "16:00", "16:01", "19:59", "20:00")] == ["out", "out", "late", "late", "out"]
    said = AttendancePolicy(AttendanceSettings(direction="alternate"))
    before = LastPunch(BERLIN.moment(OCTOBER[6], time(8)) * 60.0, "in")
    at = [BERLIN.moment(OCTOBER[6], time(hour)) * 60.0 for hour in (12, 16, 20)]
    assert [said.decide(before, now, windows=lambda: planning.windows(1)) for now in at] == ["out", "in", "out"]


def test_absences_of_half_a_day_and_of_hours(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    planning = Planning(store)
    shift = planning.add_shift(Shift("office", time(8), time(17), 60), "test")
    planning.assign(1, planning.add_plan("office", [shift], OCTOBER[0], "test"), OCTOBER[0], "test")
    database, day = ["--db", str(store.path)], OCTOBER[4].isoformat()
    for options in (["vacation", "--half", "first"], ["sick", "--half", "second"], ["training", "--from", "09:00", "--to", "10:00"]):
        assert main(["schedule", "absence", "E1", day, day, *options, *database]) == 0
    halves = ("unpaid", ("first",), "vacation from 2026-10-05 to 2026-10-05, first half")
    for kind, rest, other in (halves, ("training", (None, time(9, 59), time(11)), "09:00-10:00")):
        with refused("store.absence_overlaps", other):
            planning.add_absence(1, Absence(OCTOBER[4], OCTOBER[4], kind, *rest), "test")  # type: ignore[arg-type]
    planning.add_absence(1, Absence(OCTOBER[4], OCTOBER[4], "training", None, time(10), time(11)), "test")
    for first, rest in ((OCTOBER[3], ("first", None, None)), (OCTOBER[4], ("third", None, None)), (OCTOBER[4], ("first", time(8), time(9)))):
        with refused("timesheet.absence"):
            Absence(first, OCTOBER[4], "sick", *rest)  # type: ignore[arg-type]
    planning.add_absence(1, Absence(OCTOBER[5], OCTOBER[5], "unpaid", None, time(8), time(11)), "test")
    punch(store, OCTOBER[5], "11:10", "in")
    punch(store, OCTOBER[5], "17:00", "out")
    first, second = person_sheet(store, 1, OCTOBER[4:6], LATER)[1].days
    assert (first.planned.kind, first.planned.due_minutes, first.planned.credited_minutes, first.absent) == ("absence", 0, 480, False)
    assert (second.late_minutes, second.planned.due_minutes, second.worked_minutes, second.planned.credited_minutes) == (10, 300, 290, 0)
    capsys.readouterr()
    assert main(["timesheet", "--day", OCTOBER[5].isoformat(), "--json", *database]) == 0
    assert json.loads(capsys.readouterr().out)[0]["absence"] == "unpaid 08:00-11:00"
    planning.add_absence(1, Absence(OCTOBER[6], OCTOBER[6], "unpaid", None, time(8), time(11)), "test")
    for at, state in ((time(8, 30), "expected"), (time(11, 1), "late")):
        assert Board(lambda at=at: BERLIN.moment(OCTOBER[6], at) * 60.0).picture(store).lines[0].presence.state == state  # type: ignore[misc]
