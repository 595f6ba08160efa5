"""Hours of a terminal in minutes: `python -m tests.device.fakes.soak CLIPS [--hours 8]`.

Real: detector, embedder, tracker, decision, database, pages with a client, courier and a receiver that fails now and then, and each hour a live camera
that is lost, freezes and comes back. Simulated: the clock. People come in random order, one in half a minute, and walk by at the speed of the machine;
between visits a second of empty room, the rest of the wait is skipped. Faults: broken pictures, black and repeated ones, another size, a database that is
locked, a receiver that answers 500 or hangs up. At the end of each hour: memory (the clips, some 500 MB, lie in it), threads,
open files, punches made against punches due.
"""

from __future__ import annotations

import argparse
import base64
import gc
import os
import random
import sqlite3
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device.config import OutboxSettings, Settings
from device.delivery.connectors import build, read_settings
from device.delivery.courier import Courier
from device.storage import key_folder
from device.storage.store import Store
from device.system.memory import give_back_large_blocks
from device.terminal.capture_session import Booth
from device.terminal.enrolment import capture, enrol
from device.terminal.pipeline import Pipeline
from device.terminal.supervisor import Recognition
from device.vision.camera.frame import CameraError, CameraLost, Frame, Reader
from device.vision.camera.live import LiveSource
from device.vision.camera.source import open_source
from device.vision.recogniser import Recogniser
from device.web.context import Terminal
from device.web.live import Live
from device.web.server import Address, WebServer
from tests.device.fakes import site
from tests.device.fakes.webhook import Forgetful, Receiver

ENROLLED = {"A": "again", "B": "milk", "C": "book"}
VISITS = {"brother": "A", "help": "A", "bird": "B", "please": "B", "learn": "C", "night": "", "eat": "", "hungry": ""}  # clip -> who is recorded; "" a stranger
RATE = 25.0  # frames a second
PAUSE_SECONDS = (25.0, 35.0)  # between visits, simulated
AGAIN_SECONDS = 150.0  # before the same person comes again: more than the refractory period
LIVE_SECONDS = 8.0  # each hour a live camera is played with for so long, in real time


@dataclass(frozen=True)
class Hour:
    memory_mb: float
    threads: int
    files: int
    due: int
    made: int
    strangers: int  # punches that nobody expected


class Room:
    """Pictures of visits and of the empty room, with faults."""

    def __init__(self, clips: Path, settings: Settings, dice: random.Random) -> None:
        self._dice = dice
        self._visits = {name: _pictures(clips / f"{name}.mkv", settings) for name in VISITS}
        noise = np.random.default_rng(5)
        shape = next(iter(self._visits.values()))[0].shape
        self.empty = [np.clip(noise.normal(140, 4, shape), 0, 255).astype(np.uint8) for _ in range(8)]

    def visit(self, clip: str) -> Iterator[NDArray[np.uint8]]:
        """One walk past the camera; one picture in fifty is broken."""
        for picture in self._visits[clip]:
            if self._dice.random() < 0.02:
                yield self._dice.choice((np.zeros_like(picture), np.random.default_rng().integers(0, 256, picture.shape, np.uint8)))
            yield picture

    def between(self) -> Iterator[NDArray[np.uint8]]:
        """A second of the empty room; now and then frozen, black, or of another size."""
        fault = self._dice.choice(("", "", "frozen", "black", "small"))
        for number in range(int(RATE)):
            picture = self.empty[0 if fault == "frozen" else number % 8]
            yield np.zeros_like(picture) if fault == "black" else picture[::2, ::2].copy() if fault == "small" else picture


class FaultyCamera(Reader):
    """A reader that gives pictures, then the same one for a while, then ends."""

    def __init__(self, pictures: Sequence[NDArray[np.uint8]]) -> None:
        self._pictures, self._count = pictures, 0

    def read(self) -> NDArray[np.uint8] | None:
        time.sleep(1 / RATE)
        self._count += 1
        return None if self._count > 60 else self._pictures[min(self._count, 30) % len(self._pictures)]

    def describe(self) -> str:
        return "faulty camera"

    def close(self) -> None:
        pass  # nothing is held


def _pictures(clip: Path, settings: Settings) -> list[NDArray[np.uint8]]:
    with open_source(str(clip), settings.camera) as source:
        return [frame.image for frame in source]


def soak(clips: Path, hours: int, seed: int) -> Iterator[Hour]:
    """Play so many hours; gives what each left behind."""
    os.environ["SOAK_KEY"] = "whsec_" + base64.b64encode(os.urandom(32)).decode()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(key_folder.apart(folder / "keys"))
        receiver = stack.enter_context(site.serving(Receiver()))
        receiver.requests = Forgetful()
        store = stack.enter_context(Store.open(folder / "soak.db", actor="terminal"))
        terminal = Soaked(clips, store, receiver, random.Random(seed))
        server = stack.enter_context(WebServer(Terminal(terminal.settings, store.path, "soak", terminal.live), [Address("127.0.0.1", 0)]))
        courier = stack.enter_context(terminal.courier())
        for _ in range(hours):
            yield terminal.hour(server.urls[0], courier)
        deadline = time.monotonic() + 30
        while store.outbox.summary()[0].waiting and time.monotonic() < deadline:
            courier.round()
            time.sleep(0.2)
        chain, given_up = store.verify_chain(), len(store.outbox.dead_letters())
        print(f"chain {chain.reason or 'whole'}; {len(receiver.events)} of {terminal.made} events at the receiver, {given_up} given up")


class Soaked:
    """The terminal under test."""

    def __init__(self, clips: Path, store: Store, receiver: Receiver, dice: random.Random) -> None:
        self.settings, self.store, self.receiver, self.dice = Settings(), store, receiver, dice
        recogniser = Recogniser(self.settings)
        store.outbox.set_targets(["payroll"])
        self.people = [_enrol(store, recogniser, clips / f"{clip}.mkv", name) for name, clip in ENROLLED.items()]
        pipeline = Pipeline(self.settings, recogniser, store, "soak")
        self.live = Live(pipeline.questions, 0.0, booth=Booth(time.monotonic, recogniser))
        self.recognition = Recognition(pipeline, Booth(time.monotonic), lambda: Recogniser(self.settings), print)
        self.room = Room(clips, self.settings, dice)
        self.now, self.index = time.time(), 0
        self.seen: dict[str, float] = {}  # person, or clip of a stranger -> when last

    @contextmanager
    def courier(self) -> Iterator[Courier]:
        table = {"kind": "webhook", "url": self.receiver.url, "secret": "env:SOAK_KEY", "timeout_seconds": 1.0}
        settings = OutboxSettings(first_retry_seconds=0.1, longest_retry_seconds=1.0)
        with Store.open(self.store.path) as store:
            made = Courier(store, build(read_settings("payroll", table)), settings, time.time, say=lambda text: None)
            try:
                yield made
            finally:
                made.close()

    @property
    def made(self) -> int:
        with self.store.reading() as db:
            return int(db.execute("SELECT count(*) FROM punches").fetchone()[0])

    def hour(self, url: str, courier: Courier) -> Hour:
        end, due, before = self.now + 3600.0, 0, self.made
        while self.now < end:
            clip = self.dice.choice([name for name, who in VISITS.items() if self.now - self.seen.get(who or name, 0.0) > AGAIN_SECONDS])
            self.seen[VISITS[clip] or clip] = self.now
            due += VISITS[clip] != ""
            fault = disturbed(self.store.path, self.receiver, self.dice)
            for picture in (*self.room.visit(clip), *self.room.between()):
                self.live.show(self.recognition.process(Frame(picture, self.now, self.index, live=True)))
                self.now, self.index = self.now + 1 / RATE, self.index + 1
            fault.join()
            look(url)
            courier.round()
            self.now += self.dice.uniform(*PAUSE_SECONDS)
        live_camera(self.room, self.recognition, self.live)
        self.receiver.faults.clear()
        return self._left(due, self.made - before)

    def _left(self, due: int, made: int) -> Hour:
        gc.collect()
        status = Path("/proc/self/status").read_text(encoding="ascii")
        memory, threads = (int(status.partition(f"{key}:")[2].split()[0]) for key in ("VmRSS", "Threads"))
        with self.store.reading() as db:
            strangers = db.execute("SELECT count(*) FROM punches WHERE person_id NOT IN (?, ?, ?)", self.people).fetchone()[0]
        return Hour(memory / 1024, threads, len(os.listdir("/proc/self/fd")), due, made, strangers)


def _enrol(store: Store, recogniser: Recogniser, clip: Path, name: str) -> int:
    with open_source(str(clip), recogniser.settings.camera) as source:
        samples = capture(recogniser, source)
    return enrol(store, recogniser, name, f"E{name}", samples, ["clip"] * len(samples)).id


def disturbed(database: Path, receiver: Receiver, dice: random.Random) -> threading.Thread:
    """One visit in five meets a database that another program locks for half a second, one in four a receiver that fails."""
    if dice.random() < 0.25:
        receiver.faults.extend([dice.choice((site.status(500), site.half_closed, site.taken_but_unanswered))] * 2)

    def lock() -> None:
        with closing(sqlite3.connect(database, timeout=5)) as db:
            db.execute("BEGIN IMMEDIATE")
            time.sleep(0.5)
            db.rollback()

    thread = threading.Thread(target=lock if dice.random() < 0.2 else lambda: None)
    thread.start()
    return thread


def look(url: str) -> None:
    """A page, and an event stream that is left again."""
    urllib.request.urlopen(f"{url}/kiosk", timeout=10).read()
    with urllib.request.urlopen(f"{url}/kiosk/events", timeout=10) as stream:
        stream.readline()


def live_camera(room: Room, recognition: Recognition, live: Live) -> None:
    """A camera that freezes, ends, cannot be opened for a while, and comes back."""
    opened = 0

    def reader() -> FaultyCamera:
        nonlocal opened
        opened += 1
        if opened % 3 == 2:
            raise CameraLost("unplugged")
        return FaultyCamera(room.empty)

    deadline = time.monotonic() + LIVE_SECONDS
    try:
        with LiveSource("soak", reader, 1.0) as source:
            for frame in source:
                live.show(recognition.process(frame))
                if time.monotonic() > deadline:
                    break
    except CameraError as error:
        print(f"live camera: {error}")


def verdict(hours: Sequence[Hour]) -> list[str]:
    """What is wrong; empty where nothing is."""
    last, second = hours[-1], hours[min(1, len(hours) - 1)]
    found = [f"hour {number}: {hour.made} punches, {hour.due} were due" for number, hour in enumerate(hours, 1) if hour.made != hour.due]
    if abs(last.memory_mb - second.memory_mb) > 0.05 * second.memory_mb:
        found.append(f"memory went from {second.memory_mb:.0f} MB in the second hour to {last.memory_mb:.0f} MB in the last")
    if last.threads > second.threads or last.files > second.files:
        found.append(f"threads {second.threads} to {last.threads}, open files {second.files} to {last.files}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", type=Path, help="folder with the webcam clips")
    parser.add_argument("--hours", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    give_back_large_blocks()
    began, hours = time.monotonic(), []
    for hour in soak(args.clips, args.hours, args.seed):
        hours.append(hour)
        figures = f"{hour.memory_mb:.0f} MB, {hour.threads} threads, {hour.files} files, {hour.made} punches of {hour.due} due"
        print(f"hour {len(hours)}: {figures} ({time.monotonic() - began:.0f} s)", flush=True)
    faults = verdict(hours)
    print("\n".join(faults) or "memory flat, no thread or file more, no punch missed")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
