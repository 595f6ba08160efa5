"""The terminal under load: review pages are requested while people are recorded, for `bench --desk`.

The terminal is this process, as `run` puts it together; the browsers are another one. The camera is a clip at 25 frames a
second with an empty wall after each round, so every round must become one punch.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device.commands.benchmark import sample_data
from device.commands.benchmark.browsers import EXPORT, KIOSK, PageLoad, Timing, browse, by_page, export, timing
from device.config import Settings
from device.storage import key_folder, templates
from device.storage.records import TemplateDraft
from device.storage.store import Store
from device.terminal.capture_session import Booth
from device.terminal.enrolment import capture, enrol
from device.terminal.pipeline import Pipeline
from device.vision.camera.frame import Reader
from device.vision.camera.live import LiveSource
from device.vision.camera.source import Frame, open_source
from device.vision.recogniser import Recogniser
from device.web.access import accounts, passwords, sessions
from device.web.context import Terminal
from device.web.live import Live
from device.web.server import Address, WebServer

RATE = 25.0  # frames per second of the camera
WALL_SECONDS = 5.0  # nobody in view after each round
REFRACTORY_SECONDS = 3.0
ALONE_SECONDS = 20.0  # without browsers, for comparison


@dataclass(frozen=True)
class LoadReport:
    """Result of one run."""

    people: int
    punches: int  # in the database before
    clients: int
    seconds: float
    pages: dict[str, Timing]
    all_pages: Timing
    failures: int  # answers other than 200 and 204
    frames_per_second_alone: float
    frames_per_second: float  # with the browsers and an open kiosk page
    frames_per_second_exporting: float  # while the log of a year and a month of everybody are loaded, again and again
    exports: int  # of the year, in that time
    rounds: int
    dropped: int  # rounds without their punch
    chain: str  # "" if it is whole

    @property
    def kept(self) -> float:
        """The share of its frame rate that the camera loop keeps."""
        return self.frames_per_second / self.frames_per_second_alone

    @property
    def kept_exporting(self) -> float:
        """The same while a year is exported."""
        return self.frames_per_second_exporting / self.frames_per_second_alone

    def lines(self) -> list[str]:
        """The report as text."""
        head = f"{self.people:,} people, {self.punches:,} punches; {self.clients} browsers for {self.seconds:g} s"
        pages = [f"  {path:<40} {page.count:>5} times, p50 {page.p50_ms:6.1f} ms, p95 {page.p95_ms:6.1f} ms" for path, page in self.pages.items()]
        every = self.all_pages
        return [
            head, *pages, f"all pages: {every.count} answers, {self.failures} failed, p50 {every.p50_ms:.1f} ms, p95 {every.p95_ms:.1f} ms",
            f"camera: {self.frames_per_second:.1f} frames/s, alone {self.frames_per_second_alone:.1f}; kept {self.kept:.0%}",
            f"camera during {self.exports} exports of the year: {self.frames_per_second_exporting:.1f} frames/s; kept {self.kept_exporting:.0%}",
            f"punches: {self.rounds} visits, {self.dropped} without their punch; hash chain {self.chain or 'whole'}",
        ]  # fmt: skip


class Played(Reader):
    """A camera that shows a clip forwards and backwards, then the empty wall, repeatedly."""

    def __init__(self, clip: Path, settings: Settings) -> None:
        with open_source(str(clip), settings.camera) as source:
            frames = [frame.image for frame in source]
        noise = np.random.default_rng(3)
        wall = [np.clip(noise.normal(140, 3, frames[0].shape), 0, 255).astype(np.uint8) for _ in range(8)]
        self._visit = len(frames) * 2
        self._pictures = [*frames, *frames[::-1], *(wall[k % 8] for k in range(round(WALL_SECONDS * RATE)))]
        self._started = time.monotonic()
        self._count = 0
        self.rounds: list[tuple[float, float]] = []  # from, to: s since the epoch; without the visit in progress
        self._came = time.time()

    def read(self) -> NDArray[np.uint8] | None:
        time.sleep(max(0.0, self._started + self._count / RATE - time.monotonic()))
        index = self._count % len(self._pictures)
        if index == 0:
            self._came = time.time()
        elif index == self._visit + round(RATE):  # a second for the last decision
            self.rounds.append((self._came, time.time()))
        self._count += 1
        return self._pictures[index]

    def describe(self) -> str:
        return "played clip"

    def close(self) -> None:
        pass  # nothing is held


def measure(settings: Settings, clip: Path, people: int, punches: int, clients: int, seconds: float, say: Callable[[str], None]) -> LoadReport:
    """Fill a database, run the terminal on it alone, then with browsers; the database is deleted afterwards.

    Args:
        clip: somebody in front of the camera; enrolled beforehand.
        say: told what goes on.
    """
    settings = replace(settings, attendance=replace(settings.attendance, refractory_seconds=REFRACTORY_SECONDS))
    recogniser = Recogniser(settings)
    with tempfile.TemporaryDirectory() as folder, key_folder.apart(Path(folder) / "keys"):
        database = Path(folder) / "load.db"
        say(f"inventing {people:,} people and {punches:,} punches ...")
        sample_data.fill(database, people, punches, time.time())
        with Store.open(database, settings.store, actor="terminal") as store:
            _give_templates(store, recogniser, people)
            person = _enrol(store, recogniser, clip)
            tokens = _log_in(store, clients)
            return _run(settings, recogniser, store, clip, person, tokens, seconds, (people, punches), say)


def _run(
    settings: Settings, recogniser: Recogniser, store: Store, clip: Path, person: int, tokens: Sequence[str], seconds: float, filled: tuple[int, int],
    say: Callable[[str], None],
) -> LoadReport:  # fmt: skip
    camera = Played(clip, settings)
    pipeline = Pipeline(settings, recogniser, store, "bench")
    live = Live(pipeline.questions, store.newest_punch(), booth=Booth(time.monotonic, recogniser))
    terminal = Terminal(settings, store.path, "bench", live)
    with LiveSource("clip", lambda: camera, 5.0) as source, WebServer(terminal, [Address("127.0.0.1", 0)]) as server, _other_process() as pool:
        say(f"the terminal alone, {ALONE_SECONDS:g} s ...")
        frames = iter(source)
        alone = _loop(frames, pipeline, live, lambda since: since > ALONE_SECONDS)
        say(f"with {len(tokens)} browsers and the kiosk page, {seconds:g} s ...")
        browsing: Future[list[PageLoad]] = pool.submit(browse, server.urls[0], tokens, seconds)
        together = _loop(frames, pipeline, live, lambda since: browsing.done())
        say(f"with exports of the year and the month of everybody, {seconds:g} s ...")
        loading: Future[list[PageLoad]] = pool.submit(export, server.urls[0], tokens[0], seconds)
        exporting = _loop(frames, pipeline, live, lambda since: loading.done())
    exported = loading.result()
    answers = [answer for answer in browsing.result() if answer.path not in KIOSK]
    recorded = [punch.occurred_at for punch in store.punches(camera.rounds[0][0] if camera.rounds else 0.0, person_id=person)]
    dropped = sum(not any(came <= at < went for at in recorded) for came, went in camera.rounds)
    report = store.verify_chain()
    failures = sum(answer.status not in (200, 204) for answer in (*answers, *exported))
    exports = sum(answer.path == EXPORT for answer in exported)
    chain = "" if report.ok else f"row {report.first_bad}: {report.reason}"
    every = timing([answer.ms for answer in answers])
    return LoadReport(*filled, len(tokens), seconds, by_page(answers), every, failures, alone, together, exporting, exports, len(camera.rounds), dropped, chain)


def _loop(frames: Iterator[Frame], pipeline: Pipeline, live: Live, ended: Callable[[float], bool]) -> float:
    """The camera loop of `run`; returns frames per second."""
    count, began = 0, time.monotonic()
    for frame in frames:
        live.show(live.booth.process(frame) or pipeline.process(frame))
        count += 1
        if ended(time.monotonic() - began):
            break
    return count / (time.monotonic() - began)


def _other_process() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))


def _give_templates(store: Store, recogniser: Recogniser, people: int) -> None:
    """One template of noise per person, so that the gallery is as large as the company."""
    size, model_id = recogniser.embedder.card.embedding_size, recogniser.embedder.card.model_id
    noise = np.random.default_rng(1).normal(size=(people, size)).astype(np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    with store.transaction() as db:
        for person, embedding in enumerate(noise, 1):
            templates.insert(db, store.keys.ensure(person), person, TemplateDraft(model_id, embedding, 1.0))


def _enrol(store: Store, recogniser: Recogniser, clip: Path) -> int:
    with open_source(str(clip), recogniser.settings.camera) as source:
        samples = capture(recogniser, source)
    return enrol(store, recogniser, "In the clip", None, samples, ["clip"] * len(samples)).id


def _log_in(store: Store, clients: int) -> list[str]:
    user = accounts.add(store, "bench", "hr", passwords.invented())
    with store.transaction() as db:
        db.execute("UPDATE users SET must_change = 0 WHERE id = ?", [user.id])
    return [sessions.start(store, user, "desk", time.time()) for _ in range(clients)]
