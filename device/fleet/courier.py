"""Keeps a terminal and its company's database together while the terminal runs; without the database nothing is lost and nothing stops."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from device.config import Settings
from device.fleet import continuation, desk, doors_down, down, rollout, settings_down, up
from device.fleet.membership import Membership, opened, read, set_value
from device.fleet.server import NEWEST, Connection, FleetError, explained
from device.fleet.settings_down import Running
from device.storage import settings as stored_settings
from device.storage.store import Store
from device.system.clock import read_clock_state
from device.system.restart import Backoff, Say, in_words, kept_running

STATE, PUNCHES = "clockface_state", "clockface_punches"  # channels of notices
POLL_SECONDS = 5.0  # where no notice comes through
OWN_SECONDS = 0.25  # how soon a punch of this terminal goes up
GATHER_SECONDS = 0.4  # at most: notices come in swarms, and not every terminal is to ask at the same moment
REPORT_SECONDS = 15.0
LOOK_SECONDS = 2.0  # between two looks of a desk at all devices
HEARD_SECONDS = 300.0  # how often the time of the last contact is written down, for `doctor` and after a restart
UNSET = Running(None, Settings())
FIRST_SECONDS = 5.0  # a start waits so long for erasures of the time while it was off


About = Callable[[], Mapping[str, Any]]  # what the running program tells of itself: camera, model, version


@dataclass
class Link:
    """How the exchange stands, for the pages of the same process."""

    heard_at: float  # s since the epoch: last contact, or the start
    trouble: str = ""


class FleetCourier:
    """One terminal's exchange. It and its store are used by one thread."""

    def __init__(
        self, store: Store, member: Membership, say: Say = print, clock: Callable[[], float] = time.time, about: About = dict, running: Running = UNSET
    ) -> None:
        self.store, self.member, self.clock, self._running = store, member, clock, running
        self._say, self._about, self._trouble = say, about, ""
        self.idle: Callable[[Store], object] = lambda store: None  # after a round that brought nothing: what the program does with what came down
        self._reported = self._heard = self._looked = float("-inf")
        self.link = Link(clock())
        self._doors_alone = False
        self._version: Any = None  # of what is recorded here, as the last round saw it

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
        if _schema(connection) < NEWEST:
            raise FleetError("the company's database is older than this terminal: its owner runs `python -m device fleet migrate`", code="fleet.older")
        continuation.renew(self.store, connection)
        self.member = read(self.store) or self.member
        for chain in () if self.member.desk else ("punches", "corrections"):
            row = connection.execute("SELECT id FROM head(%s)", [chain]).fetchone()
            with self.store.transaction() as db:
                set_value(db, f"sent.{chain}", str(row["id"] if row else 0))
        self._say_newer(connection)
        for channel in (STATE, PUNCHES):
            connection.execute(f"LISTEN {channel}")
        if not self.member.desk:
            down.receive_newest(self.store, self.member, connection, self.clock())

    def round(self, connection: Connection) -> int:
        """The log first, for others wait for it; then down before up: what was erased is forgotten before anything about people is sent."""
        receive, send = (desk.receive, desk.send) if self.member.desk else (down.receive, up.send)
        rows = 0 if self.member.desk else up.send_log(self.store, connection)
        rows += receive(self.store, self.member, connection, self.clock())
        settings_down.receive(self.store, connection, self._running)
        return rows + send(self.store, self.member, connection)

    def _exchange(self, connection: Connection) -> None:
        if self._doors_alone:
            busy = doors_down.receive(self.store, self.member, connection, self.clock())
        else:
            self._version = self._own()  # before the round, so that nothing is recorded unseen
            busy = self.round(connection)
        self._tell("")
        if time.monotonic() - self._reported > REPORT_SECONDS:
            self._report(connection)
        if self.member.desk and time.monotonic() - self._looked > LOOK_SECONDS:
            desk.look(self.store, connection)
            self._looked = time.monotonic()
        if not busy:
            self.idle(self.store)
        self._doors_alone = not busy and self._wait(connection) == {PUNCHES} and not self.member.desk

    def _wait(self, connection: Connection) -> set[str]:
        """Until the server has news, this terminal has rows of its own since the last round, or the time for a poll has come.

        Returns:
            The channels of the news.
        """
        until = time.monotonic() + POLL_SECONDS
        while time.monotonic() < until and self._own() == self._version:
            if news := self._news(connection, timeout=OWN_SECONDS, stop_after=1):
                return news | self._news(connection, timeout=GATHER_SECONDS * random.random())
        return set()

    def _news(self, connection: Connection, **wait: Any) -> set[str]:
        return {notice.channel for notice in connection.notifies(**wait) if notice.payload != self.member.device}

    def _own(self) -> Any:
        """Changes with every punch, correction and change of people of this terminal, whichever process makes it."""
        with self.store.reading() as db:
            return db.execute(
                "SELECT (SELECT max(id) FROM punches), (SELECT max(id) FROM corrections), (SELECT max(id) FROM fleet_changes)"
            ).fetchone()

    def _say_newer(self, connection: Connection) -> None:
        schema = _schema(connection)
        if schema > NEWEST:
            self._say(f"fleet: the company's database has schema {schema}, this terminal knows {NEWEST}: it goes on with what it knows; update it")

    def _report(self, connection: Connection) -> None:
        newer = {"schema": "newer than this terminal knows: update it"} if _schema(connection) > NEWEST else {}
        told = {**up.health(self.store), **self._about(), **newer, "clock_set": read_clock_state().synchronised, "clock": self.clock()}
        connection.execute("SELECT report(%s)", [Jsonb(told)])
        if not self.member.desk and told.get("version"):  # a checkout takes no releases
            rollout.receive(self.store, connection, str(told["version"]), self._say)
        self.member = read(self.store) or self.member  # its log may go on under another identity
        self._reported = time.monotonic()

    def _tell(self, trouble: str) -> None:
        changed, now = trouble != self._trouble, self.clock()
        self.link.trouble = trouble
        self.link.heard_at = self.link.heard_at if trouble else now
        if changed:
            self._trouble = trouble
            self._say(f"fleet: {trouble or 'connected again'}")
        if changed or (not trouble and abs(now - self._heard) > HEARD_SECONDS):
            self._heard = now
            with self.store.transaction() as db:
                set_value(db, "trouble", trouble)
                if not trouble:
                    set_value(db, "heard", str(round(now)))


def _schema(connection: Connection) -> int:
    row = connection.execute("SELECT max(number) AS number FROM migrations").fetchone()
    return int(row["number"]) if row else 0


def catch_up(store: Store, say: Say, file: Path | None = None, seconds: float = FIRST_SECONDS) -> None:
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
            settings_down.receive(store, connection, Running(file, stored_settings.in_force(store, file)))
    except (FleetError, psycopg.Error) as error:
        say(f"fleet: {error}; the terminal starts with what it knows")


@contextmanager
def exchanging(
    path: Path, running: Running, say: Say, about: About = dict, idle: Callable[[Store], object] = lambda store: None
) -> Iterator[Link]:
    """Exchange on a thread of its own while the block runs; the terminal has joined a fleet."""
    stop, link = threading.Event(), Link(time.time())

    def work() -> None:
        with Store.open(path, running.settings.store, actor="fleet") as store:
            member = read(store)
            assert member is not None
            courier = FleetCourier(store, member, say, about=about, running=running)
            courier.link, courier.idle = link, idle
            courier.run(stop)

    thread = threading.Thread(target=kept_running, args=["fleet", work, stop, say], name="fleet", daemon=True)
    thread.start()
    try:
        yield link
    finally:
        stop.set()
        thread.join(timeout=POLL_SECONDS)
