"""No word of the pages about hours comes from beside the catalogue: neither from a template nor from Python, neither on a page nor after or in a form.

Here the desk's texts have no letters, and names are numbers, so that every letter on a page is a word that has no translation.
"""

from __future__ import annotations

import html
import re
from dataclasses import replace
from datetime import date, datetime, time, timezone
from typing import get_args

import pytest

from device.attendance import accounts, calendars
from device.attendance.accounts import KINDS, Booking
from device.attendance.planning import Planning
from device.attendance.review import Desk as Review
from device.attendance.timesheet.absences import ABSENCES, Absence, Employment, Half
from device.attendance.timesheet.accounting import LENGTHS, from_texts
from device.attendance.timesheet.buckets import LABELS, Buckets
from device.attendance.timesheet.law import LAWS
from device.attendance.timesheet.law_flags import of_a_law
from device.attendance.timesheet.shifts import Shift
from device.attendance.timesheet.workday import Flag
from device.attendance.timesheet.worksite import PAIRINGS, ROUNDED, ROUNDING_MODES, Site
from device.storage.corrections import CorrectionDraft
from device.storage.records import Direction, LastPunch, PunchDraft
from device.storage.store import Store
from device.system.clock import ClockState
from device.web.desk.day_words import DayWords
from device.web.messages import Messages
from tests.device.web.conftest import Desk
from tests.device.web.untranslated import beside, blanked

NOW = datetime(2026, 9, 21, 20, 0, tzinfo=timezone.utc).timestamp()  # a Monday
DATA = "Clockface|CSV|XLSX|Etc/UTC|UTC|door|hr|admin|viewer|English|Deutsch|EN|DE"  # names of a program, of a device, of logins, of languages
RULES = {"overtime_approval": "yes", "law": "de", "premiums": "night, saturday, sunday, holiday", "overtime_day": "8:00", "account_since": "2026-09-01"}
MONTH = "month=2026-09"
PAGES = (
    f"/timesheets?{MONTH}", "/timesheets?from=2026-09-02&to=2026-09-21&rows=all", "/timesheets?name=nobody", "/timesheets/day?day=2026-09-16",
    "/timesheets/day", f"/timesheets/1?{MONTH}", f"/timesheets/2?{MONTH}", "/timesheets/1?period=2026-08-20..2026-09-10", f"/timesheets/1/print?{MONTH}",
    f"/timesheets/2/print?{MONTH}", "/timesheets/1/print?month=2026-08", f"/timesheets/overtime?{MONTH}", "/timesheets/overtime?month=2026-08",
    f"/timesheets/accounts?{MONTH}", f"/timesheets/law?{MONTH}", "/timesheets/law?month=2026-07", "/schedule", "/schedule/plans/1", "/schedule/plans/2",
    "/corrections?state=all", "/corrections/1", "/corrections/new?person=id:1&day=2026-09-16", "/periods", "/log?from=2026-09-01&to=2026-09-21",
)  # fmt: skip


@pytest.fixture
def silent(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """The desk with blanked German."""
    blank = blanked("de")
    monkeypatch.setattr(Messages, "load", staticmethod(lambda language: blank))
    desk.clock.now = NOW
    return desk


@pytest.fixture
def staffed(silent: Desk) -> Desk:
    with silent.store() as store:
        _plan(store)
        for day in range(14, 19):  # the week before
            _punch(store, 1, date(2026, 9, day), (("in", time(8, 20)), ("out", time(11, 50)), ("in", time(16)), ("out", time(20, 40))))
            _punch(store, 2, date(2026, 9, day), (("in", time(7)), ("break_start", time(13, 30)), ("break_end", time(13, 40)), ("out", time(20))))
        _punch(store, 1, date(2026, 9, 19), (("in", time(9)),))  # a Saturday, no departure
        _punch(store, 1, date(2026, 9, 20), (("in", time(8)), ("out", time(9, 0)), ("in", time(23)), ("out", time(23, 1))))
        _punch(store, 2, date(2026, 9, 21), (("in", time(6, 50)), ("break_start", time(12))))
        review = Review(store, NOW)
        for hour in (17, 18):
            moment = datetime(2026, 9, 19, hour, tzinfo=timezone.utc).timestamp()
            review.request(CorrectionDraft(1, None, None, LastPunch(moment, "out"), "1"), "user:3")
        review.decide(1, True, "user:4")
        review.lock(date(2026, 8, 1), date(2026, 8, 31), "user:3")
    return silent


def _plan(store: Store) -> None:
    planned, site = Planning(store), Site("UTC", four_eyes=False)
    planned.set_site(replace(site, accounting=from_texts(site.accounting, RULES)), "user:4")
    people = [store.add_person(str(number), f"{number}{number}") for number in (1, 2, 3)]
    early = planned.add_shift(Shift("8", time(8), time(12), grace_minutes=5, half_day_minutes=230, early_grace_minutes=3), "user:3")
    late = planned.add_shift(Shift("16", time(16), time(20), 15, before_minutes=20, after_minutes=30, check_out=time(23), absent_minutes=60), "user:3")
    core = planned.add_shift(Shift("7", time(10), time(14), minutes=450, break_minutes=30, break_paid=True), "user:3")
    paid = planned.add_shift(Shift("9", time(9), time(17), 30, break_automatic=False, break_from=time(11), break_to=time(14)), "user:3")
    split = planned.add_plan("1", [(early, late)] * 5 + [None, None], date(2026, 9, 7), "user:3")
    other = planned.add_plan("2", [core, core, paid, core, paid, None, None, paid], date(2026, 9, 7), "user:3", "first_last")
    planned.assign(people[0].id, split, date(2026, 9, 7), "user:3")
    planned.assign(people[1].id, other, date(2026, 9, 7), "user:3")
    planned.set_employment(people[0].id, Employment(date(2026, 1, 1), date(2026, 9, 19)), "user:3")
    planned.set_employment(people[1].id, Employment(date(2026, 1, 1)), "user:3")
    planned.set_employment(people[2].id, Employment(None, date(2026, 12, 31)), "user:3")
    for day, kind, half in ((8, "sick", None), (9, "vacation", "first"), (10, "training", "second")):
        planned.add_absence(1, Absence(date(2026, 9, day), date(2026, 9, day), kind, half), "user:3")  # type: ignore[arg-type]
    planned.add_absence(2, Absence(date(2026, 9, 14), date(2026, 9, 14), "unpaid", None, time(10), time(12)), "user:3")
    planned.add_absence(2, Absence(date(2026, 9, 22), date(2026, 9, 25), "compensation"), "user:3")
    for calendar in ("", "5"):
        calendars.set_day(store, date(2026, 9, 17), "6", calendar, "user:3")
    calendars.choose(store, "5", "user:3", person_id=1)
    calendars.choose(store, "5", "user:3", plan_id=2)
    for account, kind, amount in (("time", "opening", 90), ("time", "payout", -60), ("leave", "entitlement", 3000), ("leave", "carried", 250)):
        accounts.book(store, Booking(0, 1, account, kind, date(2026, 9, 2), amount, "1", "user:3", NOW))


def _punch(store: Store, person: int, day: date, punches: tuple[tuple[Direction, time], ...]) -> None:
    for direction, at in punches:
        moment = datetime.combine(day, at, timezone.utc).timestamp()
        store.record_punch(PunchDraft(person, moment, direction, "door", "face", ClockState(True, "1", 1), 0.8, 0.5, 0.4, None, "m"))


@pytest.mark.parametrize("role", ["hr", "viewer"])
def test_no_page_has_a_word_of_its_own(staffed: Desk, role: str) -> None:
    browser, found, seen = staffed.browser(role), {}, 0
    for address in PAGES:
        answer = browser.get(address)
        if answer.status_code == 200:
            seen += 1
            if words := beside(html.unescape(answer.text), DATA):
                found[address] = words
    assert found == {} and seen >= (len(PAGES) if role == "hr" else 10)


def test_an_empty_site_has_no_words_either(silent: Desk) -> None:
    browser = silent.browser("hr")
    pages = [address for address in PAGES if not re.search(r"/\d|id:", address)]
    assert {address: words for address in pages if (words := beside(browser.get(address).text, DATA))} == {}


LAW_FLAGS = {flag for law in LAWS.values() for flag in (f"rest below {law.rest_hours} h", f"{law.unbroken_hours} h without a break", "Sunday or holiday")}


def test_names_that_the_program_uses_have_words() -> None:
    """In English they are the program's own, as commands and exports have them; in German others."""
    names = [*get_args(Flag), *LAW_FLAGS, "over 10 h"]
    english, german = (DayWords(Messages.load(language)) for language in ("en", "de"))
    assert [english.flag(name) for name in names] == names and all(of_a_law(name) for name in {*LAW_FLAGS, "over 10 h"})
    assert [english.kind(name) for name in ABSENCES] == list(ABSENCES)
    every = Buckets(*range(1, 8))
    assert english.apart(every) == list(zip(LABELS.values(), range(1, 8), strict=True))
    halves = [Absence(date(2026, 9, 1), date(2026, 9, 1), "sick", half).when for half in get_args(Half)]
    assert [english.when(half) for half in halves] == halves and german.when("08:00-10:00") == "08:00–10:00"
    said = english.messages.named
    assert said("schedule", PAIRINGS, "pairing_") == PAIRINGS and said("schedule", ROUNDED, "rounded_") == ROUNDED
    assert said("schedule", ROUNDING_MODES, "rounding_") == ROUNDING_MODES and said("rules", LENGTHS, "period_") == LENGTHS
    assert said("law", LAWS, "name_") == {name: law.name for name, law in LAWS.items()}
    assert {account: said("accounts", kinds, f"kind_{account}_") for account, kinds in KINDS.items()} == KINDS
    assert [name for name in names if english.flag(name) == german.flag(name)] == []


def test_a_word_beside_the_catalogue_would_be_found(staffed: Desk) -> None:
    plain = staffed.browser("hr").get("/timesheets/1/print?month=2026-09").text
    assert beside(plain, DATA) == [] and beside(plain.replace("</h1>", " for September</h1>"), DATA) != []
    assert beside("<p title='Print it'>··· 7:30 door</p>", DATA) == ["Print it"]


REFUSED = (  # page of the form, where it is sent, what is wrong with it
    ("/timesheets/overtime", "/timesheets/overtime", {}),
    ("/timesheets/overtime", "/timesheets/overtime", {"day": "1 2026-09-99"}),
    ("/timesheets/overtime", "/timesheets/overtime", {"day": "1 2026-08-05"}),
    ("/timesheets/accounts", "/timesheets/accounts/leave", {"year": "1", "amount": "30"}),
    ("/timesheets/accounts", "/timesheets/accounts/leave", {"year": "?", "amount": "30"}),
    ("/timesheets/accounts", "/timesheets/accounts/leave", {"year": "2026", "amount": "1.2.3"}),
    ("/timesheets/1", "/timesheets/1/bookings", {"kind": "time payout", "day": "2026-09-01", "amount": "1:99", "reason": "1"}),
    ("/timesheets/1", "/timesheets/1/bookings", {"kind": "time payout", "day": "?", "amount": "1:00", "reason": "1"}),
    ("/timesheets/1", "/timesheets/1/bookings", {"kind": "time payout", "day": "2026-09-01", "amount": "0", "reason": "1"}),
    ("/timesheets/1", "/timesheets/1/bookings", {"kind": "leave 1", "day": "2026-09-01", "amount": "1", "reason": "1"}),
    ("/timesheets/1", "/timesheets/1/bookings", {"kind": "leave payout", "day": "2026-09-01", "amount": "1", "reason": " "}),
    ("/timesheets/1", "/timesheets/1/bookings", {"kind": "time payout", "day": "2026-08-05", "amount": "1", "reason": "1"}),
    ("/schedule", "/schedule/shifts", {"name": "1"}),
    ("/schedule", "/schedule/shifts", {"name": "", "start": "08:00", "end": "12:00"}),
    ("/schedule", "/schedule/shifts", {"name": "8", "start": "08:00", "end": "12:00"}),
    ("/schedule", "/schedule/shifts", {"name": "1", "start": "08:00"}),
    ("/schedule", "/schedule/shifts", {"name": "1", "start": "?", "end": "12:00"}),
    ("/schedule", "/schedule/shifts", {"name": "1", "start": "08:00", "end": "12:00", "grace_minutes": "999"}),
    ("/schedule", "/schedule/shifts", {"name": "1", "start": "08:00", "end": "12:00", "grace_minutes": "1.5"}),
    ("/schedule", "/schedule/shifts", {"name": "1", "start": "08:00", "end": "12:00", "break_minutes": "300"}),
    ("/schedule", "/schedule/shifts", {"name": "1", "start": "08:00", "end": "12:00", "break_minutes": "30", "break_from": "09:00", "break_to": "09:10"}),
    ("/schedule", "/schedule/shifts", {"name": "1", "start": "08:00", "end": "12:00", "break_minutes": "30", "break_from": "13:00", "break_to": "14:00"}),
    ("/schedule", "/schedule/shifts", {"name": "1", "start": "08:00", "end": "12:00", "half_day_minutes": "60", "absent_minutes": "90"}),
    ("/schedule", "/schedule/shifts", {"name": "1", "hours": "7:77"}),
    ("/schedule", "/schedule/shifts", {"name": "1", "hours": "8", "break_rule": "1"}),
    ("/schedule", "/schedule/plans", {"name": "9", "weeks": "9", "anchor": "2026-09-21"}),
    ("/schedule", "/schedule/plans", {"name": "1", "weeks": "1", "anchor": "2026-09-21", "day_0": "1"}),
    ("/schedule", "/schedule/plans", {"name": "9", "weeks": "1", "anchor": "2026-09-21", "day_0": "77"}),
    ("/schedule", "/schedule/plans", {"name": "9", "weeks": "1", "anchor": "2026-09-21", "day_0": "1", "second_0": "4"}),
    ("/schedule", "/schedule/plans", {"name": "9", "weeks": "1", "anchor": "2026-09-21", "day_0": "1", "second_0": "3"}),
    ("/schedule", "/schedule/plans", {"name": "9", "weeks": "1", "anchor": "2026-09-21", "day_0": "1", "pairing": "1"}),
    ("/schedule", "/schedule/assignments", {"plan": "1", "since": "2026-09-21"}),
    ("/schedule", "/schedule/assignments", {"person": "999", "plan": "1", "since": "2026-09-21"}),
    ("/schedule", "/schedule/assignments", {"person": "11", "plan": "77", "since": "2026-09-21"}),
    ("/schedule", "/schedule/assignments", {"person": "11", "plan": "1", "since": "2026-08-05"}),
    ("/schedule/plans/1", "/schedule/assignments", {"from_plan": "1", "person": "11", "plan": "1", "since": "?"}),
    ("/schedule", "/schedule/assignments", {"everybody_of": "9", "plan": "1", "since": "2026-09-21"}),
    ("/schedule", "/schedule/absences", {"person": "11", "first": "2026-09-12", "last": "2026-09-11", "kind": "sick"}),
    ("/schedule", "/schedule/absences", {"person": "11", "first": "2026-09-08", "last": "2026-09-11", "kind": "unpaid"}),
    ("/schedule", "/schedule/absences", {"person": "11", "first": "2026-10-08", "last": "2026-10-11", "kind": "unpaid"}),
    ("/schedule", "/schedule/absences", {"person": "11", "first": "2026-08-08", "last": "2026-08-08", "kind": "unpaid"}),
    ("/schedule", "/schedule/absences", {"person": "11", "first": "2026-09-12", "last": "2026-09-12", "kind": "1"}),
    ("/schedule", "/schedule/absences", {"person": "11", "first": "2026-09-12", "last": "2026-09-12", "kind": "sick", "half": "3"}),
    ("/schedule", "/schedule/absences", {"person": "11", "first": "2026-09-12", "last": "2026-09-13", "kind": "sick", "half": "first"}),
    ("/schedule", "/schedule/absences", {"person": "11", "first": "2026-09-12", "last": "2026-09-12", "kind": "sick", "since": "09:00"}),
    ("/schedule", "/schedule/absences/5/shorten", {"last": "2026-12-31"}),
    ("/schedule", "/schedule/absences/99/cancel", {}),
    ("/schedule", "/schedule/employments", {"person": "11", "first": "2026-09-12", "last": "2026-09-11"}),
    ("/schedule", "/schedule/holidays", {"day": "?", "name": "1"}),
    ("/schedule", "/schedule/holidays", {"day": "2026-08-05", "name": "1"}),
    ("/schedule", "/schedule/holidays", {"day": "2026-12-05", "name": ""}),
    ("/schedule", "/schedule/holidays/remove", {"day": "2026-12-05", "calendar": "5"}),
    ("/schedule", "/schedule/calendars", {"calendar": "99", "person": "11"}),
    ("/schedule", "/schedule/site", {"zone": "1", "day_start": "00:00"}),
    ("/schedule", "/schedule/site", {"zone": "UTC", "day_start": "00:00", "rest_hours": "99"}),
    ("/schedule", "/schedule/site", {"zone": "UTC", "day_start": "00:00", "rounding": "1"}),
    ("/schedule", "/schedule/site", {"zone": "UTC", "day_start": "00:00", "rounding_minutes": "7"}),
    ("/schedule", "/schedule/site", {"zone": "UTC", "day_start": "00:00", "break_after_0": "6:00"}),
    ("/schedule", "/schedule/site", {"zone": "UTC", "day_start": "00:00", "break_after_0": "6:00", "break_length_0": "999"}),
    ("/schedule", "/schedule/accounting", {"period_day": "29"}),
    ("/schedule", "/schedule/accounting", {"period_day": "?"}),
    ("/schedule", "/schedule/accounting", {"overtime_day": "8:77"}),
    ("/schedule", "/schedule/accounting", {"night_from": "99"}),
    ("/schedule", "/schedule/accounting", {"premiums": "1"}),
    ("/schedule", "/schedule/accounting", {"law": "1"}),
    ("/periods", "/periods", {"month": "2026-09"}),
    ("/periods", "/periods", {"first": "2026-08-01", "last": "2026-08-05"}),
    ("/periods", "/periods", {"first": "2026-09-05", "last": "2026-09-01"}),
    ("/corrections/new?person=11&day=2026-09-16", "/corrections", {"person": "1", "day": "2026-09-16", "target": "1", "reason": "1"}),
)


def test_no_refusal_has_a_word_of_its_own(staffed: Desk) -> None:
    """Each form comes back with the reason in it, and neither has a word that is not in the catalogue."""
    admin, found, accepted = staffed.browser("admin"), [], []
    tokens = {page: admin.token(page) for page, _, _ in REFUSED}
    for page, path, fields in REFUSED:
        answer = admin.http.post(path, data={"form_token": tokens[page], **fields})
        if answer.status_code != 400 or 'class="problem"' not in answer.text:
            accepted.append((path, fields))
        if words := beside(html.unescape(answer.text), DATA):
            found.append((path, words))
    assert (found, accepted) == ([], [])


DONE = (
    ("/schedule", "/schedule/shifts", {"name": "20", "start": "20:00", "end": "22:00"}),
    ("/schedule", "/schedule/plans", {"name": "21", "weeks": "1", "anchor": "2026-09-21", "day_0": "1"}),
    ("/schedule", "/schedule/assignments", {"person": "33", "plan": "3", "since": "2026-09-21"}),
    ("/schedule", "/schedule/assignments", {"everybody_of": "*", "plan": "", "since": "2026-12-21"}),
    ("/schedule", "/schedule/absences", {"person": "33", "first": "2026-10-12", "last": "2026-10-16", "kind": "sick"}),
    ("/schedule", "/schedule/absences/6/shorten", {"last": "2026-10-14"}),
    ("/schedule", "/schedule/absences/6/cancel", {}),
    ("/schedule", "/schedule/employments", {"person": "33", "first": "2026-01-01"}),
    ("/schedule", "/schedule/holidays", {"day": "2026-12-25", "name": "25"}),
    ("/schedule", "/schedule/holidays/remove", {"day": "2026-12-25"}),
    ("/schedule", "/schedule/calendars", {"calendar": "5", "person": "33"}),
    ("/schedule", "/schedule/calendars", {"calendar": "", "person": "33"}),
    ("/schedule", "/schedule/site", {"zone": "UTC", "day_start": "00:00"}),
    ("/schedule", "/schedule/accounting", {"overtime_day": "7,5", "premiums": ["", "night", "sunday"]}),
    ("/timesheets/overtime", "/timesheets/overtime", {"day": ["1 2026-09-15", "2 2026-09-15"]}),
    ("/timesheets/accounts", "/timesheets/accounts/leave", {"year": "2026", "amount": "30"}),
    ("/timesheets/1", "/timesheets/1/bookings", {"kind": "time payout", "day": "2026-09-21", "amount": "-2,5", "reason": "1"}),
    ("/corrections/2", "/corrections/2/decision", {"decision": "refuse"}),
    ("/periods", "/periods", {"first": "2026-09-01", "last": "2026-09-12"}),
)


def test_nothing_that_is_done_has_a_word_of_its_own(staffed: Desk) -> None:
    admin, found = staffed.browser("admin"), []
    tokens = {page: admin.token(page) for page, _, _ in DONE}
    for page, path, fields in DONE:
        answer = admin.http.post(path, data={"form_token": tokens[page], **fields})
        shown = admin.get(answer.headers["location"].partition("#")[0]).text if answer.status_code == 303 else ""
        if 'class="said"' not in shown or beside(html.unescape(shown), DATA):
            found.append((path, answer.status_code, beside(html.unescape(shown or answer.text), DATA)))
    assert found == []
    with staffed.store() as store:
        rules = Planning(store).site().accounting
        assert (rules.overtime_day, rules.premiums) == (450, ("night", "sunday"))
        assert accounts.bookings(store._db, 1, "time", date(2026, 9, 21), date(2026, 9, 21))[0].amount == -150


def test_a_german_clerk_reads_in_the_form_what_is_wrong(desk: Desk) -> None:
    hr, german = desk.browser("hr"), {"accept-language": "de"}
    wrong = {"name": "Früh", "start": "06:00", "end": "14:00", "grace_minutes": "300"}
    page = html.unescape(hr.post("/schedule/shifts", "/schedule", wrong, headers=german).text)
    assert "Schicht „Früh“: die Karenz kann 0 bis 120 Minuten sein, nicht 300." in page and 'lang="en"' not in page.partition("<main")[2]
    assert 'value="Früh"' in page and 'name="grace_minutes" inputmode="numeric" value="300"' in page
    absence = {"person": "Ada Kern", "first": "2026-09-12", "last": "2026-09-11", "kind": "sick"}
    with desk.store() as store:
        store.add_person("Ada Kern", "E1")
    page = html.unescape(hr.post("/schedule/absences", "/schedule", absence, headers=german).text)
    assert "Abwesenheit: Der letzte Tag 11.09.2026 liegt vor dem ersten 12.09.2026" in page
