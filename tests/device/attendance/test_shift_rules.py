"""Margins, rounding, automatic check-out, half days: by the command line, in locked periods, in databases of earlier versions, and in general."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from device.__main__ import main
from device.attendance.locked import periods_of
from device.attendance.planning import Planning, site_from_json, site_json
from device.attendance.review import Desk
from device.attendance.sheets import person_sheet
from device.attendance.timesheet.absences import Absence
from device.attendance.timesheet.sheet import sheet
from device.attendance.timesheet.shifts import Assignment, Schedule, Shift
from device.attendance.timesheet.worksite import ROUNDED, ROUNDING_MODES, ROUNDINGS, Site, month_days
from device.attendance.today import Board
from device.storage.effective import Entry
from device.storage.records import Direction
from device.storage.schema import APPLICATION_ID, MIGRATIONS
from device.storage.store import PunchDraft, Store
from device.system.clock import ClockState
from tests.refused import refused

OCTOBER = month_days("2026-10")
BERLIN = Site("Europe/Berlin")
LATER = int(datetime(2026, 12, 31, tzinfo=ZoneInfo("UTC")).timestamp() // 60)
RULES = ["--count-before", "10", "--count-after", "5", "--early-grace", "0", "--half-day", "200", "--absent", "60", "--check-out", "17:00"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Ann works from 08:00 to 12:00 and, on the first day, again from 14:00 to 18:00."""
    with Store.open(tmp_path / "clockface.db") as store:
        store.add_person("Ann", "E1")
        Planning(store).set_site(BERLIN, "test")
        database = ["--db", str(store.path)]
        assert main(["schedule", "shift", "morning", "--from", "08:00", "--to", "12:00", "--grace", "5", *RULES, *database]) == 0
        assert main(["schedule", "shift", "evening", "--from", "14:00", "--to", "18:00", "--check-out", "18:30", *database]) == 0
        assert main(["schedule", "plan", "week", "morning+evening", "morning", "--anchor", str(OCTOBER[0]), *database]) == 0
        assert main(["schedule", "assign", "E1", "week", "--since", str(OCTOBER[0]), *database]) == 0
        yield store


def punch(store: Store, day: date, clock: str, direction: Direction) -> None:
    at = BERLIN.moment(day, time.fromisoformat(clock))
    store.record_punch(PunchDraft(1, at * 60.0, direction, "door", "manual", ClockState(True, "boot", 1)))


def work(store: Store) -> None:
    """Five days: both shifts, with a forgotten departure; half a day; absent with punches; forgotten; present after half a day of vacation."""
    days = (("07:55", "12:03", "13:50"), ("08:00", "11:00"), ("08:00", "08:30"), ("08:04",), ("10:00", "11:59"))
    for day, clocks in zip(OCTOBER, days, strict=False):
        for number, clock in enumerate(clocks):
            punch(store, day, clock, "out" if number % 2 else "in")
    Planning(store).add_absence(1, Absence(OCTOBER[5], OCTOBER[5], "vacation", "first"), "test")
    punch(store, OCTOBER[5], "10:00", "in")
    punch(store, OCTOBER[5], "12:00", "out")


def test_rules_by_the_command_line(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    work(store)
    capsys.readouterr()
    assert main(["timesheet", "--month", "2026-10", "--json", "--db", str(store.path)]) == 0
    rows = json.loads(capsys.readouterr().out)
    names = ("worked_minutes", "uncounted_minutes", "late_minutes", "early_minutes", "attendance", "missing", "flags", "absence")
    assert [tuple(row[name] for name in names) for row in rows[:6]] == [
        (240 + 280, 8, 0, 0, "present", "", "automatic check-out", ""),
        (180, 0, 0, 60, "half day", "", "", ""),
        (30, 0, 0, 210, "absent", "absent", "", ""),
        (536, 0, 0, 0, "present", "", "automatic check-out", ""),
        (119, 0, 120, 1, "half day", "", "", ""),
        (120, 0, 0, 0, "present", "", "", "vacation first half"),
    ]
    assert rows[3]["last_out"] == "2026-10-04T17:00+02:00" and rows[2]["shifts"].endswith("evening 14:00-18:00 missed")
    _, month = person_sheet(store, 1, OCTOBER, LATER)
    by_day = [person_sheet(store, 1, [day], LATER)[1] for day in OCTOBER]
    for total, column in (("half_days", "half day"), ("absent_days", "absent")):
        assert getattr(month.totals, total) == sum(row["attendance"] == column for row in rows) == sum(getattr(one.totals, total) for one in by_day) > 0
    for name in ("worked", "uncounted", "late", "early", "balance", "credited"):
        assert getattr(month.totals, name) == sum(row[f"{name}_minutes"] for row in rows) == sum(getattr(one.totals, name) for one in by_day)
    with store.reading() as db:
        assert db.execute("SELECT count(*) FROM punches").fetchone()[0] == 12  # the check-out stands in no log


def test_a_locked_period_keeps_them(store: Store) -> None:
    work(store)
    before = person_sheet(store, 1, OCTOBER, LATER)[1]
    Desk(store, LATER * 60.0).lock(OCTOBER[0], OCTOBER[-1], "boss")
    Planning(store).set_site(replace(BERLIN, check_out=time(9), rounding_minutes=30, rounding="up"), "test")
    assert person_sheet(store, 1, OCTOBER, LATER)[1].totals == before.totals
    kept = person_sheet(store, 1, OCTOBER, LATER)[1].days
    assert [replace(day, site=BERLIN) for day in kept] == list(before.days)


def test_a_sheet_that_an_earlier_version_locked_is_read(store: Store) -> None:
    punch(store, OCTOBER[1], "08:10", "in")
    punch(store, OCTOBER[1], "12:00", "out")
    Desk(store, LATER * 60.0).lock(OCTOBER[0], OCTOBER[-1], "boss")
    with store.transaction() as db:
        (text,) = db.execute("SELECT days FROM locked_sheets").fetchone()
        days = json.loads(text)
        for day in days:
            for name in ("kept", "uncounted_minutes", "check_out"):
                del day[name]
            planned = day["planned"]
            part = (planned.pop("parts") or [None])[0]
            del planned["off"]
            planned |= {"grace_minutes": 5, "pause": None, "flexible": False, "due_minutes": part["due_minutes"]}
        db.execute("DROP TRIGGER locked_sheets_no_update")
        db.execute("UPDATE locked_sheets SET days = ?", [json.dumps(days)])
    with store.reading() as db:
        day = periods_of(db, OCTOBER)[1][0].days[OCTOBER[1]]
    assert (day.worked_minutes, day.late_minutes, day.planned.due_minutes, day.attendance) == (230, 10, 240, "present")
    assert day.planned.parts[0].late_grace_minutes == 5


def test_a_database_of_an_earlier_version_keeps_its_rules(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    db = Database(path, execute_plugins=False)
    MIGRATIONS.apply(db, stop_before="plan_days_of_several_shifts")
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute("PRAGMA user_version = 16")
    site = {"zone": "Europe/Berlin", "day_start": "04:00", "longest_stay_hours": 16, "rounding_minutes": 5, "minimum_breaks": [[360, 30]]}
    db.execute("INSERT INTO settings (key, value) VALUES ('site', ?)", [json.dumps(site)])
    db.executescript("""INSERT INTO people (id, name, code, created_at, uuid) VALUES (1, 'Ann', 'E1', 0, 'u');
        INSERT INTO shifts (name, start_time, end_time, break_minutes, grace_minutes, break_automatic) VALUES ('early', '06:00', '14:00', 30, 5, 1);
        INSERT INTO plans (name, cycle, anchor) VALUES ('week', '[1, null]', '2026-10-01');
        INSERT INTO assignments (person_id, plan_id, since) VALUES (1, 1, '2026-10-01');
        INSERT INTO absences (person_id, first_day, last_day, kind) VALUES (1, '2026-10-05', '2026-10-06', 'sick');""")
    db.close()
    with Store.open(path) as store:
        early = Shift("early", time(6), time(14), 30, None, 5)
        assert Planning(store).shifts() == {1: early} and Planning(store).site() == Site("Europe/Berlin", time(4), 16, 2, 5, ((360, 30),))
        schedule = Planning(store).schedules(1)[1]
        assert schedule.assignments == (Assignment(OCTOBER[0], (early, None), OCTOBER[0]),)
        assert schedule.absences == (Absence(OCTOBER[4], OCTOBER[5], "sick"),)


def test_today_shows_the_automatic_check_out(store: Store) -> None:
    """At its time, although nothing is recorded then."""
    now = [BERLIN.moment(OCTOBER[1], time(8)) * 60.0 + 60]
    punch(store, OCTOBER[1], "08:00", "in")
    board = Board(lambda: now[0])
    states = []
    for clock in (time(9), time(16, 59), time(17), time(20)):
        now[0] = BERLIN.moment(OCTOBER[1], clock) * 60.0
        states.append(board.picture(store).lines[0].presence.state)
    assert states == ["in", "in", "out", "out"] and board.whole_reads == 1
    assert board.picture(store).lines[0].presence.day.check_out == BERLIN.moment(OCTOBER[1], time(17))  # the page says so


OUT_OF_RANGE = [{"before_minutes": 721}, {"early_grace_minutes": -1}, {"half_day_minutes": 60, "absent_minutes": 61}, {"absent_minutes": 1441}]


@pytest.mark.parametrize("rule", OUT_OF_RANGE)
def test_rules_out_of_range(rule: dict[str, int]) -> None:
    with refused("timesheet.shift", next(iter(rule))):
        Shift("x", time(8), time(12), **rule)  # type: ignore[arg-type]


SITES = st.builds(
    Site, st.just("Asia/Kathmandu"), rounding_minutes=st.sampled_from(ROUNDINGS), rounding=st.sampled_from(sorted(ROUNDING_MODES)),
    rounding_of=st.sampled_from(sorted(ROUNDED)), check_out=st.sampled_from([None, time(20)]),
)  # fmt: skip
MARGINS = st.sampled_from([0, 5, 30, 720])
STEPS = st.sampled_from(["in", "out", "break_start", "break_end", "auto"])


@given(st.lists(st.tuples(st.integers(0, 2800), STEPS), max_size=10), SITES, MARGINS, MARGINS)
@settings(max_examples=80, deadline=None)
def test_margins_and_rounding_lose_no_minute(stamps: list[tuple[int, str]], site: Site, before: int, after: int) -> None:
    """Worked and not counted are what is worked without margins; spans follow each other; rounding moves a punch by less than its multiple."""
    shifts = Shift("a", time(8), time(12), before_minutes=before, after_minutes=after), Shift("b", time(14), time(18), after_minutes=after)
    bare = tuple(replace(shift, before_minutes=0, after_minutes=0) for shift in shifts)
    start, days = site.begins(OCTOBER[0]), OCTOBER[:4]
    entries = [Entry((start + at) * 60.0, step) for at, step in sorted(stamps)]  # type: ignore[arg-type]
    with_margins, without, exact = (
        sheet(1, entries, days, Schedule([Assignment(days[0], (plan,), days[0])]), place, start + 20_000)
        for plan, place in ((shifts, site), (bare, site), (bare, replace(site, rounding_minutes=1)))
    )
    assert [day.stamps for day in with_margins.days] == [day.stamps for day in without.days] and without.totals.uncounted == 0
    for one, other, plain in zip(with_margins.days, without.days, exact.days, strict=True):
        totals = [sum(span.minutes for span in day.spans if span.kind == "work") for day in (one, other)]
        assert totals[0] + one.uncounted_minutes == totals[1] and one.uncounted_minutes >= 0
        assert all(span.minutes >= 0 for span in one.spans) and all(a.end <= b.start for a, b in zip(one.spans, one.spans[1:], strict=False))
        assert abs(other.worked_minutes - plain.worked_minutes) <= site.rounding_minutes * max(1, 2 * len(plain.spans))
        assert (one.late_minutes, one.early_minutes, one.faults) == (plain.late_minutes, plain.early_minutes, plain.faults)


def test_a_site_without_the_newer_rules_is_stored_as_before(store: Store) -> None:
    """A terminal of an earlier version that is in the same fleet refuses rules that it does not know."""
    site = replace(BERLIN, rounding="inward", check_out=time(20))
    assert not {"rounding", "rounding_of", "check_out"} & set(json.loads(site_json(BERLIN)))
    assert {"rounding", "check_out"} <= set(json.loads(site_json(site))) and site_from_json(site_json(site)) == site
