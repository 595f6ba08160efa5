"""A locked period keeps its sheets whatever changes later, and no minute is counted twice or lost beside it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from device.attendance.planning import Planning
from device.attendance.review import Desk
from device.attendance.sheets import company_sheets, person_sheet
from device.attendance.timesheet.absences import Absence, Employment
from device.attendance.timesheet.periods import days_of, freeze, gap_of, within
from device.attendance.timesheet.shifts import Assignment, Schedule, Shift
from device.attendance.timesheet.worksite import Site, month_days
from device.maintenance import retention
from device.storage.effective import Entry
from device.storage.records import Direction
from device.storage.store import PunchDraft, Store
from device.system.clock import ClockState
from tests.refused import refused

BERLIN, OCTOBER, NOVEMBER = Site("Europe/Berlin"), month_days("2026-10"), month_days("2026-11")
NOW = datetime(2026, 12, 15, tzinfo=ZoneInfo("UTC")).timestamp()
AS_OF = int(NOW // 60)
OFFICE, NIGHT, SMALL = Shift("office", time(8), time(17), 60), Shift("night", time(22), time(6)), Shift("small hours", time(0, 30), time(8))


def punch(store: Store, day: date, clock: str, direction: Direction, person: int = 1) -> None:
    at = datetime.combine(day, time.fromisoformat(clock), ZoneInfo("Europe/Berlin")).timestamp()
    store.record_punch(PunchDraft(person, at, direction, "door", "manual", ClockState(True, "boot", 1)))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Ann works from 23:00 to 08:05 on the last of October; Bob from 02:00 to 03:30 on the first of November; Cem by office hours."""
    with Store.open(tmp_path / "clockface.db") as store:
        planning = Planning(store)
        planning.set_site(BERLIN, "test")
        for number, name in enumerate(("Ann", "Bob", "Cem"), 1):
            store.add_person(name, f"E{number}")
        plan = planning.add_plan("office", [planning.add_shift(OFFICE, "test")] * 5 + [None, None], date(2026, 10, 5), "test")
        planning.assign(3, plan, date(2026, 9, 1), "test")
        punch(store, OCTOBER[30], "23:00", "in")
        punch(store, NOVEMBER[0], "08:05", "out")
        punch(store, NOVEMBER[0], "02:00", "in", 2)
        punch(store, NOVEMBER[0], "03:30", "out", 2)
        for day in OCTOBER[:20]:
            punch(store, day, "08:00", "in", 3)
            punch(store, day, "17:10", "out", 3)
        yield store


def sheets(store: Store, days: list[date]) -> dict[int, object]:
    return dict(company_sheets(store, days, AS_OF)[1])


CHANGES: list[Callable[[Planning, Store], object]] = [
    lambda planning, store: planning.assign(1, planning.add_plan("small", [planning.add_shift(SMALL, "test")], NOVEMBER[0], "test"), NOVEMBER[0], "test"),
    lambda planning, store: planning.set_site(Site("Europe/Berlin", time(4)), "test"),
    lambda planning, store: planning.set_site(Site("America/New_York", time(12), rounding_minutes=15, pairing="first_last"), "test"),
    lambda planning, store: planning.set_employment(3, Employment(last=OCTOBER[9]), "test"),
    lambda planning, store: store.deactivate(3),
    lambda planning, store: punch(store, OCTOBER[12], "19:00", "in", 3),  # of another door, late
    lambda planning, store: punch(store, OCTOBER[30], "23:30", "out", 1),
    lambda planning, store: store.add_person("Dora"),
]


LATE = CHANGES[5:7]


def named_late(store: Store) -> list[tuple[str, Direction, str]]:
    local = ZoneInfo("Europe/Berlin")
    return [(late.name, late.direction, f"{datetime.fromtimestamp(late.occurred_at, local):%d %H:%M}") for late in Desk(store, NOW).late_punches(1)]


@pytest.mark.parametrize("change", CHANGES)
def test_a_locked_month_stays(store: Store, change: Callable[[Planning, Store], object]) -> None:
    before = sheets(store, OCTOBER)
    assert before[1].totals.worked == 545 and before[2].totals.worked == 0  # type: ignore[attr-defined]
    Desk(store, NOW).lock(OCTOBER[0], OCTOBER[-1], "boss")
    assert sheets(store, OCTOBER) == before
    change(Planning(store), store)
    after = sheets(store, OCTOBER)
    assert Desk(store, NOW).came_later() == ({1: 1} if change in LATE else {})
    assert named_late(store) == {5: [("Cem", "in", "13 19:00")], 6: [("Ann", "out", "31 23:30")]}.get(CHANGES.index(change), [])
    assert {person: after[person] for person in before} == before
    for person in before:
        assert person_sheet(store, person, OCTOBER, AS_OF)[1] == before[person]


@pytest.mark.parametrize("site", [Site("Europe/Berlin", time(4)), Site("Asia/Tokyo"), Site("America/New_York", time(6))])
def test_no_minute_is_lost_between_two_months(store: Store, site: Site) -> None:
    """A stay from 02:00 to 03:30 on the first; then the day begins at 04:00, and it would belong to the locked month."""
    Desk(store, NOW).lock(OCTOBER[0], OCTOBER[-1], "boss")
    Planning(store).set_site(site, "test")
    found = company_sheets(store, [*OCTOBER, *NOVEMBER], AS_OF)[1]
    assert [found[person].totals.worked for person in (1, 2)] == [545, 90]
    assert person_sheet(store, 2, NOVEMBER, AS_OF)[1].totals.worked == 90 and person_sheet(store, 1, NOVEMBER, AS_OF)[1].totals.worked == 0


def test_a_lifted_lock_computes_again(store: Store) -> None:
    desk = Desk(store, NOW)
    desk.lock(OCTOBER[0], OCTOBER[-1], "boss")
    punch(store, OCTOBER[25], "10:00", "in", 2)
    punch(store, OCTOBER[25], "11:00", "out", 2)
    assert person_sheet(store, 2, OCTOBER, AS_OF)[1].totals.worked == 0
    desk.lift(1, "boss")
    assert person_sheet(store, 2, OCTOBER, AS_OF)[1].totals.worked == 60
    with store.reading() as db:
        assert db.execute("SELECT count(*) FROM locked_sheets").fetchone()[0] == 0


def test_a_period_is_not_locked_while_somebody_is_at_work(store: Store) -> None:
    punch(store, NOVEMBER[29], "22:00", "in", 2)
    early = BERLIN.moment(date(2026, 12, 1), time(1)) * 60.0
    with refused("store.period_open", "person 2"):
        Desk(store, early).lock(NOVEMBER[0], NOVEMBER[-1], "boss")
    punch(store, date(2026, 12, 1), "06:00", "out", 2)
    Desk(store, NOW).lock(NOVEMBER[0], NOVEMBER[-1], "boss")
    assert person_sheet(store, 2, NOVEMBER, AS_OF)[1].totals.worked == 90 + 480


def test_sql_cannot_change_a_locked_sheet(store: Store) -> None:
    Desk(store, NOW).lock(OCTOBER[0], OCTOBER[-1], "boss")
    for sql in ("UPDATE locked_sheets SET days = '[]'", "DELETE FROM locked_sheets"):
        with closing(sqlite3.connect(store.path)) as raw, pytest.raises(sqlite3.IntegrityError, match="lift the lock"):
            raw.execute(sql)


def test_stored_sheets_go_with_the_punches(store: Store) -> None:
    """The policy that removes the punches of a whole period removes what was stored of it; of an erased person at once."""
    Desk(store, NOW).lock(OCTOBER[0], OCTOBER[-1], "boss")
    middle, end = (BERLIN.begins(day) * 60_000 for day in (OCTOBER[10], NOVEMBER[1]))
    with store.reading() as db:
        everybody = db.execute("SELECT count(*) FROM locked_sheets").fetchone()[0]
    retention.remove_punches(store, middle, erased=False)
    with store.reading() as db:
        assert db.execute("SELECT count(*) FROM locked_sheets").fetchone()[0] == everybody == 3
    store.erase(3)
    retention.remove_punches(store, middle, erased=True)
    with store.reading() as db:
        assert [row[0] for row in db.execute("SELECT person_id FROM locked_sheets ORDER BY 1")] == [1, 2]
    punch(store, NOVEMBER[20], "08:00", "in", 2)  # the newest punch stays
    retention.remove_punches(store, end, erased=False)
    with store.reading() as db:
        assert db.execute("SELECT count(*) FROM locked_sheets").fetchone()[0] == 0


def test_an_absence_into_a_locked_month_can_be_shortened_beyond_it(store: Store) -> None:
    planning = Planning(store)
    number = planning.add_absence(3, Absence(OCTOBER[28], NOVEMBER[5], "vacation"), "test")
    Desk(store, NOW).lock(OCTOBER[0], OCTOBER[-1], "boss")
    before = sheets(store, OCTOBER)
    planning.shorten_absence(number, NOVEMBER[1], "test")
    with refused("store.period_locked"):
        planning.shorten_absence(number, OCTOBER[29], "test")
    assert planning.cancel_absence(number, "test") == OCTOBER[-1] and sheets(store, OCTOBER) == before
    with refused("store.period_locked"):
        planning.cancel_absence(number, "test")


SITES = st.builds(Site, st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kathmandu"]), st.sampled_from([time(0), time(4), time(12)]))
PLANS = st.lists(st.sampled_from([None, OFFICE, NIGHT, SMALL]), max_size=6)
PUNCHES = st.lists(st.tuples(st.integers(1, 30 * 60), st.sampled_from(["auto", "in", "out", "break_start", "break_end"])), max_size=40)


def schedule(cycle: list[Shift | None]) -> Schedule:
    return Schedule([Assignment(date(2026, 9, 1), tuple(cycle), OCTOBER[0])])


def entries(punches: list[tuple[int, str]]) -> list[Entry]:
    moment, made = BERLIN.begins(OCTOBER[0]) - 3 * 1440, []
    for gap, direction in punches:
        moment += gap
        made.append(Entry(moment * 60.0, direction))  # type: ignore[arg-type]
    return made


@given(PUNCHES, PLANS, PLANS, SITES, SITES, st.integers(0, 15), st.integers(0, 12))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_periods_share_out_all_punches(punches, cycle, later, site, other, first, length) -> None:  # type: ignore[no-untyped-def]
    """Locking alone changes no day; a later plan, zone or day start changes no locked day, and each punch stays on one side."""
    made, plan, days = entries(punches), schedule(cycle), [*OCTOBER, *NOVEMBER]
    start, end = OCTOBER[first], OCTOBER[first + length]
    period = freeze(made, start, end, plan, site, AS_OF, ())
    open_days = days_of(made, days, plan, site, AS_OF)
    assert days_of(made, days, plan, site, AS_OF, [period]) == open_days

    changed = days_of(made, days, schedule(later), other, AS_OF, [period])
    assert [day for day in changed if start <= day.day <= end] == [day for day in open_days if start <= day.day <= end]
    sides = [within(made, gap_of(day, [period])) for day in (start - timedelta(days=1), end + timedelta(days=1))]
    inside = [entry for entry in made if period.from_ms <= round(entry.occurred_at * 1000) < period.until_ms]
    assert [*sides[0], *inside, *sides[1]] == made
    stamps = [stamp.entry.occurred_at for day in changed for stamp in day.stamps]
    assert len(stamps) == len(set(stamps))
    spans = sorted((span for day in changed for span in day.spans), key=lambda span: (span.start, span.end))
    assert all(one.end <= two.start for one, two in zip(spans, spans[1:], strict=False))


@given(PUNCHES, PLANS, SITES, st.integers(1, 30))
@settings(max_examples=150, deadline=None)
def test_hours_are_the_same_over_any_partition_of_days(punches, cycle, site, cut) -> None:  # type: ignore[no-untyped-def]
    made, plan, days = entries(punches), schedule(cycle), [*OCTOBER, *NOVEMBER]
    whole = days_of(made, days, plan, site, AS_OF)
    assert days_of(made, days[:cut], plan, site, AS_OF) + days_of(made, days[cut:], plan, site, AS_OF) == whole
    assert tuple(days_of(made, [day], plan, site, AS_OF)[0] for day in days) == whole
