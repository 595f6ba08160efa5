"""Long exports: made in a process apart, the same as short ones, a few at a time, and ended with the client."""

from __future__ import annotations

import http.client
import io
import os
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import pytest

from device.attendance.log import LogFilter
from device.attendance.log_rows import count, rows_of
from device.attendance.planning import Planning
from device.attendance.timesheet.worksite import Site
from device.storage.groups import Selection
from device.storage.store import PunchDraft
from device.system.clock import ClockState, iso_utc
from device.web import streamed
from device.web.access import accounts, sessions
from device.web.desk import exports
from device.web.server import Address, WebServer
from tests.device.fakes import pieces
from tests.device.web.conftest import START, Desk

ADDRESS = "/exports/log?from=2026-09-01&to=2026-09-30"
PAGE = 7  # rows


@dataclass
class Download:
    connection: http.client.HTTPConnection
    answer: http.client.HTTPResponse

    def close(self) -> None:
        """As a browser does whose user presses Cancel."""
        self.answer.close()
        self.connection.close()


@pytest.fixture
def filled(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Forty punches of three people at two devices, some at the same moment; exports are long from the first row on."""
    monkeypatch.setattr("device.attendance.log_rows.ROWS", PAGE)
    with desk.store() as store:
        Planning(store).set_site(Site("Asia/Kathmandu"), "test")
        people = [store.add_person(name, code).id for name, code in (("Ann", "E1"), ("=1+1", None), ("Çelik", "E3"))]
        for number in range(40):
            at, device = START - 86_400 + 60.0 * (number // 3), ("door", "gate")[number % 2]
            store.record_punch(PunchDraft(people[number % 3], at, "auto", device, "pin", ClockState(number % 5 > 0, "boot", number)))
    return replace(desk, terminal=replace(desk.terminal, exports=streamed.Places(1)))


@pytest.fixture
def long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "LONG_ROWS", 0)


@pytest.mark.parametrize(
    "chosen", [{}, {"person_id": 2}, {"device": "gate"}, {"method": "face"}, {"person_id": 1, "device": "door"}, {"group": Selection(department="none")}]
)
def test_rows_are_the_punches_by_time_page_by_page(filled: Desk, chosen: dict[str, object]) -> None:
    """Against a plain reading of all punches: many share a time with the last one of a page."""
    site, asked = Site("Asia/Kathmandu"), LogFilter(date(2026, 9, 1), date(2026, 9, 30), **chosen)  # type: ignore[arg-type]
    with filled.store() as store:
        found = [(row["occurred_at"], row["punch_id"]) for row in rows_of(store, asked, site)]
        wanted = [
            (iso_utc(punch.occurred_at), punch.id) for punch in store.punches()
            if asked.person_id in (None, punch.person_id) and asked.device in ("", punch.device) and asked.method in ("", punch.method)
        ]  # fmt: skip
    assert found == ([] if asked.group.department else wanted)


def test_rows_are_those_that_the_login_sees(filled: Desk) -> None:
    asked = LogFilter(date(2026, 9, 1), date(2026, 9, 30))
    with filled.store() as store:
        with store.transaction() as db:
            db.execute("UPDATE people SET department = 'Dock' WHERE id = 2")
        with store.seeing(["Dock"]):
            rows = list(rows_of(store, asked, Site("Asia/Kathmandu")))
            assert {row["person_id"] for row in rows} == {2} and len(rows) == count(store, asked, Site("Asia/Kathmandu")) > PAGE


@pytest.mark.parametrize("form", ["csv", "json", "xlsx"])
def test_a_long_log_is_made_apart_and_the_same(filled: Desk, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hr = filled.browser("hr")
    here = hr.get(f"{ADDRESS}&format={form}")
    monkeypatch.setattr(exports, "LONG_ROWS", 0)
    apart = hr.get(f"{ADDRESS}&format={form}")
    assert apart.status_code == 200 and content(apart) == content(here)
    assert set(here.headers.items()) - set(apart.headers.items()) == {("content-length", str(len(here.content)))}
    with filled.store() as store, store.reading() as db:
        noted = [row[0] for row in db.execute("SELECT details FROM audit WHERE action = 'log exported'")]
    assert len(noted) == 2 and noted[0] == noted[1] and '"rows": 40' in noted[0]


def test_an_export_that_cannot_begin_says_so(filled: Desk, long: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(exports.export_files, "log_apart", pieces.failed)
    for _ in range(2):  # the first gives its place back
        answer = filled.browser("hr").get(ADDRESS)
        assert answer.status_code == 500 and "the terminal's log says why" in answer.text
    assert "an export failed" in caplog.text


@pytest.fixture
def download(filled: Desk, long: None) -> Iterator[Callable[[], Download]]:
    """Begins a download from the real server, as HR."""
    with filled.store() as store:
        found = accounts.by_login(store, "hr")
        assert found is not None
        token = sessions.start(store, found[0], "desk", filled.clock.now)
    with WebServer(filled.terminal, [Address("127.0.0.1", 0)]) as server:

        def begun() -> Download:
            connection = http.client.HTTPConnection("127.0.0.1", server.addresses[0].port, timeout=20)
            connection.request("GET", ADDRESS, headers={"cookie": f"clockface_desk={token}"})
            return Download(connection, connection.getresponse())

        yield begun


def test_a_client_that_goes_away_ends_the_process(download: Callable[[], Download], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports.export_files, "log_apart", pieces.endless)
    with closing(download()) as begun:
        process = int(begun.answer.read(20).split()[0])
        assert begun.answer.read(1_000_000)
        os.kill(process, 0)
    assert ended(process), "it goes on though nobody reads"


def test_more_than_may_be_are_refused_until_one_has_ended(download: Callable[[], Download], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports.export_files, "log_apart", pieces.endless)
    first = download()
    with closing(download()) as refused:
        assert refused.answer.status == 400 and b"1 long export is being made; try again" in refused.answer.read()
    process = int(first.answer.read(20).split()[0])
    first.close()
    assert ended(process)
    deadline = time.monotonic() + 5
    while (again := download()).answer.status == 400 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert again.answer.status == 200
    again.close()


def test_an_export_that_breaks_off_is_no_whole_file(download: Callable[[], Download], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports.export_files, "log_apart", pieces.broken)
    with closing(download()) as begun, pytest.raises(http.client.IncompleteRead):
        begun.answer.read()


def content(answer: Any) -> Any:
    """What is in it; the parts of a workbook, which is a ZIP with times."""
    if not answer.content.startswith(b"PK"):
        return answer.content
    with zipfile.ZipFile(io.BytesIO(answer.content)) as book:
        return {name: book.read(name) for name in book.namelist()}


def ended(process: int, seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False
