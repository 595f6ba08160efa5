"""Hours against a count of minutes: what a person really did, minute by minute, compared with the timesheet of their punches."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from device.attendance.timesheet.absences import ABSENCES, Absence
from device.attendance.timesheet.breaks import deduction
from device.attendance.timesheet.sheet import sheet
from device.attendance.timesheet.shifts import Assignment, Schedule, Shift
from device.attendance.timesheet.windows import Windows
from device.attendance.timesheet.worksite import Site, month_days
from device.storage.effective import Entry
from tests.device.attendance.situations import schedule_of

ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]  # Lord Howe moves its clocks by half an hour
CHANGES = [date(2026, 3, 29), date(2026, 10, 25), date(2026, 3, 8), date(2026, 11, 1), date(2026, 4, 5), date(2026, 10, 4), date(2026, 11, 24)]
SITES = st.builds(Site, st.sampled_from(ZONES), st.sampled_from([time(0), time(2, 30), time(4), time(12)]), repeat_minutes=st.just(0))
DAYS = st.builds(lambda day, offset: day + timedelta(days=offset), st.sampled_from(CHANGES), st.integers(-1, 1))


def wall(moment: int, site: Site) -> datetime:
    """The wall clock, by way of UTC."""
    return (datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(minutes=moment)).astimezone(ZoneInfo(site.zone))


@given(SITES, DAYS)
@settings(max_examples=60, deadline=None)
def test_days_are_whole_and_in_order(site: Site, day: date) -> None:
    start, end = site.begins(day), site.begins(day + timedelta(days=1))
    wanted = [moment for moment in range(start - 180, start + 180) if wall(moment, site).replace(tzinfo=None) == datetime.combine(day, site.day_start)]
    assert wanted[:1] == [start] or not wanted  # the first of two, or a time that the clocks skip
    assert 23 * 60 <= end - start <= 25 * 60
    for moment in (start - 1, start, (start + end) // 2, end - 1, end):
        assert site.day_of(moment) == day + timedelta(days=(moment >= end) - (moment < start))


@st.composite
def truths(draw: st.DrawFn) -> tuple[Site, date, list[tuple[str, int, int]]]:
    """What a person did: ("work" or "break", from, to) in order, with time away between some; each stay within 16 hours."""
    site, day = draw(SITES), draw(DAYS)
    at, did = site.begins(day) + draw(st.integers(0, 600)), []
    for _ in range(draw(st.integers(1, 4))):
        pieces = draw(st.integers(1, 4)) * 2 - 1
        for piece in range(pieces):
            length = draw(st.integers(1, 130))
            did.append(("break" if piece % 2 else "work", at, at + length))
            at += length
        at += draw(st.integers(1, 900))
    return site, day, did


def punched(did: list[tuple[str, int, int]]) -> list[Entry]:
    entries = []
    for number, (kind, start, end) in enumerate(did):
        if kind == "work":
            came_back = number > 0 and did[number - 1][2] == start
            goes_on = number + 1 < len(did) and did[number + 1][1] == end
            entries.append(Entry(start * 60.0 + 59, "break_end" if came_back else "in"))
            entries.append(Entry(end * 60.0, "break_start" if goes_on else "out"))
    return entries


@given(truths(), st.booleans())
@settings(max_examples=200, deadline=None)
def test_hours_are_the_minutes_worked(truth: tuple[Site, date, list[tuple[str, int, int]]], automatic: bool) -> None:
    site, day, did = truth
    entries = punched(did)
    if automatic and all(kind == "work" for kind, _, _ in did):
        entries = [replace(entry, direction="auto") for entry in entries]
    days = [day + timedelta(days=offset) for offset in range(5)]
    found = sheet(1, entries, days, Schedule(), site, as_of=site.begins(days[-1]) + 10_000)

    worked = dict.fromkeys(days, 0)
    stay_day = day
    for number, (kind, start, end) in enumerate(did):
        if number == 0 or did[number - 1][2] != start:  # an arrival: its day follows from the wall clock
            local = wall(start, site)
            stay_day = local.date() - timedelta(days=local.time() < site.day_start)
            if start < site.begins(stay_day):  # in the repeated hour before the day start
                stay_day -= timedelta(days=1)
            elif start >= site.begins(stay_day + timedelta(days=1)):
                stay_day += timedelta(days=1)
        worked[stay_day] += sum(1 for _ in range(start, end)) if kind == "work" else 0
    assert {d.day: d.worked_minutes for d in found.days} == worked
    assert not any(d.faults for d in found.days)


@given(st.lists(st.tuples(st.integers(0, 4000), st.sampled_from(["in", "out", "break_start", "break_end", "auto"])), max_size=12), SITES, DAYS)
@settings(max_examples=200, deadline=None)
def test_any_punches_make_a_sheet_that_adds_up(stamps: list[tuple[int, str]], site: Site, day: date) -> None:
    start = site.begins(day)
    entries = [Entry((start + at) * 60.0, direction) for at, direction in sorted(stamps)]  # type: ignore[arg-type]
    days = [day + timedelta(days=offset) for offset in range(-1, 5)]
    found = sheet(1, entries, days, Schedule(), site, as_of=start + 20_000)
    spans = sorted((span for d in found.days for span in d.spans), key=lambda span: (span.start, span.end))
    assert all(first.end <= second.start for first, second in zip(spans, spans[1:], strict=False))  # no minute counts twice
    assert sum(len(d.stamps) for d in found.days) <= len(entries)
    assert found.totals.worked == sum(span.minutes for span in spans if span.kind == "work")
    assert all(d.worked_minutes <= d.stamps[-1].at - d.stamps[0].at for d in found.days if d.stamps)


@given(truths(), st.permutations([(6, 10), (11, 14), (17, 22)]), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_several_shifts_change_no_minute_of_work(truth: tuple[Site, date, list[tuple[str, int, int]]], times: list[tuple[int, int]], number: int) -> None:
    """What was pressed counts whatever is planned: only breaks and the time between shifts trade places, and the order of the shifts does not matter."""
    site, day, did = truth
    shifts = [Shift(f"{start}", time(start), time(end)) for start, end in times[:number]]
    days = [day + timedelta(days=offset) for offset in range(-1, 6)]
    plans = [Schedule([Assignment(days[0], (tuple(order),), day)]) for order in (shifts, shifts[::-1])]
    bare, one, other = (sheet(1, punched(did), days, plan, site, site.begins(days[-1]) + 10_000) for plan in (Schedule(), *plans))
    assert one == other
    assert sum(end - start for kind, start, end in did if kind == "work") == one.totals.worked == bare.totals.worked
    for found in one.days:
        assert found.planned.due_minutes == sum(part.due_minutes for part in found.planned.parts)
        assert (found.late_minutes, found.early_minutes) == (sum(k.late_minutes for k in found.kept), sum(k.early_minutes for k in found.kept))
        inside = [span for span in found.spans if span.kind == "gap"]
        assert found.break_minutes + sum(span.minutes for span in inside) == sum(span.minutes for span in found.spans if span.kind != "work")


CLOCKS = st.builds(time, st.integers(0, 23), st.sampled_from([0, 30]))
OFF = st.one_of(st.tuples(st.just(None), CLOCKS, CLOCKS), st.tuples(st.sampled_from(["first", "second"]), st.none(), st.none()))
PLANS = ["08:00-17:00 break 60", "22:00-06:00 break 30 between 01:00-03:00", "8:00 flexible core 10:00-15:00", "08:00-12:00 & 16:00-20:00"]
KINDS = st.sampled_from(sorted(ABSENCES))


@given(st.lists(st.tuples(KINDS, OFF), max_size=4), st.sampled_from(PLANS), DAYS)
@settings(max_examples=80, deadline=None)
def test_absences_share_out_what_is_due(rows: list[tuple[str, tuple[str | None, time | None, time | None]]], plan: str, day: date) -> None:
    """What is left of a day, and what each absence takes, are what was due; nothing is taken twice, and the parts do not overlap."""
    site = Site("Europe/Berlin")
    absences = [Absence(day, day, kind, *rest) for kind, rest in rows if rest[1] is None or rest[1] != rest[2]]  # type: ignore[arg-type]
    whole = schedule_of(plan, day).planned(day, site)
    found = replace(schedule_of(plan, day), absences=absences).planned(day, site)
    taken = sum(off.minutes for off in found.off)
    assert taken + (sum(part.due_minutes for part in found.parts) if found.kind == "work" else 0) == whole.due_minutes
    assert found.credited_minutes == sum(off.minutes for off in found.off if ABSENCES[off.kind] == "credited")
    assert found.span == whole.span and all(off.minutes > 0 for off in found.off)
    spans = [part.span for part in found.parts if part.span]
    assert all(first < last for first, last in spans) and all(one[1] <= other[0] for one, other in zip(spans, spans[1:], strict=False))


SHIFTS = st.one_of(st.none(), st.builds(lambda s, n: Shift("s", time(s), time((s + n) % 24)), st.integers(0, 23), st.integers(1, 12)))


@given(st.lists(SHIFTS, min_size=1, max_size=8), SITES, DAYS)
@settings(max_examples=200, deadline=None)
def test_every_shift_that_leaves_rest_lies_in_its_own_day(cycle: list[Shift | None], site: Site, day: date) -> None:
    windows = Windows(Schedule([Assignment(day - timedelta(days=9), tuple(cycle), day)]), site)
    spans = [windows.planned(day + timedelta(days=offset)).span for offset in (-1, 0, 1)]
    rested = all(not a or not b or a[1] <= b[0] for a, b in zip(spans, spans[1:], strict=False))
    if spans[1] and rested:
        assert windows.begins(day) <= spans[1][0] and spans[1][1] <= windows.ends(day)


@given(st.integers(0, 900), st.integers(0, 120))
@settings(max_examples=200)
def test_a_deduction_is_the_least_that_keeps_the_rule(worked: int, taken: int) -> None:
    rules = ((360, 30), (540, 45))

    def kept(minutes: int) -> bool:
        return all(worked - minutes <= after or taken + minutes >= due for after, due in rules)

    assert deduction(worked, taken, rules) == next(minutes for minutes in range(worked + 1) if kept(minutes))


def test_months() -> None:
    assert [len(month_days(month)) for month in ("2026-02", "2028-02", "2026-11", "2026-12")] == [28, 29, 30, 31]
