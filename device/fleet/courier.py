"""Keeps a terminal and its company's database together while the terminal runs; without the database nothing is lost and nothing stops."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from device.config import StoreSettings
from device.fleet import down, up
from device.fleet.membership import Membership, opened, read, set_value
from device.fleet.server import NEWEST, Connection, FleetError, explained
from device.storage.store import Store
from device.system.restart import Backoff, Say, in_words, kept_running

STATE, PUNCHES = "clockface_state", "clockface_punches"  # channels of notices
POLL_SECONDS = 5.0  # where no notice comes through
OWN_SECONDS = 0.5  # how soon a punch of this terminal goes up
GATHER_SECONDS = 0.4  # at most: notices come in swarms, and not every terminal is to ask at the same moment
REPORT_SECONDS = 30.0
FIRST_SECONDS = 5.0  # a start waits so long for erasures of the time while it was off


class FleetCourier:
    """One terminal's exchange. It and its store are used by one thread."""

    def __init__(self, store: Store, member: Membership, say: Say = print, clock: Callable[[], float] = time.time) -> None:
        self.store, self.member, self.clock = store, member, clock
        self._say, self._reported, self._trouble = say, float("-inf"), ""
        self._doors_alone = False

    def run(self, stop: threading.Event) -> None:
        """Exchange until `stop` is set; a failure is told once, and after a wait it connects again."""
        backoff, failures = Backoff(1.0, 60.0, random.random), 0
        while not stop.is_set():
            try:
                with opened(self.store, self.member) as connection:
                    self.resume(connection)
                    failures = 0
                    while not stop.is_set():
                        with explained():
                            self._exchange(connection)
            except Exception as error:  # the terminal goes on; the exchange starts again
                failures += 1
                self._tell(str(error) if isinstance(error, FleetError) else in_words(error))
                stop.wait(backoff.wait(failures))

    def resume(self, connection: Connection) -> None:
        """After a connection: how far the server is, which may have been set back, and notices from now on."""
        for chain in ("punches", "corrections"):
            row = connection.execute("SELECT id FROM head(%s)", [chain]).fetchone()
            with self.store.transaction() as db:
                set_value(db, f"sent.{chain}", str(row["id"] if row else 0))
        for channel in (STATE, PUNCHES):
            connection.execute(f"LISTEN {channel}")
        down.receive_newest(self.store, connection, self.clock())

    def round(self, connection: Connection) -> int:
        """Down before up: what was erased is forgotten first."""
        rows = down.receive(self.store, self.member, connection, self.clock())
        return rows + up.send(self.store, self.member, connection)

    def _exchange(self, connection: Connection) -> None:
        busy = down.receive_doors(self.store, connection, self.clock()) if self._doors_alone else self.round(connection)
        self._tell("")
        if time.monotonic() - self._reported > REPORT_SECONDS:
            self._report(connection)
        self._doors_alone = not busy and self._wait(connection) == {PUNCHES}

    def _wait(self, connection: Connection) -> set[str]:
        """Until the server has news, this terminal has rows of its own, or the time for a poll has come; returns the channels of the news."""
        until = time.monotonic() + POLL_SECONDS
        version = self._own()
        while time.monotonic() < until and self._own() == version:
            if self._heard(connection, timeout=OWN_SECONDS, stop_after=1):
                return {PUNCHES} | self._heard(connection, timeout=GATHER_SECONDS * random.random())
        return set()

    def _heard(self, connection: Connection, **wait: Any) -> set[str]:
        return {notice.channel for notice in connection.notifies(**wait) if notice.payload != self.member.device}

    def _own(self) -> Any:
        """Changes with every punch, correction and change of people of this terminal, whichever process makes it."""
        with self.store.reading() as db:
            return db.execute(
                "SELECT (SELECT max(id) FROM punches), (SELECT max(id) FROM corrections), (SELECT max(id) FROM fleet_changes)"
            ).fetchone()

    def _report(self, connection: Connection) -> None:
        row = connection.execute("SELECT max(number) AS number FROM migrations").fetchone()
        newer = {"schema": "newer than this terminal knows: update it"} if row and row["number"] > NEWEST else {}
        connection.execute("SELECT report(%s)", [Jsonb({**up.health(self.store), **newer, "clock": self.clock()})])
        self._reported = time.monotonic()

    def _tell(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            self._say(f"fleet: {trouble or 'connected again'}")


def catch_up(store: Store, say: Say, seconds: float = FIRST_SECONDS) -> None:
    """Before a terminal recognises anybody: take in what was erased and changed while it was off, as far as the server answers in time."""
    member = read(store)
    if member is None:
        return
    until = time.monotonic() + seconds
    try:
        with opened(store, member) as connection, explained():
            courier = FleetCourier(store, member, say)
            while time.monotonic() < until and down.receive(store, member, connection, courier.clock()):
                pass
    except (FleetError, psycopg.Error) as error:
        say(f"fleet: {error}; the terminal starts with what it knows")


@contextmanager
def exchanging(path: Path, settings: StoreSettings, say: Say) -> Iterator[None]:
    """Exchange on a thread of its own while the block runs; the terminal has joined a fleet."""
    stop = threading.Event()

    def work() -> None:
        with Store.open(path, settings, actor="fleet") as store:
            member = read(store)
            assert member is not None
            FleetCourier(store, member, say).run(stop)

    thread = threading.Thread(target=kept_running, args=["fleet", work, stop, say], name="fleet", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=POLL_SECONDS)
