"""A login of some departments: no page, export, plot or form shows or changes anything of other people, whoever adds a page and when."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from sqlite_utils import Database

from device.attendance.planning import Planning
from device.attendance.review import Desk as Review
from device.attendance.timesheet.shifts import Absence, Shift
from device.attendance.timesheet.worksite import Site
from device.storage import visibility
from device.storage.corrections import CorrectionDraft
from device.storage.groups import Belonging, set_place
from device.storage.records import LastPunch
from device.storage.store import PunchDraft, Store
from device.system.clock import ClockState
from device.web.access import accounts
from device.web.app import pages
from device.web.navigation import ENTRIES
from device.web.pages import Page
from tests.device.web.conftest import START, Browser, Desk
from tests.refused import refused

SHOWN, HIDDEN = "Ann of the line", "Zedekiah"
CODES = {SHOWN: "SHOWN4", HIDDEN: "HIDDEN7"}
HR = 3  # the user
DAY = 86400.0
QUERIES = (
    "", "?from=2026-09-01&to=2026-09-30", "?month=2026-09", "?day=2026-09-20", "?day=2026-09-20&days=90", "?person=HIDDEN7&from=2026-09-01&to=2026-09-30",
    "?person=id:2", "?department=Office", "?state=all", "?q=zed", "?name=zed", "?show=all", "?text=zed", "?format=json&from=2026-09-01&to=2026-09-30",
    "?format=xlsx&from=2026-09-01&to=2026-09-30",
    "?format=json&month=2026-09", "?format=xlsx&month=2026-09&department=Office", "?person=id:2&target=punch:2&day=2026-09-20",
)  # fmt: skip


@pytest.fixture
def office(desk: Desk) -> Iterator[Desk]:
    """Ann of Line 1 and Zedekiah of the office, with the same of everything; the HR login leads Line 1."""
    with desk.store() as store:
        planning = Planning(store)
        planning.set_site(Site("Europe/Berlin"), "test")
        plan = planning.add_plan("week", [planning.add_shift(Shift("flexible", minutes=480), "test")], date(2026, 8, 31), "test")
        for name, department in ((SHOWN, "Line 1"), (HIDDEN, "Office")):
            person = store.add_person(name, CODES[name])
            set_place(store, person.id, Belonging(None, department))
            planning.assign(person.id, plan, date(2026, 9, 1), "test")
            planning.add_absence(person.id, Absence(date(2026, 9, 21), date(2026, 9, 22), "sick"), "test")
            for hours, direction in ((30, "in"), (22, "out")):
                clock = ClockState(True, "boot", 1)
                store.record_punch(PunchDraft(person.id, START - hours * 3600, direction, "door", "manual", clock))  # type: ignore[arg-type]
            draft = CorrectionDraft(person.id, None, None, LastPunch(START - 25 * 3600, "break_start"), f"asked by {name}")
            Review(store, START).request(draft, f"person:{person.id}")
        accounts.set_owner(store, HR, None)
        accounts.set_departments(store, HR, ["line 1"])
    yield desk
    desk.terminal.stores.close()


def texts(answer: Any) -> str:
    """All that an answer shows, worksheets unpacked."""
    if answer.content.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(answer.content)) as book:
            return "".join(book.read(name).decode("utf-8", "replace") for name in book.namelist())
    return str(answer.text)


def filled(page: Page, number: int) -> str:
    return re.sub(r"\{[^}]*:int\}", str(number), re.sub(r"\{[^}:]*\}", "none", page.path))


def of_desk(method: str) -> list[Page]:
    return [page for page in pages() if page.method == method and page.place == "desk" and page.role is not None]


def test_no_page_shows_anything_of_other_people(office: Desk) -> None:
    office.terminal.live.close()  # streams end at once
    lead, seen, shown = office.browser("hr"), [], ""
    for page in of_desk("GET"):
        for number in (1, 2) if "{" in page.path else (1,):
            for query in QUERIES if page.teams else QUERIES[:1]:
                text = texts(lead.get(filled(page, number) + query))
                shown += text
                words = [HIDDEN] if CODES[HIDDEN] in query else [HIDDEN, CODES[HIDDEN]]  # pages repeat what they were asked for
                if any(word.casefold() in text.casefold() for word in words):
                    seen.append(f"{page.path} {number} {query}")
    assert not seen
    assert SHOWN in shown and CODES[SHOWN] in shown, "the test would notice"


def rows_of(store: Store, person: int) -> list[Any]:
    """Everything that is stored about a person."""
    with store.reading() as db:
        return [db.execute(f"SELECT * FROM {table} WHERE {column} = ? ORDER BY 1", [person]).fetchall() for table, column in visibility.PEOPLE.items()]


FORM = {
    "person": "id:2", "name": "taken over", "code": "X1", "department": "Line 1", "day": "2026-09-20", "target": "punch:3", "action": "replace",
    "punch_day": "2026-09-20", "time": "09:00", "direction": "in", "reason": "because", "decision": "approve", "note": "", "confirm": HIDDEN, "active": "0",
    "first": "2026-09-25", "last": "2026-09-26", "kind": "vacation", "plan": "1", "since": "2026-09-25", "other": "id:2", "into": "id:2", "elsewhere": "1",
    "month": "2026-08", "anyway": "yes",
}  # fmt: skip


def test_no_form_changes_anything_of_other_people(office: Desk) -> None:
    lead = office.browser("hr")
    token = lead.token("/password")
    with office.store() as store:
        before = rows_of(store, 2)
        punch = store.punches(person_id=2)[0].id
    for page in of_desk("POST"):
        if page.path in ("/logout", "/password/sessions"):
            continue
        for person in ("id:2", "2"):
            lead.http.post(filled(page, 2), data={"form_token": token, **FORM, "person": person, "target": f"punch:{punch}"})
    with office.store() as store:
        assert rows_of(store, 2) == before
        assert store.verify_chain("punches").ok and store.verify_chain("corrections").ok and store.verify_chain("audit").ok


def test_the_lead_reads_and_decides_for_the_own_people(office: Desk) -> None:
    lead = office.browser("hr")
    log = lead.get("/log?from=2026-09-01&to=2026-09-30").text
    assert SHOWN in lead.get("/today").text and SHOWN in log and "whole" in log and "does not follow" not in log
    assert lead.post("/corrections/1/decision", "/corrections/1", {"decision": "approve"}).status_code == 303
    form = {"person": "1", "day": "2026-09-20", "target": "new", "punch_day": "2026-09-20", "time": "09:30", "direction": "break_end", "reason": "forgotten"}
    assert lead.post("/corrections", "/corrections/new?person=id:1&day=2026-09-20", form).status_code == 303
    with office.store() as store:
        assert Review(store).one(1).state == "approved" and Review(store).one(3).draft.person_id == 1
        assert store.verify_chain("corrections").ok


def test_own_requests_need_somebody_else_even_where_the_site_asks_no_four_eyes(office: Desk) -> None:
    lead = office.browser("hr")
    with office.store() as store:
        Planning(store).set_site(Site("Europe/Berlin", four_eyes=False), "test")
        accounts.set_owner(store, HR, 1)
    answer = lead.post("/corrections/1/decision", "/corrections/1", {"decision": "approve"})
    assert answer.status_code == 400 and "asked for themselves" in answer.text


def test_what_others_see_is_not_narrowed_afterwards(office: Desk) -> None:
    """Stores and the picture of Today are shared between logins."""
    lead, admin = office.browser("hr"), office.browser("admin")
    for page in ("/today", "/people", "/plots?day=2026-09-20", "/log?from=2026-09-01&to=2026-09-30", "/corrections"):
        assert HIDDEN not in lead.get(page).text
        whole = admin.get(page).text
        assert HIDDEN in whole or page.startswith("/plots")
        assert HIDDEN not in lead.get(page).text


def test_plots_count_the_own_people(office: Desk) -> None:
    counts = []
    for role in ("hr", "admin"):
        numbers = office.browser(role).get("/plots?day=2026-09-20").text
        counts.append(max(int(found) for found in re.findall(r'<td class="num">(\d+)</td>|<td>(\d+)</td>', numbers) for found in found if found))
    assert counts[0] * 2 == counts[1]


def test_pages_that_are_not_declared_are_refused(office: Desk) -> None:
    lead = office.browser("hr")
    for page in (page for page in of_desk("GET") if not page.teams and page.role in ("viewer", "operator", "hr")):
        answer = lead.get(filled(page, 1))
        assert answer.status_code == 403 and "own departments" in answer.text, page.path
    declared = {page.path: page.teams for page in pages() if page.method == "GET"}
    assert {entry.path: entry.teams for entry in ENTRIES} == {entry.path: declared[entry.path] for entry in ENTRIES}
    assert 'href="/schedule"' not in lead.get("/today").text and 'href="/corrections"' in lead.get("/today").text


def test_every_table_about_people_is_narrowed(office: Desk) -> None:
    """A table that a later migration adds stands in one of the two, or this fails."""
    with office.store() as store, store.reading() as db:
        tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()]
        named = {table for table in tables if "people" in parents(db, table)}
        columns = {table for table in tables if "person_id" in [row[1] for row in db.execute(f"PRAGMA table_info({table})").fetchall()]}
    assert named | columns | {"people"} == visibility.PEOPLE.keys() | visibility.UNSEEN


def parents(db: Database, table: str) -> set[str]:
    return {row[2] for row in db.execute(f"PRAGMA foreign_key_list({table})").fetchall()}


def test_nothing_is_written_through_a_narrowed_table(office: Desk) -> None:
    with office.store() as store, store.seeing(["Office"]):
        with refused("store"):
            store.rename(2, "Zed")
        with refused("store.nobody"):
            store.person(1)
        assert [person.name for person in store.people()] == [HIDDEN]
    with office.store() as store:
        assert len(store.people()) == 2


def set_by_admin(office: Desk, departments: list[str], user: int = HR) -> Any:
    return office.browser("admin").post(f"/users/{user}/departments", "/users", {"department": departments})


def test_an_administrator_says_what_a_login_sees(office: Desk) -> None:
    assert set_by_admin(office, ["Line 1", "Office"]).status_code == 303
    lead: Browser = office.browser("hr")
    assert HIDDEN in lead.get("/today").text and lead.get("/schedule").status_code == 403
    assert set_by_admin(office, []).status_code == 303 and office.browser("hr").get("/schedule").status_code == 200
    assert set_by_admin(office, ["Line 1"], 4).status_code == 400, "administrators see everybody"
    with office.store() as store, refused("account.admin_departments"):
        accounts.set_departments(store, HR, ["Line 1"])
        accounts.change(store, HR, role="admin")
