"""Nonsense in every form, query and address: never a failure inside, never a change of what was recorded."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from device.storage.records import PunchDraft
from device.system.clock import ClockState
from device.web.access import pins
from device.web.app import pages
from device.web.pages import Page
from tests.device.web.conftest import Browser, Desk

FIELDS = sorted(  # whatever name a handler or a template knows
    {
        name
        for file in (Path(__file__).resolve().parents[3] / "device/web").rglob("*")
        if file.suffix in (".py", ".html")
        for name in re.findall(r'(?:field\(|query\.get\(|name=|call, )"([a-z_.]{2,30})"', file.read_text())
    }
)
HOSTILE = [
    "", " ", "0", "-1", "1", "2", "9" * 40, "1e400", "nan", "\x00", "\ud800", "%00", "../../etc/passwd", "' OR 1=1 --", "<script>alert(1)</script>", "yes",
    "no", "approve", "2026-11-24", "0000-00-00", "9999-12-31", "24:61", "12:30", "punch:1", "added:99", "new", "in", "null", "[]", '["a/b.jpg"]', "{}", "id:1",
    "E17", "=1+1", "x" * 5000,
]  # fmt: skip
VALUES = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=40))
FORMS = st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=8)
EACH = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
KINDS = ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json", "text/plain", "multipart/form-data"]
COOKIES = [f"clockface_{name}" for name in ("desk", "kiosk", "visitor", "said", "language")]
LEFT_OUT = {"POST /logout", "POST /kiosk/lock", "GET /kiosk/events", "GET /kiosk/picture"}  # end the session, or never end
NAMED = [page for page in pages() if f"{page.method} {page.path}" not in LEFT_OUT]


@pytest.fixture
def full(desk: Desk) -> Iterator[Desk]:
    """A desk with somebody who has a PIN and a punch."""
    with desk.store() as store:
        person = store.add_person("Ada Kern", "E17")
        pins.set_pin(store, person.id, "270819")
        store.record_punch(PunchDraft(person.id, desk.clock.now - 3600, "in", "door", "manual", ClockState(True, "b", 1)))
    desk.terminal.live.close()
    yield desk


def encoded(values: dict[str, str]) -> dict[str, str]:
    """What a browser can send: a lone surrogate cannot be written in UTF-8."""
    return {name: value.encode("utf-8", "replace").decode() for name, value in values.items()}


def addressed(page: Page, number: str) -> str:
    return re.sub(r"\{[^}]*:int\}", number, page.path)


def sent(browser: Browser, page: Page, token: str, values: dict[str, str], number: str) -> Any:
    if page.method == "GET":
        return browser.http.get(addressed(page, number), params=encoded(values))
    return browser.http.post(addressed(page, number), data={**encoded(values), "form_token": token})


def punches(desk: Desk) -> list[tuple[Any, ...]]:
    with desk.store() as store, store.reading() as db:
        return list(db.execute("SELECT * FROM punches WHERE method <> 'pin' ORDER BY id").fetchall())


@pytest.mark.parametrize("page", NAMED, ids=lambda page: f"{page.method} {page.path}")
def test_nonsense_gets_words_and_changes_no_punch(full: Desk, page: Page) -> None:
    browser = full.browser("admin", page.place)
    token = browser.token("/kiosk" if page.place == "kiosk" else "/password")
    before = punches(full)

    @EACH
    @given(FORMS, st.sampled_from(["0", "1", "2", "7", str(2**63), "9" * 30]))
    def try_it(values: dict[str, str], number: str) -> None:
        answer = sent(browser, page, token, values, number)
        assert answer.status_code < 500, (values, answer.text[-300:])
        assert "<script>alert(1)" not in answer.text and "Traceback" not in answer.text

    try_it()
    assert punches(full) == before
    with full.store() as store:
        assert all(store.verify_chain(table).ok for table in ("punches", "corrections", "audit"))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the library leaves the file of a half form to the collector
@EACH
@given(st.binary(max_size=300), st.sampled_from(KINDS))
def test_bodies_that_are_no_forms(full: Desk, body: bytes, kind: str) -> None:
    browser = full.browser("admin")
    for path in ("/people", "/settings", "/people/bulk/plan", "/restore", "/kiosk/pin"):
        for start in (b"", b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'):
            answer = browser.http.post(path, content=start + body, headers={"content-type": kind})
            assert answer.status_code in (400, 403), answer.text[:200]


@EACH
@given(
    st.text(alphabet=string.printable, max_size=60),
    st.sampled_from(COOKIES),
)
def test_cookies_that_nobody_gave(full: Desk, value: str, name: str) -> None:
    header = f"{name}={value}".replace("\r", "").replace("\n", "").encode("ascii", "ignore").strip()
    for path in ("/people", "/login", "/kiosk"):
        answer = full.browser().http.get(path, headers={"cookie": header.decode()})
        assert answer.status_code in (200, 303, 400), answer.text[-200:]
