"""The figures of `bench --desk`, and its browsers against a small server that answers at known speed."""

from __future__ import annotations

import threading
import time
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from device.__main__ import main
from device.commands.benchmark.browsers import EXPORT, KIOSK, PAGES, PageLoad, browse, by_page, export, timing


def test_timing_is_the_order_of_the_answers() -> None:
    found = timing([float(ms) for ms in range(1, 102)])
    assert (found.count, found.p50_ms, found.p95_ms) == (101, 51.0, 96.0)
    assert timing([]).count == 0
    pages = by_page([PageLoad("/log", 10.0, 200), PageLoad("/today", 30.0, 200), PageLoad("/log", 20.0, 200)])
    assert {path: (page.count, page.p50_ms) for path, page in pages.items()} == {"/log": (2, 15.0), "/today": (1, 30.0)}


class Slow(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked: list[str] = []

    def do_GET(self) -> None:
        self.asked.append(f"{self.headers.get('cookie')} {self.path}")
        time.sleep(0.05)
        body = b'<div data-serial="7">' if "/today/part?seen=0" in self.path else b""
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass  # not into the test's output


def test_browsers_poll_with_what_they_saw_and_open_pages_between() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        answers = browse(f"http://127.0.0.1:{server.server_port}", ["one", "two"], 6.0)
    finally:
        server.shutdown()
        server.server_close()
    assert all(answer.status == 200 and answer.ms >= 50 for answer in answers)
    assert {answer.path for answer in answers} <= {*PAGES, "/today/part"} and len(answers) >= 4
    for browser in ("one", "two"):
        polls = [line for line in Slow.asked if line.startswith(f"clockface_desk={browser} /today/part")]
        assert polls[0].endswith("seen=0") and all(line.endswith("seen=7") for line in polls[1:])
    assert all(any(line.endswith(path) for line in Slow.asked) for path in KIOSK)


def test_exports_are_read_to_their_end_with_the_month_between() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        answers = export(f"http://127.0.0.1:{server.server_port}", "hr", 0.3)
    finally:
        server.shutdown()
        server.server_close()
    assert [answer.path for answer in answers[:4]] == [EXPORT, "/timesheets"] * 2
    asked = [line for line in Slow.asked if line.startswith("clockface_desk=hr /exports")]
    assert len(asked) == len(answers) // 2 and f"to={date.today()}&format=csv" in asked[0]


@pytest.mark.parametrize("option", ["--people=0", "--punches=-5", "--clients=many", "--seconds=99999999999"])
def test_numbers_that_make_no_sense(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["bench", "--desk", option])
    assert left.value.code == 2 and "expected a whole number from 1" in capsys.readouterr().err
