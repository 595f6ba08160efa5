"""A call that asks for JSON gets the code of what is wrong beside the words."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from device.web.consent_text import wording
from tests.device.web.conftest import Browser, Desk

JSON = {"accept": "application/json"}


def enrolled(browser: Browser, **fields: str) -> Any:
    return browser.post("/people/bulk", "/people/bulk", fields, headers=JSON).json()


def test_a_person_that_is_refused_in_a_bulk_enrolment_has_a_code(desk: Desk) -> None:
    here = SimpleNamespace(embedder=None, capacity=10)  # no photo, nothing to recognise
    desk.terminal.live.booth.recogniser = SimpleNamespace(for_thread=lambda: here, embedder=None)  # type: ignore[assignment]
    desk.terminal.live.booth.enrolled = lambda: SimpleNamespace(current=lambda store: [])  # type: ignore[assignment, method-assign, return-value]
    answer = enrolled(desk.browser("hr"), name="Ada", consent=wording("en").version)
    assert list(answer) == ["state", "reason", "code"]
    assert (answer["state"], answer["code"]) == ("refused", "enrolment.no_photo") and "no photo" in answer["reason"]


@pytest.mark.parametrize(
    ("role", "path", "code"),
    [
        ("hr", "/people/bulk", "request"),
        ("viewer", "/people/bulk", "request.role"),
        (None, "/people/bulk", "request.login"),
        (None, "/kiosk/pin", "request.old_form"),
    ],
)
def test_a_call_that_is_refused_has_a_code(desk: Desk, role: str | None, path: str, code: str) -> None:
    browser = desk.browser(role) if role else desk.browser(place="kiosk")
    page = "/people/bulk" if role == "hr" else "/login"
    answer = browser.post(path, page, {} if role else {"form_token": "wrong"}, headers=JSON)
    assert answer.status_code >= 400 and list(answer.json()) == ["error", "code"] and answer.json()["code"] == code
