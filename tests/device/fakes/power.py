"""A power cut, simulated: what a terminal wrote is recorded with every flush, then any moment of it can be the last.

`python -m tests.device.fakes.power --cuts 5000 --kills 200 --clip CLIP` prints what a long run finds.

The disk that is simulated keeps what was flushed and nothing else by promise. Of what was written after the last flush
of a file, each sector of 512 bytes is there or not, whatever the order; names that were made, removed or exchanged since
the last flush of the folder are there up to some moment. Sectors themselves are not torn, as SQLite takes for granted.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from device.storage import key_folder
from device.storage.store import Store

ROOT = Path(__file__).resolve().parents[3]
SECTOR = 512  # bytes
HEAD = struct.Struct("<cHIQ")
ANNOUNCED = "announced"  # a file of lines: what was shown to people; outside of the disk that is cut
LONGEST_START = 5.0  # s
MEMORY = Path("/dev/shm")  # where the cuts are looked at: no real flush is waited for

# Enrols, records and gives the device another key, with the keys in the same folder, in several processes:
# one ends well, one without closing, so that the next finds a log to take over.
TERMINAL = """
import os, sys
from pathlib import Path
import numpy as np
from device.storage import keys
from device.system.clock import ClockState
from device.storage.store import PunchDraft, Store, TemplateDraft

folder, rounds, punches = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
said = os.open(folder / "announced", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
embedding = np.eye(1, 512, dtype=np.float32)[0]

def work(number):
    store = Store.open(folder / "clockface.db")
    store.outbox.set_targets(["payroll"])
    person = store.add_person_with_templates(f"Person {number}", None, [TemplateDraft("m1", embedding, 0.5, bytes(900), "")] * 3)
    os.write(said, f"person {person.id} 0\\n".encode())
    for i in range(punches):
        at = number * 1_000_000 + i
        punch = store.record_punch(PunchDraft(person.id, float(at), "in", "kiosk", "manual", ClockState(True, "boot", i)))
        os.write(said, f"punch {punch.id} {at}\\n".encode())
    keys.rotate()
    if number % 2:
        store.close()

for number in range(rounds):
    child = os.fork()
    if child == 0:
        work(number)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""


@dataclass(frozen=True)
class Step:
    """One thing the process did: W write, T truncate, S flush, U remove, R rename."""

    kind: str
    name: str  # "" is the folder
    offset: int
    data: bytes


def record(folder: Path, rounds: int, punches: int) -> list[Step]:
    """Run a terminal in `folder` and return what it did there, in order."""
    library, log = folder.with_name("recorder.so"), folder.with_name("recorded")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, Path(__file__).with_name("recorder.c"), "-ldl"], check=True)
    environment = {**os.environ, "CLOCKFACE_KEYS": str(folder), "LD_PRELOAD": str(library), "POWER_FOLDER": str(folder), "POWER_LOG": str(log)}
    command = [sys.executable, "-c", TERMINAL, str(folder), str(rounds), str(punches)]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=300)
    return list(_steps(log.read_bytes()))


def _steps(log: bytes) -> Iterator[Step]:
    at = 0
    while at < len(log):
        kind, length, size, offset = HEAD.unpack_from(log, at)
        at += HEAD.size
        name, data = log[at : at + length].decode(), log[at + length : at + length + size]
        at += length + size
        if not name.endswith("-shm"):  # the index of the log: made anew after a cut
            yield Step(kind.decode(), name, offset, data)


@dataclass
class Content:
    """One file: what was flushed, and what was done since."""

    flushed: bytearray = field(default_factory=bytearray)
    since: list[Step] = field(default_factory=list)

    def flush(self) -> None:
        for step in self.since:
            _apply(self.flushed, step.kind, step.offset, step.data)
        self.since = []

    def after_a_cut(self, chance: random.Random) -> bytes:
        found = bytearray(self.flushed)
        for step in self.since:
            if step.kind == "T":
                if chance.random() < 0.5:
                    _apply(found, "T", step.offset, b"")
                continue
            end = step.offset + len(step.data)
            edges = [step.offset, *range(step.offset - step.offset % SECTOR + SECTOR, end, SECTOR), end]
            for low, high in zip(edges[:-1], edges[1:], strict=True):
                if chance.random() < 0.5:
                    _apply(found, "W", low, step.data[low - step.offset : high - step.offset])
        return bytes(found)


def _apply(content: bytearray, kind: str, offset: int, data: bytes) -> None:
    if kind == "T":
        del content[offset:]
    content.extend(bytes(max(0, offset + len(data) - len(content))))
    content[offset : offset + len(data)] = data


class Disk:
    """Plays the steps; `cut` writes what a cut at this moment may leave."""

    def __init__(self) -> None:
        self._names: dict[str, Content] = {}  # as the process sees them
        self._flushed: dict[str, Content] = {}  # as they are on the disk for certain
        self._since: list[dict[str, Content]] = []  # after each change of a name since
        self.said: list[str] = []  # lines that were announced

    def play(self, step: Step) -> None:
        if step.name == ANNOUNCED:
            self.said += step.data.decode().splitlines() if step.kind == "W" else []
        elif step.kind == "S" and not step.name:
            self._flushed, self._since = dict(self._names), []
        elif step.kind == "S":
            self._content(step.name).flush()
        elif step.kind == "U":
            self._rename({key: value for key, value in self._names.items() if key != step.name})
        elif step.kind == "R":
            moved = {key: value for key, value in self._names.items() if key != step.name}
            self._rename({**moved, step.data.decode(): self._content(step.name)})
        else:
            self._content(step.name).since.append(step)

    def _content(self, name: str) -> Content:
        if name not in self._names:
            self._rename({**self._names, name: Content()})
        return self._names[name]

    def _rename(self, names: dict[str, Content]) -> None:
        self._names = names
        self._since.append(names)

    def cut(self, folder: Path, chance: random.Random) -> None:
        folder.mkdir()
        for name, content in chance.choice([self._flushed, *self._since]).items():
            (folder / name).write_bytes(content.after_a_cut(chance))


@dataclass
class Found:
    """What the cuts left."""

    cuts: int = 0
    unannounced: int = 0  # punches on disk that nobody had been told of: at most the one in hand
    slowest: float = 0.0  # s to open the database


def cuts(steps: list[Step], count: int, chance: random.Random) -> Found:
    """Cut the power at so many random moments and look at what is left of each; raises AssertionError where a promise is broken."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as name:
        return _cuts(steps, count, Path(name), chance)


def _cuts(steps: list[Step], count: int, folder: Path, chance: random.Random) -> Found:
    disk, found = Disk(), Found()
    moments = sorted(chance.choices(range(len(steps)), k=count))
    for number, step in enumerate(steps):
        disk.play(step)
        while moments and moments[0] == number:
            moments.pop(0)
            place = folder / f"cut{found.cuts}"
            disk.cut(place, chance)
            if disk.said or (place / "clockface.db").exists():
                _examine(place / "clockface.db", disk.said, found)
            found.cuts += 1
            for file in place.iterdir():
                file.unlink()
            place.rmdir()
    return found


def _examine(database: Path, said: list[str], found: Found) -> None:
    """Everything that was announced is there, nothing twice, the chains whole; by the store's own start, without a repair."""
    lines = [line.split() for line in said]
    begin = time.perf_counter()
    with key_folder.apart(database.parent), Store.open(database) as store:
        found.slowest = max(found.slowest, time.perf_counter() - begin)
        stored = [(punch.id, int(punch.occurred_at)) for punch in store.punches()]
        announced = [(int(number), int(at)) for kind, number, at in lines if kind == "punch"]
        assert set(announced) <= set(stored), "an announced punch is lost"
        assert len({at for _, at in stored}) == len(stored), "a punch is there twice"
        assert len(stored) - len(announced) <= 1, "more than the punch in hand was not announced"
        assert [store.verify_chain(table).ok for table in ("punches", "corrections", "audit")] == [True] * 3
        assert store.faults() == []
        with store.reading() as db:
            queued = [row[0] for row in db.execute("SELECT punch_id FROM outbox ORDER BY punch_id")]
        assert queued == sorted(number for number, _ in stored), "a punch without its outbox row, or the other way round"
        templates = store.templates("m1").person_ids.tolist()
        assert all(templates.count(int(number)) == 3 for kind, number, _ in lines if kind == "person"), "an enrolled person is lost"
    found.unannounced += len(stored) - len(announced)


def kills(clip: Path, database: Path, count: int, chance: random.Random) -> tuple[int, int, float]:
    """Kill a real terminal that plays a clip at so many random moments.

    Returns:
        Punches announced, punches on disk, the longest start in s of those that got to a first frame.
    """
    command = [sys.executable, "-u", "-m", "device", "run", "--source", str(clip), "--db", str(database), "--once", "--headless", "--no-web"]
    announced, slowest = 0, 0.0
    for _ in range(count):
        begin = time.monotonic()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
            assert process.stdout is not None
            early = chance.random() < 0.2
            if early:
                time.sleep(chance.uniform(0.0, 0.8))
                process.send_signal(signal.SIGKILL)
            for line in process.stdout:
                if line.startswith("first frame") and not early:
                    slowest = max(slowest, time.monotonic() - begin)
                    time.sleep(chance.uniform(0.0, 0.6))
                    process.send_signal(signal.SIGKILL)
                announced += line.startswith("recorded")
    with Store.open(database) as store:
        punches = store.punches()
        assert len({punch.id for punch in punches}) == len(punches) <= count and announced <= len(punches)
        assert store.verify_chain().ok and store.faults() == []
    return announced, len(punches), slowest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=int, default=5000, help="power cuts (0: none)")
    parser.add_argument("--kills", type=int, default=200, help="kill -9 while a clip plays (needs --clip)")
    parser.add_argument("--clip", type=Path, help="a clip of one person")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}, seed {args.seed}", flush=True)
    chance = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as name:
        (folder := Path(name) / "data").mkdir()
        if args.cuts:
            steps = record(folder, rounds=6, punches=250)
            found = cuts(steps, args.cuts, chance)
            print(f"{found.cuts} power cuts in {len(steps)} writes and flushes of 1,500 punches:")
            print("every announced punch and enrolled template there, none twice, chains whole;")
            print(f"{found.unannounced} punches were on disk before they were announced; slowest opening {found.slowest * 1000:.0f} ms", flush=True)
        if args.clip:
            database = Path(name) / "kills.db"
            subprocess.run([sys.executable, "-m", "device", "enroll", "A", "--camera", str(args.clip), "--db", str(database)], cwd=ROOT, check=True)
            announced, stored, slowest = kills(args.clip, database, args.kills, chance)
            print(f"{args.kills} kills: {announced} punches announced, {stored} on disk, none twice, chain whole; slowest start {slowest:.1f} s")
            print(f"a start may take {LONGEST_START:g} s: {'kept' if slowest < LONGEST_START else 'NOT kept'}, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
