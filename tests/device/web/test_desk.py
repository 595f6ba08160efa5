"""The review desk through its pages: find a punch, correct it, have it approved, export it, lock the month; a viewer is refused."""

from __future__ import annotations

import csv
import io
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

import openpyxl
import pytest

from device.attendance.planning import Planning
from device.attendance.timesheet.shifts import Shift
from device.attendance.timesheet.worksite import Site
from device.delivery.tables import as_xlsx
from device.delivery.workbooks import SHEET_ROWS, WorkbookTable, as_workbook
from device.storage.records import Direction
from device.storage.store import PunchDraft
from device.system.clock import ClockState
from device.web.desk.exports import apart
from tests.device.web.conftest import Desk
from tests.refused import refused

DAY = date(2026, 9, 18)  # the Friday before the desk's clock
PAGES = (
    "/today", "/today/part", "/log", "/timesheets", "/timesheets/day", "/timesheets/1", "/timesheets/1/print", "/plots", "/corrections",
    "/corrections/new", "/corrections/new?person=E1", "/periods", "/schedule", "/exports",
)  # fmt: skip
HOSTILE = "<script>alert('x')</script>"


def at(clock: str, day: date = DAY) -> float:
    return datetime.combine(day, time.fromisoformat(clock), ZoneInfo("Europe/Berlin")).timestamp()


@pytest.fixture
def staffed(desk: Desk) -> Desk:
    """Ann by day, with in 08:00 and out 18:00 on Friday; somebody with a name that is no name."""
    with desk.store() as store:
        planning = Planning(store)
        planning.set_site(Site("Europe/Berlin"), "test")
        store.add_person("Ann", "E1")
        store.add_person(HOSTILE, "=E2")
        shift = planning.add_shift(Shift("day", time(8), time(16, 30), 30, break_automatic=False), "test")
        planning.assign(1, planning.add_plan("week", [shift] * 5 + [None, None], date(2026, 8, 31), "test"), date(2026, 9, 1), "test")
        stamps: list[tuple[int, str, Direction]] = [(1, "08:00", "in"), (2, "08:30", "in"), (1, "18:00", "out")]
        for person, clock, direction in stamps:
            store.record_punch(PunchDraft(person, at(clock), direction, "door", "face", ClockState(True, "boot", 1), 0.71, 0.3, 0.417, None, "m"))
        store.add_sighting(at("09:00"), 3, 0.2)
    return desk


@pytest.mark.parametrize("page", PAGES)
def test_every_page_shows_itself_and_no_script_of_others(staffed: Desk, page: str) -> None:
    answer = staffed.browser("admin").get(page)
    assert answer.status_code == 200, answer.text[-500:]
    assert HOSTILE not in answer.text


def test_pages_of_an_empty_terminal(desk: Desk) -> None:
    browser = desk.browser("admin")
    for page in ("/today", "/log", "/timesheets", "/timesheets/day", "/plots", "/corrections", "/periods", "/schedule", "/exports"):
        assert browser.get(page).status_code == 200, page


def test_find_correct_approve_export_lock(staffed: Desk) -> None:
    hr, admin = staffed.browser("hr"), staffed.browser("admin")
    log = hr.get("/log?from=2026-09-18&to=2026-09-18&person=E1").text
    assert "18:00:00" in log and "0.710" in log and "3 unknown faces" in log and "whole" in log
    form = "/corrections/new?person=id:1&day=2026-09-18&target=punch:3"
    fields = {"person": "1", "day": "2026-09-18", "target": "punch:3", "action": "replace", "punch_day": "2026-09-18", "time": "16:30", "direction": "out"}
    sent = hr.post("/corrections", form, {**fields, "reason": "left at half past four"})
    assert sent.status_code == 303 and sent.headers["location"] == "/corrections/1"
    page = hr.get("/corrections/1").text
    assert "18:00" in page and "16:30" in page and "10:00" in page and "8:30" in page and "left at half past four" in page  # moments and hours, side by side
    own = hr.post("/corrections/1/decision", "/corrections/1", {"decision": "approve"})
    assert own.status_code == 400 and "asked for themselves" in own.text
    assert admin.post("/corrections/1/decision", "/corrections/1", {"decision": "approve", "note": "seen"}).status_code == 303
    assert "counts as out 16:30" in hr.get("/log?from=2026-09-18&to=2026-09-18").text
    assert "corrected" in hr.get("/timesheets/1?month=2026-09").text
    rows = list(csv.DictReader(io.StringIO(hr.get("/exports/timesheet?month=2026-09&format=csv").text.removeprefix("\ufeff"))))
    friday = next(row for row in rows if row["date"] == "2026-09-18" and row["person_id"] == "1")
    assert (friday["worked_minutes"], friday["last_out"], friday["corrected"]) == ("510", "2026-09-18T16:30+02:00", "True")
    sheet = openpyxl.load_workbook(io.BytesIO(hr.get("/exports/log?from=2026-09-18&to=2026-09-18&format=xlsx").content)).active
    assert [row[2] for row in sheet.iter_rows(min_row=2, values_only=True)] == ["Ann", HOSTILE, "Ann"]
    staffed.clock.now = at("12:00", date(2026, 10, 2))
    assert staffed.browser("hr").post("/periods", "/periods", {"month": "2026-09"}).status_code == 303
    with staffed.store() as store:  # a door that was offline
        store.record_punch(PunchDraft(1, at("19:30"), "in", "gate", "pin", ClockState(True, "boot", 1)))
    page = staffed.browser("hr").get("/periods").text
    assert "came later" in page and "<li>Ann: in 2026-09-18 19:30, gate</li>" in page and "Lift the lock" in page
    late = staffed.browser("hr").post("/corrections", form, {**fields, "time": "17:00", "reason": "again"})
    assert late.status_code == 400 and "locked period" in late.text
    with staffed.store() as store, store.reading() as db:
        actions = [row[0] for row in db.execute("SELECT action FROM audit WHERE actor LIKE 'user:%'")]
    assert {"correction requested", "correction approved", "timesheet exported", "log exported", "period locked"} <= set(actions)


def test_a_missing_punch_is_added_and_taken_away_again(staffed: Desk) -> None:
    hr, admin = staffed.browser("hr"), staffed.browser("admin")
    form = "/corrections/new?person=id:2&day=2026-09-18"
    fields = {"person": "2", "day": "2026-09-18", "target": "new", "action": "replace", "punch_day": "2026-09-18", "time": "17:00", "direction": "out"}
    assert hr.post("/corrections", form, {**fields, "reason": "forgot"}).status_code == 303
    assert admin.post("/corrections/1/decision", "/corrections/1", {"decision": "approve"}).status_code == 303
    page = hr.get(form).text
    assert "added by a correction" in page and 'value="added:1"' in page
    assert hr.post("/corrections", form, {**fields, "target": "added:1", "action": "remove", "reason": "wrong"}).status_code == 303
    assert admin.post("/corrections/2/decision", "/corrections/2", {"decision": "approve"}).status_code == 303
    assert "added by a correction" not in hr.get(form).text


def test_a_viewer_reads_and_is_refused_the_rest(staffed: Desk) -> None:
    viewer = staffed.browser("viewer")
    assert viewer.get("/timesheets/1?month=2026-09").status_code == 200
    for path in ("/corrections", "/exports", "/exports/log", "/exports/timesheet", "/schedule", "/periods"):
        answer = viewer.get(path)
        assert answer.status_code == 403 and "Your role (viewer) does not allow this" in answer.text
    assert "/corrections/new" not in viewer.get("/log?from=2026-09-18&to=2026-09-18").text


def test_illness_is_shown_to_hr_alone(staffed: Desk) -> None:
    hr = staffed.browser("hr")
    sent = hr.post("/schedule/absences", "/schedule", {"person": "E1", "first": "2026-09-21", "last": "2026-09-22", "kind": "sick"})
    assert sent.status_code == 303
    for page in ("/timesheets/1?month=2026-09", "/timesheets/1/print?month=2026-09"):
        assert "sick" in hr.get(page).text and "sick" not in staffed.browser("viewer").get(page).text
    assert "sick" not in staffed.browser("viewer").get("/today").text + staffed.browser("viewer").get("/timesheets/day?day=2026-09-21").text


def test_today_answers_only_when_something_changed(staffed: Desk) -> None:
    browser = staffed.browser("viewer")
    first = browser.get("/today/part")
    serial = first.text.partition('data-serial="')[2].partition('"')[0]
    assert browser.get(f"/today/part?seen={serial}").status_code == 204
    with staffed.store() as store:
        store.record_punch(PunchDraft(2, staffed.clock.now, "in", "door", "manual", ClockState(True, "boot", 1)))
    assert browser.get(f"/today/part?seen={serial}").status_code == 200


def test_today_has_a_refused_attempt_at_the_next_look(staffed: Desk) -> None:
    browser = staffed.browser("viewer")
    serial = browser.get("/today/part").text.partition('data-serial="')[2].partition('"')[0]
    with staffed.store() as store:
        store.add_refusal(staffed.clock.now, "picture", 0.02, 9)
    answer = browser.get(f"/today/part?seen={serial}")
    assert answer.status_code == 200 and "<b>1</b> today" in answer.text


def test_schedule_by_its_forms(staffed: Desk) -> None:
    hr, admin = staffed.browser("hr"), staffed.browser("admin")

    def send(path: str, **fields: str) -> int:
        return int(hr.post(path, "/schedule", fields).status_code)

    assert send("/schedule/shifts", name="late", start="14:00", end="22:00", break_minutes="30", grace_minutes="5") == 303
    assert send("/schedule/shifts", name="office", start="", end="", break_minutes="0", grace_minutes="0", hours="08:00") == 303
    rules = {"before_minutes": "15", "check_out": "12:30", "half_day_minutes": "120", "early_grace_minutes": "0"}
    assert send("/schedule/shifts", name="morning", start="08:00", end="12:00", break_minutes="0", grace_minutes="5", **rules) == 303
    half = {"person": "=E2", "first": "2026-10-05", "last": "2026-10-05", "kind": "vacation", "half": "second"}
    assert send("/schedule/absences", **half) == 303 and send("/schedule/absences", **half | {"half": "third"}) == 400
    week = {f"day_{number}": "2" for number in range(5)} | {"second_0": "4"}
    assert send("/schedule/plans", name="lates", weeks="1", anchor="2026-09-21", **week) == 303
    assert send("/schedule/assignments", person="=E2", plan="2", since="2026-09-21") == 303
    assert send("/schedule/holidays", day="2026-10-03", name="Unity") == 303
    with staffed.store() as store:
        assert Planning(store).shifts()[4] == Shift("morning", time(8), time(12), 0, None, 5, True, False, None, None, 0, 15, 0, time(12, 30), 120)
        schedule = Planning(store).schedules(2)[2]
        split, planned = (schedule.planned(date(2026, 9, day), Site("Europe/Berlin")) for day in (21, 22))
        assert (split.title, split.due_minutes) == ("morning + late", 690)
        assert (planned.title, planned.due_minutes) == ("late", 450)
        assert Planning(store).holidays() == {date(2026, 10, 3): "Unity"}
    rules = {"zone": "Europe/Berlin", "day_start": "04:00", "longest_stay_hours": "16", "repeat_minutes": "2", "rounding_minutes": "5"}
    rules |= {"minimum_breaks": "360:30", "rounding": "inward", "rounding_of": "day", "check_out": "20:00"}
    assert hr.post("/schedule/site", "/schedule", rules).status_code == 403
    assert admin.post("/schedule/site", "/schedule", rules).status_code == 303
    with staffed.store() as store:
        rounded = {"rounding": "inward", "rounding_of": "day", "check_out": time(20)}
        assert Planning(store).site() == Site("Europe/Berlin", time(4), 16, 2, 5, ((360, 30),), four_eyes=False, **rounded)
    assert "counted from" not in hr.get("/schedule").text and "automatic check-out at 12:30" in hr.get("/schedule").text


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/log?from=yesterday", "is not a day"),
        ("/log?from=2026-09-18&to=2026-09-01", "the first before the last"),
        ("/log?from=1990-01-01&to=2026-09-01", "at most 366 days"),
        ("/log?method=magic", "expected one of face, pin, manual"),
        ("/log?person=Nobody", "nobody has the id"),
        ("/log?page=0", "expected a number from 1"),
        ("/log?page=99999999999999999999", "expected a number from 1"),
        ("/log?from=0001-01-01&to=0001-01-01", ""),
        ("/log?from=9999-12-31&to=9999-12-31", ""),
        ("/timesheets?month=2026-13", "is not a month"),
        ("/timesheets?month=0001-01", ""),
        ("/timesheets?month=9999-12", ""),
        ("/timesheets/day?day=9999-12-31", ""),
        ("/timesheets/day?day=0001-01-01", ""),
        ("/timesheets/99", "no person with id 99"),
        ("/plots?day=9999-12-31", ""),
        ("/corrections/99", "no request 99"),
        ("/corrections?state=lost", "expected one of open"),
        ("/exports/log?format=pdf", "expected one of csv"),
        ("/exports/timesheet?month=2026-9x", "is not a month"),
    ],
)
def test_nonsense_in_an_address_is_named(staffed: Desk, path: str, said: str) -> None:
    answer = staffed.browser("hr").get(path)
    assert answer.status_code in ((400, 404) if said else (200, 400, 404)), answer.status_code
    assert said in answer.text


@pytest.mark.parametrize(
    ("path", "fields", "said"),
    [
        ("/corrections", {"person": "x"}, "expected a whole number"),
        ("/corrections", {"person": "1", "day": "2026-09-18", "target": "punch:x"}, "choose the punch"),
        ("/corrections", {"person": "1", "day": "2026-09-18", "target": "punch:3", "action": "replace", "direction": "sideways"}, "choose a direction"),
        ("/corrections", {"person": "1", "day": "2026-09-18", "target": "new", "punch_day": "2026-09-18", "time": "25:00", "direction": "in"}, "not a time"),
        ("/corrections", {"person": "1", "day": "2026-09-18", "target": "punch:2", "action": "remove", "reason": "x"}, "has no punch 2"),
        ("/corrections", {"person": "1", "day": "2026-09-18", "target": "punch:3", "action": "remove", "reason": " "}, "reason"),
        ("/periods", {"month": "2026-09"}, "not over yet"),
        ("/schedule/shifts", {"name": "x"}, "a fixed shift needs start and end"),
        ("/schedule/plans", {"name": "x", "weeks": "9", "anchor": "2026-09-21"}, "one to four weeks"),
        ("/schedule/assignments", {"person": "E1", "plan": "77", "since": "2026-09-21"}, "no plan 77"),
        ("/schedule/absences", {"person": "E1", "first": "2026-09-21", "last": "2026-09-20", "kind": "sick"}, "lies before its first"),
        ("/schedule/absences/5/cancel", {}, "no absence 5"),
        ("/schedule/holidays", {"day": "soon", "name": "x"}, "is not a day"),
    ],
)
def test_forms_that_make_no_sense(staffed: Desk, path: str, fields: dict[str, str], said: str) -> None:
    answer = staffed.browser("hr").post(path, "/schedule", fields)
    assert answer.status_code == 400 and said in answer.text


def test_a_changed_punch_shows_in_the_log(staffed: Desk) -> None:
    with staffed.store() as store, store.transaction() as db:
        db.execute("DROP TRIGGER punches_no_update")
        db.execute("UPDATE punches SET occurred_at = occurred_at - 600000 WHERE id = 3")
    assert "changed after it was recorded" in staffed.browser("viewer").get("/log?from=2026-09-18&to=2026-09-18").text


def test_a_long_worksheet_is_made_apart_and_the_same() -> None:
    rows = [{"person_id": number, "name": HOSTILE, "local_time": datetime(2026, 9, 18, 8, 0, number)} for number in range(3)]
    columns = ("person_id", "name", "local_time")
    made = (as_xlsx("log", columns, rows), apart(as_workbook, [WorkbookTable("log", columns, rows)]))
    found = [list(openpyxl.load_workbook(io.BytesIO(data)).active.values) for data in made]
    assert found[0] == found[1] == [columns, *(tuple(row.values()) for row in rows)]
    with refused("table.rows", str(SHEET_ROWS)):  # its errors come back as they are
        apart(as_workbook, [WorkbookTable("log", columns, range(SHEET_ROWS + 1))])  # type: ignore[arg-type]


def test_everybodys_sheets_are_made_apart_and_the_same(staffed: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    address = "/exports/timesheet?month=2026-09&format=csv"
    here = staffed.browser("hr").get(address).text
    monkeypatch.setattr("device.web.desk.exports.LONG_ROWS", 0)
    assert staffed.browser("hr").get(address).text == here and len(here.splitlines()) > 30


def test_a_pay_period_is_shown_exported_and_locked(staffed: Desk) -> None:
    """From the 26th to the 25th, as the site says; any other days by their first and last."""
    admin, hr = staffed.browser("admin"), staffed.browser("hr")
    assert hr.post("/schedule/accounting", "/schedule", {"period_day": "26"}).status_code == 403
    assert "1 to 28" in admin.post("/schedule/accounting", "/schedule", {"period_day": "29"}).text
    assert admin.post("/schedule/accounting", "/schedule", {"period": "month", "period_day": "26"}).status_code == 303
    for page in ("/timesheets", "/timesheets/1", "/timesheets/1/print", "/timesheets?period=2026-08-26..2026-09-25"):
        assert "26 August to 25 September 2026" in hr.get(page).text
    assert "September 2026" in hr.get("/timesheets?month=2026-09").text and 'value="2026-08-25"' not in hr.get("/timesheets?month=2026-09").text
    rows = list(csv.DictReader(io.StringIO(hr.get("/exports/timesheet?period=2026-09-18&format=csv").text.removeprefix("\ufeff"))))
    assert (rows[0]["date"], rows[-1]["date"]) == ("2026-08-26", "2026-09-25")
    rows = list(csv.DictReader(io.StringIO(hr.get("/exports/timesheet?from=2026-09-17&to=2026-09-18&format=csv").text.removeprefix("\ufeff"))))
    assert [row["date"] for row in rows] == ["2026-09-17", "2026-09-18"] * 2
    staffed.clock.now = at("12:00", date(2026, 10, 2))
    hr = staffed.browser("hr")
    assert 'value="2026-08-26"' in hr.get("/periods").text
    sent = hr.post("/periods", "/periods", {"first": "2026-08-26", "last": "2026-09-25"})
    assert sent.status_code == 303 and "26 August to 25 September 2026 is locked" in hr.get("/periods").text


def test_overtime_is_told_apart_and_approved(staffed: Desk) -> None:
    """Ann worked 10:00 of 8:00 on Friday; it waits until HR approves it, and the audit tells who did."""
    admin, hr = staffed.browser("admin"), staffed.browser("hr")
    assert "overtime counts as it is worked" in hr.get("/timesheets/overtime").text
    rules = {"overtime_approval": "yes", "overtime_day": "8:00", "premiums": "night", "night_from": "17:00"}
    assert admin.post("/schedule/accounting", "/schedule", rules).status_code == 303
    page = hr.get("/timesheets/overtime?period=2026-09").text
    assert 'value="1 2026-09-18"' in page and "2:00" in page
    for path in ("/timesheets/1?period=2026-09", "/timesheets?period=2026-09", "/timesheets/1/print?period=2026-09"):
        text = hr.get(path).text.replace("\u00a0", " ")
        assert "night 1:00" in text or "<dd>1:00</dd>" in text, path
    sent = hr.post("/timesheets/overtime", "/timesheets/overtime?period=2026-09", {"period": "2026-09", "day": "1 2026-09-18"})
    assert sent.status_code == 303 and "Nothing waits" in hr.get("/timesheets/overtime?period=2026-09").text
    rows = list(csv.DictReader(io.StringIO(hr.get("/exports/timesheet?period=2026-09-18..2026-09-18&format=csv").text.removeprefix("\ufeff"))))
    assert (rows[0]["overtime_approved_minutes"], rows[0]["night_minutes"], rows[0]["overtime_day_minutes"]) == ("120", "60", "120")
    with staffed.store() as store, store.reading() as db:
        assert db.execute("SELECT count(*) FROM audit WHERE action = 'overtime approved' AND actor LIKE 'user:%'").fetchone()[0] == 1
    assert hr.post("/timesheets/overtime", "/timesheets/overtime?period=2026-09", {"period": "2026-09"}).status_code == 400


def test_accounts_and_leave_by_their_forms(staffed: Desk) -> None:
    hr, admin, viewer = staffed.browser("hr"), staffed.browser("admin"), staffed.browser("viewer")
    assert "No account has begun" in hr.get("/timesheets/1?month=2026-09").text and "Accounts" not in viewer.get("/timesheets/1?month=2026-09").text
    booking = {"period": "2026-09", "kind": "time opening", "day": "2026-09-17", "amount": "12:30", "reason": "from the old system"}
    assert hr.post("/timesheets/1/bookings", "/timesheets/1?month=2026-09", booking).status_code == 303
    for page in ("/timesheets/1?month=2026-09", "/timesheets/accounts?period=2026-09"):
        assert "12:30" in hr.get(page).text and "6:30" in hr.get(page).text  # less the Thursday that she missed, and the 2:00 of Friday more
    assert "from the old system" not in viewer.get("/timesheets/1?month=2026-09").text
    assert hr.post("/timesheets/accounts/leave", "/timesheets/accounts", {"year": "2026", "amount": "27.5"}).status_code == 303
    assert hr.get("/timesheets/accounts?period=2026-09").text.count("27.5") >= 2 and "27.5" not in viewer.get("/timesheets/1?month=2026-09").text
    for wrong, said in (({"kind": "time gift"}, "expected a kind"), ({"amount": "much"}, "not a duration"), ({"reason": " "}, "reason")):
        assert said in hr.post("/timesheets/1/bookings", "/timesheets/1?month=2026-09", {**booking, **wrong}).text
    totals = list(csv.DictReader(io.StringIO(hr.get("/exports/timesheet?period=2026-09&rows=totals&format=csv").text.lstrip("\ufeff"))))
    assert [row["person_id"] for row in totals] == ["1", "2", ""] and (totals[0]["account_after_minutes"], totals[0]["leave_left_days"]) == ("390", "27.5")
    assert admin.post("/schedule/accounting", "/schedule", {"law": "de"}).status_code == 303
    assert "6 h without a break</span> <small>Fri 18 Sep</small>" in hr.get("/timesheets/law?period=2026-09").text and "ArbZG" in hr.get("/timesheets/law").text
    assert admin.post("/schedule/accounting", "/schedule", {"law": "nowhere"}).status_code == 400
