"""Every route as every role, against this table. A new page stands here, or the test fails."""

from __future__ import annotations

import json
import re

import pytest

from device.web.access.accounts import ROLES
from device.web.app import create_app, pages
from device.web.pages import NOTED_SECONDS
from tests.device.web.conftest import Desk

NOBODY = "-"  # without login
LEAST = {  # method and path -> the least role that may
    "GET /": "viewer",
    "GET /login": NOBODY,
    "POST /login": NOBODY,
    "POST /logout": "viewer",
    "GET /password": "viewer",
    "POST /password": "viewer",
    "POST /password/sessions": "viewer",
    "GET /kiosk": NOBODY,
    "GET /kiosk/language": NOBODY,
    "POST /language": "viewer",
    "POST /kiosk/language": NOBODY,
    "GET /kiosk/events": NOBODY,
    "GET /kiosk/picture": NOBODY,
    "POST /kiosk/answer": NOBODY,
    "POST /kiosk/pin": NOBODY,
    "GET /kiosk/own": NOBODY,
    "POST /kiosk/own": NOBODY,
    "POST /kiosk/own/end": NOBODY,
    "GET /kiosk/own/correct": NOBODY,
    "POST /kiosk/own/correct": NOBODY,
    "GET /kiosk/unlock": NOBODY,
    "POST /kiosk/unlock": NOBODY,
    "POST /kiosk/lock": "operator",
    "GET /kiosk/check": "operator",
    "POST /kiosk/check": "operator",
    "GET /setup/code": "admin",
    "POST /setup/code": "admin",
    "GET /kiosk/set-up": NOBODY,
    "POST /kiosk/set-up/open": "admin",
    "POST /kiosk/set-up/begin": NOBODY,
    "POST /kiosk/set-up/cancel": NOBODY,
    "POST /kiosk/set-up/finish": NOBODY,
    "GET /kiosk/enrol": "operator",
    "POST /kiosk/enrol": "operator",
    "GET /kiosk/enrol/consent": "operator",
    "POST /kiosk/enrol/consent": "operator",
    "GET /kiosk/enrol/capture": "operator",
    "GET /kiosk/enrol/progress": "operator",
    "POST /kiosk/enrol/check": "operator",
    "POST /kiosk/enrol/decide": "operator",
    "GET /kiosk/enrol/test": "operator",
    "GET /kiosk/enrol/trial": "operator",
    "GET /kiosk/enrol/pin": "operator",
    "POST /kiosk/enrol/pin": "operator",
    "GET /today": "viewer",
    "GET /today/part": "viewer",
    "GET /log": "viewer",
    "GET /matters": "viewer",
    "GET /notices": "admin",
    "POST /notices": "admin",
    "POST /notices/{id:int}": "admin",
    "POST /notices/{id:int}/remove": "admin",
    "POST /notices/{id:int}/test": "admin",
    "GET /timesheets": "viewer",
    "GET /timesheets/day": "viewer",
    "GET /timesheets/{id:int}": "viewer",
    "GET /timesheets/{id:int}/print": "viewer",
    "GET /plots": "viewer",
    "GET /corrections": "hr",
    "GET /corrections/new": "hr",
    "POST /corrections": "hr",
    "GET /corrections/{id:int}": "hr",
    "POST /corrections/{id:int}/decision": "hr",
    "GET /periods": "hr",
    "POST /periods": "hr",
    "POST /periods/{id:int}/lift": "admin",
    "GET /schedule": "hr",
    "GET /schedule/plans/{id:int}": "hr",
    "POST /schedule/site": "admin",
    "POST /schedule/accounting": "admin",
    "GET /timesheets/overtime": "hr",
    "GET /timesheets/accounts": "hr",
    "POST /timesheets/accounts/leave": "hr",
    "POST /timesheets/{id:int}/bookings": "hr",
    "GET /timesheets/law": "hr",
    "POST /timesheets/overtime": "hr",
    "POST /schedule/shifts": "hr",
    "POST /schedule/plans": "hr",
    "POST /schedule/assignments": "hr",
    "POST /schedule/absences": "hr",
    "POST /schedule/absences/{id:int}/cancel": "hr",
    "POST /schedule/absences/{id:int}/shorten": "hr",
    "POST /schedule/employments": "hr",
    "POST /schedule/calendars": "hr",
    "POST /schedule/holidays": "hr",
    "POST /schedule/holidays/remove": "hr",
    "GET /exports": "hr",
    "GET /exports/log": "hr",
    "GET /exports/timesheet": "hr",
    "GET /import": "hr",
    "POST /import": "hr",
    "POST /import/preview": "hr",
    "GET /people": "viewer",
    "GET /people/find": "viewer",
    "POST /people": "hr",
    "POST /people/two": "hr",
    "GET /people/bulk": "hr",
    "POST /people/bulk/plan": "hr",
    "POST /people/bulk": "hr",
    "GET /people/{id:int}": "viewer",
    "POST /people/{id:int}": "hr",
    "POST /people/{id:int}/pictures": "hr",
    "POST /people/{id:int}/active": "hr",
    "POST /people/{id:int}/again": "hr",
    "POST /people/{id:int}/merge": "hr",
    "POST /people/{id:int}/merge/undo": "hr",
    "POST /people/{id:int}/pin": "hr",
    "POST /people/{id:int}/pin/remove": "hr",
    "POST /people/{id:int}/withdraw": "hr",
    "POST /people/{id:int}/erase": "hr",
    "GET /check": "operator",
    "POST /check": "operator",
    "GET /check/report": "operator",
    "GET /health": "viewer",
    "POST /health/verify": "hr",
    "POST /health/accept": "admin",
    "GET /setup": "admin",
    "POST /setup/site": "admin",
    "POST /setup/country": "admin",
    "POST /setup/skip": "admin",
    "GET /settings": "admin",
    "POST /settings": "admin",
    "POST /restart": "admin",
    "GET /audit": "admin",
    "GET /backup": "admin",
    "POST /backup": "admin",
    "POST /backup/keys": "admin",
    "POST /backup/keys/import": "admin",
    "POST /restore": "admin",
    "GET /reset": "admin",
    "POST /reset": "admin",
    "POST /reset/stick": "admin",
    "GET /users": "admin",
    "POST /users": "admin",
    "POST /users/{id:int}": "admin",
    "POST /users/{id:int}/password": "admin",
    "POST /users/{id:int}/person": "admin",
    "POST /users/{id:int}/departments": "admin",
}


def test_the_table_names_every_page_and_nothing_else() -> None:
    assert {f"{page.method} {page.path}": page.role or NOBODY for page in pages()} == LEAST


def test_the_application_serves_these_pages_and_static_files_only(desk: Desk) -> None:
    served = {getattr(route, "name", "") for route in create_app(desk.terminal).routes}
    assert served == {*LEAST, "static"}


def filled(path: str) -> str:
    return re.sub(r"\{[^}]*:int\}", "999999", re.sub(r"\{[^}:]*\}", "none", path))


@pytest.mark.parametrize("role", [None, *ROLES])
def test_each_role_reaches_what_the_table_allows(desk: Desk, role: str | None) -> None:
    """Forms are sent without their token: who may send them is refused for that (403 with other words), who may not for the role."""
    desk.terminal.live.close()  # streams end at once
    wrong = []
    for page in pages():
        browser = desk.browser(role, page.place)
        answer = browser.http.request(page.method, filled(page.path), headers={"accept": "application/json"} if page.method == "POST" else {})
        least = LEAST[f"{page.method} {page.path}"]
        allowed = least == NOBODY or (role is not None and ROLES.index(role) >= ROLES.index(least))  # type: ignore[arg-type]
        sent_to_login = answer.status_code == 303 and "next=" in answer.headers["location"]
        refused = sent_to_login or answer.status_code == 401 or (answer.status_code == 403 and "does not allow" in answer.text)
        if refused == allowed:
            wrong.append(f"{page.method} {page.path}: {answer.status_code}")
    assert not wrong


@pytest.mark.parametrize("role", ["admin"])
def test_no_form_is_taken_without_its_token(desk: Desk, role: str) -> None:
    taken = []
    for page in (page for page in pages() if page.method == "POST"):
        browser = desk.browser(role, page.place)
        for token in ("", "0" * 64, desk.browser(role, page.place).token("/login")):
            answer = browser.http.post(filled(page.path), data={"form_token": token})
            if answer.status_code != 403:
                taken.append(f"{page.path}: {answer.status_code}")
    assert not taken


def test_a_page_refused_for_its_role_is_noted_once_in_a_while(desk: Desk) -> None:
    viewer = desk.browser("viewer")

    def noted() -> list[dict[str, object]]:
        with desk.store() as store, store.reading() as db:
            return [json.loads(row[0]) for row in db.execute("SELECT details FROM audit WHERE action = 'page refused' ORDER BY id")]

    for _ in range(3):
        assert viewer.get("/users").status_code == 403
    (first,) = noted()
    assert (first["page"], first["role"], first["address"]) == ("GET /users", "viewer", "127.0.0.1")
    assert viewer.post("/users", "/today", {"login": "x", "role": "admin"}).status_code == 403 and len(noted()) == 2
    desk.clock.now += NOTED_SECONDS
    assert viewer.get("/users").status_code == 403 and len(noted()) == 3
