"""Simulated browsers for load tests: they request the pages of a terminal as people at a desk would (`load.py`)."""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date, timedelta
from urllib.parse import urlsplit

import numpy as np

POLL_SECONDS = 4.0  # as static/today.js does
THINK_SECONDS = 3.0  # between two other pages of one browser
PAGES = (
    "/today", "/log", "/log?from=2000-01-01&to=2000-12-31", "/timesheets", "/timesheets?page=9", "/timesheets/day", "/timesheets/17", "/timesheets/18/print",
    "/corrections?state=all", "/corrections/1", "/plots", "/plots?days=30", "/people", "/schedule",
)  # fmt: skip
EXPORT = "/exports/log"
KIOSK = ("/kiosk/events", "/kiosk/picture")


@dataclass(frozen=True)
class PageLoad:
    path: str
    ms: float
    status: int


@dataclass(frozen=True)
class Timing:
    count: int
    p50_ms: float
    p95_ms: float


def browse(url: str, tokens: Sequence[str], seconds: float) -> list[PageLoad]:
    """A number of browsers at once, each with a session: Today polls, other pages are opened in between, and the kiosk page is open too."""
    answers: list[PageLoad] = []
    end = time.monotonic() + seconds
    visits = [threading.Thread(target=_visit, args=(url, token, end, number, answers)) for number, token in enumerate(tokens)]
    kiosk = [threading.Thread(target=_stream, args=(url, path, end), daemon=True) for path in KIOSK]
    for thread in (*kiosk, *visits):
        thread.start()
    for thread in visits:
        thread.join()
    return answers


def export(url: str, token: str, seconds: float) -> list[PageLoad]:
    """HR loads the log of a year as CSV, then a month of everybody, again and again; a download that has begun is read to its end."""
    answers: list[PageLoad] = []
    today, end = date.today(), time.monotonic() + seconds
    year = f"/exports/log?from={today - timedelta(days=364)}&to={today}&format=csv"
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=120)) as connection:
        while time.monotonic() < end:
            answers += [replace(_ask(connection, year, token)[0], path=EXPORT), _ask(connection, "/timesheets", token)[0]]
    return answers


def _visit(url: str, token: str, end: float, number: int, answers: list[PageLoad]) -> None:
    dice = random.Random(number)
    poll, page, seen = (time.monotonic() + dice.random() * POLL_SECONDS, time.monotonic() + dice.random() * THINK_SECONDS, "0")
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)) as connection:
        while (now := time.monotonic()) < end:
            if now >= poll:
                answer, text = _ask(connection, f"/today/part?seen={seen}", token)
                seen = text.partition('data-serial="')[2].partition('"')[0] or seen
                answers.append(replace(answer, path="/today/part"))
                poll += POLL_SECONDS
            elif now >= page:
                answers.append(_ask(connection, dice.choice(PAGES), token)[0])
                page = time.monotonic() + THINK_SECONDS * (0.5 + dice.random())
            time.sleep(max(0.0, min(poll, page, end) - time.monotonic()))


def _ask(connection: http.client.HTTPConnection, path: str, token: str) -> tuple[PageLoad, str]:
    began = time.monotonic()
    connection.request("GET", path, headers={"cookie": f"clockface_desk={token}"})
    response = connection.getresponse()
    text = "" if path.startswith(EXPORT) else response.read().decode()
    while response.read(1 << 20):
        pass
    return PageLoad(path, (time.monotonic() - began) * 1000, response.status), text


def _stream(url: str, path: str, end: float) -> None:
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        while time.monotonic() < end and response.read1():
            pass


def by_page(answers: Sequence[PageLoad]) -> dict[str, Timing]:
    found: dict[str, list[float]] = defaultdict(list)
    for answer in answers:
        found[answer.path].append(answer.ms)
    return {path: timing(ms) for path, ms in sorted(found.items())}


def timing(ms: Sequence[float]) -> Timing:
    p50, p95 = (float(np.percentile(ms, p)) if ms else 0.0 for p in (50, 95))
    return Timing(len(ms), p50, p95)
