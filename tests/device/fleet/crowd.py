"""Many terminals at once, with a large roster, in four processes: how long from a punch until the company's desk and another door have it.

    python -m tests.device.fleet.load crowd --terminals 100 --people 20000 --seconds 60 --every 10

A terminal is here its database and its exchange, as in a real one; cameras and recognition are left out, each would have a machine of its own.
"""

from __future__ import annotations

import multiprocessing
import shutil
import threading
import time
from contextlib import suppress
from dataclasses import replace
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path
from uuid import uuid4

import numpy as np
from psycopg import sql

from device.fleet import membership, owner, server
from device.fleet.courier import FleetCourier, Link
from device.fleet.membership import Membership
from device.storage import key_folder
from device.storage.records import PunchDraft
from device.storage.store import Store
from device.system.clock import ClockState
from tests.device.fleet.cluster import Cluster

PROCESSES = 4
READY_SECONDS, TAIL_SECONDS = 300.0, 8.0
LOOK_SECONDS = 0.02


def prepare(url: str, folder: Path, terminals: int, people: int) -> None:
    """Terminals that have been in the fleet for long: everybody is known everywhere, and every key is sealed for every terminal."""
    names, rows = [f"Gate {number}" for number in range(terminals)], [str(uuid4()) for _ in range(people)]
    base = folder / "base.db"
    with key_folder.apart(folder / "base-keys"), Store.open(base) as store, store.transaction() as db:
        db.conn.executemany("INSERT INTO people (name, code, created_at, uuid) VALUES (?, ?, 0, ?)", [(f"P {n}", f"E{n}", one) for n, one in enumerate(rows)])
    with server.connected(url) as connection:
        site = str(owner.site(connection, "North"))
        with connection.cursor() as cursor:
            statement = (
                "INSERT INTO state (kind, key, sites, body, xid, seq) VALUES ('person', %s, ARRAY[%s]::uuid[],"
                " jsonb_build_object('name', 'P ' || %s::text, 'code', 'E' || %s::text, 'active', true, 'created_at', 0),"
                " pg_current_xact_id(), nextval('arrivals'))"
            )
            cursor.executemany(statement, [(one, site, n, n) for n, one in enumerate(rows)])
    for name in names:
        _door(url, folder, name, base)
    with server.connected(url) as connection:
        connection.execute("SET LOCAL synchronous_commit = off")
        connection.execute(
            "INSERT INTO wrapped_keys (person, device_id, wrapped) SELECT s.key::uuid, d.id, decode(repeat('00', 92), 'hex') FROM state s, devices d"
            " WHERE s.kind = 'person' AND d.kind = 'terminal' AND d.joined_at IS NOT NULL"
        )
    with server.connect(url) as connection:
        for table in ("state", "wrapped_keys", "devices"):
            connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(table)))
        asked = "SELECT max(xid)::text || ':' || max(seq) AS place, pg_total_relation_size('wrapped_keys') / count(*) AS bytes FROM wrapped_keys"
        row = connection.execute(asked).fetchone()
    assert row is not None
    print(f"a sealed key takes {row['bytes']} bytes, with its indexes")
    for name in names:
        with key_folder.apart(folder / name / "keys"), Store.open(folder / name / "clockface.db") as store, store.transaction() as db:
            for key in ("at.state", "at.keys", "at.crops"):
                membership.set_value(db, key, row["place"])
            membership.set_value(db, "sealed", row["place"].partition(":")[0])


def _door(url: str, folder: Path, name: str, base: Path | None, kind: str = "terminal") -> Membership:
    place = folder / name
    place.mkdir()
    if base is not None:
        shutil.copy(base, place / "clockface.db")
    with key_folder.apart(place / "keys"), Store.open(place / "clockface.db") as store:
        member = membership.join(store, replace(owner.invite(url, name, "North" if kind == "terminal" else "", kind), sslmode="disable"))
        with store.transaction() as db:
            db.execute("DELETE FROM fleet_changes")  # the company has these people already
    return member


def run(made: Cluster, url: str, folder: Path, terminals: int, people: int, seconds: float, every: float) -> None:
    began = time.monotonic()
    prepare(url, folder, terminals, people)
    print(f"{terminals} terminals with {people:,} people each, {terminals * people:,} sealed keys: made in {time.monotonic() - began:.0f} s", flush=True)
    _settle(folder, _door(url, folder, "Desk", None, "desk"))  # it knows everybody already, too
    observers = {
        "another door": ("Gate 0", "SELECT p.device || ' ' || p.id, occurred_at FROM door_punches p"),
        "the desk": ("Desk", "SELECT p.id, occurred_at FROM punches p JOIN copies c ON c.chain = 'punches' AND c.row = p.id"),
    }
    spawned = multiprocessing.get_context("spawn")
    stop, results, ready = spawned.Event(), spawned.Queue(), spawned.Barrier(PROCESSES + len(observers) + 1)
    names = [f"Gate {number}" for number in range(1, terminals)]
    watching = [spawned.Process(target=_watch, args=[folder, what, *words, ready, stop, results]) for what, words in observers.items()]
    working = [spawned.Process(target=_work, args=[folder, names[one::PROCESSES], people, every, ready, stop, results]) for one in range(PROCESSES)]
    for process in [*watching, *working]:
        process.start()
    ready.wait(READY_SECONDS)  # all are connected
    _measured(made, seconds)
    stop.set()
    found = [results.get(timeout=120) for _ in [*watching, *working]]
    for process in [*watching, *working]:
        process.join(30)
    recorded = sum(len(value) for kind, value in found if kind == "recorded")
    for what, times in found:
        if what != "recorded":
            values = np.array(times)
            p50, p95, worst = np.percentile(values, (50, 95)).tolist() + [values.max()]
            print(f"until {what} has it: p50 {p50:.2f} s, p95 {p95:.2f} s, longest {worst:.2f} s, of {len(values)} punches ({recorded} recorded)")


def _settle(folder: Path, member: Membership) -> None:
    with _opened(folder, member.name) as store, membership.opened(store, member) as connection:
        while FleetCourier(store, member).round(connection):
            pass


def _measured(made: Cluster, seconds: float) -> None:
    from tests.device.fleet.load import cpu

    before = cpu(made)[1]
    time.sleep(seconds)
    print(f"PostgreSQL takes {(cpu(made)[1] - before) / seconds:.2f} of one core and {_memory():.1f} MB per connection", flush=True)


def _memory() -> float:
    """MB that one connection of a terminal takes in the server, on average: its proportional share (Pss)."""
    shares = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if "crowd" in (name := (place / "cmdline").read_text()) and name.startswith("postgres: clockface_"):
                shares.append(int((place / "smaps_rollup").read_text().partition("\nPss:")[2].split()[0]) / 1024)
    return sum(shares) / max(1, len(shares))


def _work(folder: Path, names: list[str], people: int, every: float, ready: Barrier, stop: Event, results: Queue) -> None:  # type: ignore[type-arg]
    """Some of the terminals: each exchanges on a thread of its own, and one more records a punch at one of them after the other."""
    ended = _exchanging(folder, names)
    chance, recorded = np.random.default_rng(len(names)), []
    stores = {name: _opened(folder, name) for name in names}
    ready.wait(READY_SECONDS)
    began, wall = time.process_time(), time.monotonic()
    while not stop.is_set():
        name = names[len(recorded) % len(names)]
        at = time.time()
        clock = ClockState(True, "boot", int(at * 1000))
        stores[name].record_punch(PunchDraft(int(chance.integers(1, people + 1)), at, "in", name, "pin", clock))
        recorded.append(at)
        stop.wait(chance.exponential(every / len(names)))
    used = (time.process_time() - began) / (time.monotonic() - wall)
    time.sleep(TAIL_SECONDS)  # the last ones arrive
    ended.set()
    results.put(("recorded", recorded))
    print(f"  {len(names)} terminals: {used:.2f} of one core", flush=True)


OPENING = threading.Lock()


def _opened(folder: Path, name: str) -> Store:
    with OPENING, key_folder.apart(folder / name / "keys"):
        return Store.open(folder / name / "clockface.db")


def _exchanging(folder: Path, names: list[str]) -> threading.Event:
    """Start the exchange of these terminals, each on a thread of its own, and wait until all of them are connected; what is returned ends it."""
    ended, links = threading.Event(), [Link(0.0) for _ in names]
    for name, link in zip(names, links, strict=True):
        threading.Thread(target=_exchange, args=[folder, name, link, ended], daemon=True).start()
    while not all(link.heard_at for link in links):
        time.sleep(0.1)
    return ended


def _exchange(folder: Path, name: str, link: Link, stop: threading.Event) -> None:
    with _opened(folder, name) as store:
        member = membership.read(store)
        assert member is not None
        courier = FleetCourier(store, member, say=lambda line: print(f"  {name}: {line}", flush=True))
        courier.link = link
        courier.run(stop)


def _watch(folder: Path, what: str, name: str, query: str, ready: Barrier, stop: Event, results: Queue) -> None:  # type: ignore[type-arg]
    """When each punch becomes visible at one place, after the moment at which it was recorded."""
    ended = _exchanging(folder, [name])
    ready.wait(READY_SECONDS)
    seen: set[str] = set()
    times: list[float] = []
    with _opened(folder, name) as store:
        deadline = float("inf")
        while time.monotonic() < deadline:
            if stop.is_set() and deadline == float("inf"):
                deadline = time.monotonic() + TAIL_SECONDS
            with store.reading() as db:
                rows = db.execute(f"{query} ORDER BY p.rowid DESC LIMIT 200").fetchall()
            for key, occurred_at in rows:
                if key not in seen:
                    seen.add(key)
                    times.append(time.time() - occurred_at / 1000)
            time.sleep(LOOK_SECONDS)
    ended.set()
    results.put((what, times))
