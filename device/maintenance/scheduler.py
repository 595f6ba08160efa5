"""The periodic tasks of a terminal, on a thread of their own with their own connection to the database."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from device.config import RetentionSettings, Settings
from device.contract import ClockfaceError
from device.maintenance import retention
from device.maintenance.clock_repair import ClockWatch, Repair, zone_name
from device.storage import recovery
from device.storage.store import Store, StoreError
from device.system.clock import ClockState, read_clock_state
from device.system.restart import kept_running

Say = Callable[[str], None]
POLL_SECONDS = 10.0
RETRY_SECONDS = 600.0  # after a failure, which is reported each time, so not too often


@dataclass
class Task:
    """A periodic task. `due_at` is monotonic s."""

    name: str
    every_seconds: float
    work: Callable[[Store], list[str]]  # returns the lines to report
    due_at: float = 0.0

    def run(self, store: Store, now: float) -> list[str]:
        """Run the task if it is due. A failure is reported and tried again later; it does not stop the thread."""
        if now < self.due_at:
            return []
        try:
            lines = self.work(store)
            self.due_at = now + self.every_seconds
        except ClockfaceError as error:
            lines, self.due_at = [f"{self.name}: {error}"], now + min(self.every_seconds, RETRY_SECONDS)
        return lines


def tasks(settings: Settings, now: Callable[[], float] = time.time) -> list[Task]:
    copy_seconds = settings.store.copy_hours * 3600.0
    watch, repair = ClockWatch(), Repair()
    return [
        Task("copy of the database", 60.0, lambda store: copied(store, copy_seconds, now())),
        Task("retention", 86400.0, lambda store: retained(store, settings.retention, now(), read_clock_state())),
        Task("clock", POLL_SECONDS, lambda store: [*watched(store, watch, now()), *repair.run(store, now(), read_clock_state())]),
    ]


def watched(store: Store, watch: ClockWatch, now: float) -> list[str]:
    """Note jumps of the clock and changes of the time zone in the audit."""
    changes = watch.look(now, time.clock_gettime(time.CLOCK_BOOTTIME), zone_name())
    time.tzset()  # so that this process uses the new zone after a change, too
    for change in changes:
        store.audit("clock", change.action, change.details)
    return [change.words for change in changes]


def retained(store: Store, settings: RetentionSettings, now: float, clock: ClockState) -> list[str]:
    """Apply the policy, but not by a clock that may be years ahead, since what is removed is lost. A site that never had a time server trusts its clock.

    Raises:
        StoreError: the clock is not set, although it was before.
    """
    if not clock.synchronised:
        with store.reading() as db:
            if db.execute("SELECT EXISTS (SELECT 1 FROM punches WHERE clock_synchronised = 1)").fetchone()[0]:
                raise StoreError("postponed until the clock is set; check that the time server can be reached (`timedatectl`)", code="store.clock_not_set")
    return retention.apply(store, settings, now)


def copied(store: Store, every_seconds: float, now: float) -> list[str]:
    """Make a new last good copy if it is older than that, whichever process made it; a copy from the future counts as old."""
    copy = recovery.copy_of(store.path)
    if not copy.exists() or not 0 <= now - copy.stat().st_mtime < every_seconds:
        recovery.keep(store.path)
    return []


@contextmanager
def upkeep(path: Path, settings: Settings, say: Say, more: Sequence[Task] = ()) -> Iterator[None]:
    """Run the periodic tasks, and those given, in the background while the block runs."""
    thread = _Thread(path, settings, [*tasks(settings), *more], say)
    thread.start()
    try:
        yield
    finally:
        thread.stop.set()
        thread.join()


class _Thread(threading.Thread):
    def __init__(self, path: Path, settings: Settings, work: Sequence[Task], say: Say) -> None:
        super().__init__(name="upkeep", daemon=True)
        self.stop = threading.Event()
        self._path, self._settings, self._work, self._say = path, settings, work, say

    def run(self) -> None:
        kept_running(self.name, self._work_on, self.stop, self._say)

    def _work_on(self) -> None:
        with Store.open(self._path, self._settings.store, must_exist=True, actor="upkeep") as store:
            while True:
                for task in self._work:
                    for line in task.run(store, time.monotonic()):
                        self._say(line)
                if self.stop.wait(POLL_SECONDS):
                    return
