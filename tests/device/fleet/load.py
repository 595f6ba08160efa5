"""How a fleet bears load, on a PostgreSQL of its own. Each command prints its figures, with the CPU seconds of this program and of PostgreSQL beside the time.

    python -m tests.device.fleet.load week     [--punches 10000]       a terminal that was offline catches up, both ways
    python -m tests.device.fleet.load roster   [--people 20000]        a new terminal takes all people, sealed for it by another one
    python -m tests.device.fleet.load crowd    [--terminals 100]       from a punch to the desk (`tests.device.fleet.crowd`)
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np

from device.fleet import membership, owner, server, up
from device.fleet.courier import FleetCourier
from device.fleet.membership import Membership
from device.fleet.sealed_box import box, public_of
from device.storage import key_folder
from device.storage.records import PunchDraft
from device.storage.sealing import seal
from device.storage.store import Store
from device.system.clock import ClockState
from tests.device.fleet import crowd
from tests.device.fleet.cluster import Cluster, cluster

MODEL, SIZE = "a" * 64, 128
ROUNDS = 100_000
TICKS = os.sysconf("SC_CLK_TCK")


def cpu(made: Cluster) -> tuple[float, float]:
    """CPU seconds so far of this process, and of PostgreSQL with all of its processes."""
    leader = int((made.folder / "data" / "postmaster.pid").read_text().split()[0])
    total = 0
    for place in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = place.read_text().rpartition(")")[2].split()
            if int(place.parent.name) == leader:
                total += sum(map(int, fields[11:15]))  # its own, and those of its processes that have ended
            elif int(fields[1]) == leader:
                total += sum(map(int, fields[11:13]))
    return time.process_time(), total / TICKS


@contextmanager
def timed(made: Cluster, words: str) -> Iterator[dict[str, Any]]:
    """Print what the block took; what it puts into the dictionary is printed behind."""
    began, before, found = time.monotonic(), cpu(made), dict[str, Any]()
    yield found
    seconds, after = time.monotonic() - began, cpu(made)
    more = "".join(f", {key} {value}" for key, value in found.items())
    print(f"{words}: {seconds:.1f} s (CPU here {after[0] - before[0]:.1f} s, PostgreSQL {after[1] - before[1]:.1f} s){more}", flush=True)


def company(made: Cluster, name: str) -> str:
    url = made.database(name)
    server.migrate(url)
    with server.connected(url) as connection:
        owner.add_site(connection, "North")
    return url


@contextmanager
def terminal(url: str, folder: Path, name: str, kind: str = "terminal") -> Iterator[tuple[Store, Membership]]:
    """A terminal that has joined, with keys of its own while the block runs."""
    place = folder / name.replace(" ", "-")
    place.mkdir(exist_ok=True)
    with key_folder.apart(place / "keys"), Store.open(place / "clockface.db") as store:
        member = membership.read(store)
        if member is None:
            invitation = owner.invite(url, name, "North" if kind == "terminal" else "", kind)
            member = membership.join(store, replace(invitation, sslmode="disable"))
        yield store, member


def settle(store: Store, member: Membership) -> int:
    """Exchange until nothing is left; returns the number of rounds."""
    with membership.opened(store, member) as connection:
        courier = FleetCourier(store, member, clock=time.time)
        courier.resume(connection)
        return next(number for number in range(ROUNDS) if not courier.round(connection))


def face(seed: int) -> bytes:
    values = np.random.default_rng(seed).normal(size=SIZE).astype("<f4")
    return bytes((values / np.linalg.norm(values)).astype("<f4").tobytes())


def enrol(url: str, people: int, per_person: int, device: str, public: bytes, first: int = 0) -> list[UUID]:
    """People whom the company has, with templates sealed with a key of each, which is sealed for one terminal; written as its owner, for speed."""
    made, now = [(uuid4(), os.urandom(32)) for _ in range(people)], int(time.time() * 1000)
    with server.connected(url) as connection:
        site = str(owner.site(connection, "North"))
        values = "pg_current_xact_id(), nextval('arrivals')"
        sql = f"INSERT INTO state (kind, key, sites, body, sealed, xid, seq) SELECT r.*, {values} FROM (VALUES (%s, %s, %s::uuid[], %s::jsonb, %s::bytea)) r"
        rows: list[list[Any]] = []
        for number, (person, key) in enumerate(made, first):
            body = {"name": f"Person {number}", "code": f"E{number}", "active": True, "created_at": now}
            rows.append(["person", str(person), [site], json.dumps(body), None])
            given = {"wording": "I agree.", "given_at": now, "withdrawn_at": None, "recorded_by": "hr", "version": "1", "language": "en", "way": "screen"}
            rows.append(["consent", str(uuid4()), [site], json.dumps({"person": str(person), **given}), None])
            for _ in range(per_person):
                about = {"person": str(person), "model_id": MODEL, "quality": 0.9, "source": "camera", "created_at": now}
                rows.append(["template", str(uuid4()), [site], json.dumps(about), seal(key, face(number), f"embedding of {person} for {MODEL}")])
        with connection.cursor() as cursor:
            cursor.executemany(sql, rows)
            wraps = [(person, device, box(key, public, str(person))) for person, key in made]
            cursor.executemany("INSERT INTO wrapped_keys (person, device_id, wrapped) VALUES (%s, %s, %s)", wraps)
        connection.execute("SELECT pg_notify('clockface_state', 'person')")
    return [person for person, _ in made]


def punch(store: Store, person_id: int, at: float, name: str) -> None:
    store.record_punch(PunchDraft(person_id, at, "in", name, "pin", ClockState(True, "boot", int(at * 1000))))


def memory(line: str = "VmHWM") -> float:
    """MB that this process has held at most (VmHWM), or holds now (VmRSS); getrusage would count what its parent held."""
    text = Path("/proc/self/status").read_text()
    return int(text.partition(f"{line}:")[2].split()[0]) / 1024


def week(made: Cluster, folder: Path, punches: int) -> None:
    """Both ways: the terminal's punches, and what the company has decided and other doors have recorded meanwhile."""
    url = company(made, "week")
    now, people = time.time(), 300
    with terminal(url, folder, "Gate A") as (a, member):
        enrol(url, people, 2, member.device, public_of(membership.private_key(a)))
        settle(a, member)
        ids = [person.id for person in a.people()]
        began = time.monotonic()
        for number in range(punches):
            punch(a, ids[number % people], now - 7 * 86400 * (1 - number / punches), "Gate A")
        print(f"{punches} punches recorded offline in {time.monotonic() - began:.0f} s")
    with terminal(url, folder, "Gate B") as (b, other):
        with terminal(url, folder, "Gate A") as (a, member):
            _seal(a, member)
        settle(b, other)
        ids = [person.id for person in b.people()]
        for number in range(punches):
            punch(b, ids[number % people], now - 7 * 86400 * (1 - number / punches), "Gate B")
        settle(b, other)
    with terminal(url, folder, "Gate A") as (a, member):
        newest = enrol(url, 100, 2, member.device, public_of(membership.private_key(a)), people)[-1]
        _caught_up(made, url, a, member, str(newest), punches)


def _seal(store: Store, member: Membership) -> None:
    """Only what others wait for: the keys of people."""
    with membership.opened(store, member) as connection:
        while up.seal_for_others(store, connection):
            pass


def _caught_up(made: Cluster, url: str, store: Store, member: Membership, newest: str, punches: int) -> None:
    """Run the exchange as a terminal does, and look from outside."""
    stop, began = threading.Event(), time.monotonic()
    seen: dict[str, float] = {}
    with timed(made, f"a week offline, {punches:,} punches up and as many of the other door down") as found:
        thread = threading.Thread(target=_run, args=[store.path, member, stop], daemon=True)
        thread.start()
        with server.connect(url) as connection:
            while not {"people", "today", "all up", "all down"} <= seen.keys():
                time.sleep(0.1)
                for name in _done(connection, store, newest, punches) - seen.keys():
                    seen[name] = time.monotonic() - began
        found.update({name: f"{at:.1f} s" for name, at in seen.items()})
    stop.set()
    thread.join()


def _run(path: Path, member: Membership, stop: threading.Event) -> None:
    with Store.open(path) as store:
        FleetCourier(store, member).run(stop)


def _done(connection: server.Connection, store: Store, newest: str, punches: int) -> set[str]:
    with store.reading() as db:
        sql = "SELECT count(*) FROM templates t JOIN people p ON p.id = t.person_id WHERE p.uuid = ?"
        enrolled = db.execute(sql, [newest]).fetchone()[0]
        doors, last = db.execute("SELECT count(*), max(occurred_at) FROM door_punches").fetchone()
    row = connection.execute("SELECT sum(id) AS sent FROM chain_heads WHERE chain = 'punches'").fetchone()
    assert row is not None
    todays = last is not None and last > (time.time() - max(3600, 14 * 86400 / punches)) * 1000
    done = {"people": enrolled > 0, "today": todays, "all down": doors >= punches, "all up": row["sent"] >= 2 * punches}
    return {name for name, reached in done.items() if reached}


def roster(made: Cluster, folder: Path, people: int, per_person: int) -> None:
    """A terminal with all keys sealed for it already; then one more, for which the first seals them while it takes what has come."""
    url = company(made, "roster")
    with terminal(url, folder, "Gate A") as (a, member), timed(made, f"{people:,} people with {per_person} templates each written into PostgreSQL"):
        enrol(url, people, per_person, member.device, public_of(membership.private_key(a)))
    apart = multiprocessing.get_context("spawn")  # processes of their own: their memory is measured
    with timed(made, "a cold terminal takes them, its keys are sealed already") as found, apart.Pool(1) as pool:
        found.update(pool.apply(_cold, (url, folder, "Gate A", people * per_person)))
    with terminal(url, folder, "Gate B"):
        pass
    with timed(made, "another joins: the first seals the keys for it, it takes everything") as found, apart.Pool(1) as first, apart.Pool(1) as second:
        sealing = first.apply_async(_cold, (url, folder, "Gate A", people * per_person, people))
        found.update(second.apply(_cold, (url, folder, "Gate B", people * per_person)))
        print(f"  the first one: {sealing.get()}")


def _cold(url: str, folder: Path, name: str, templates: int, sealed: int = 0) -> dict[str, str]:
    """Exchange until a terminal has so many templates, and has sealed the keys of so many people for others."""
    with terminal(url, folder, name) as (store, member), membership.opened(store, member) as connection:
        before, began, wall = memory("VmRSS"), time.process_time(), time.monotonic()
        courier = FleetCourier(store, member)
        courier.resume(connection)
        while _templates(store) < templates or (sealed and _wrapped(url) < 2 * sealed):
            if not courier.round(connection):
                time.sleep(0.05)
        seconds, used = time.monotonic() - wall, time.process_time() - began
        done = {"there after": f"{seconds:.1f} s", "its CPU": f"{used:.1f} s", "its memory": f"+{memory() - before:.0f} MB"}
        began = time.process_time()
        for _ in range(20):
            courier.round(connection)
        return {**done, "a round with nothing to do": f"{(time.process_time() - began) * 50:.1f} ms"}


def _templates(store: Store) -> int:
    with store.reading() as db:
        return int(db.execute("SELECT count(*) FROM templates").fetchone()[0])


def _wrapped(url: str) -> int:
    with server.connect(url) as above:
        row = above.execute("SELECT count(*) AS found FROM wrapped_keys").fetchone()
    assert row is not None
    return int(row["found"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trial", choices=("week", "roster", "crowd"))
    parser.add_argument("--punches", type=int, default=10_000)
    parser.add_argument("--people", type=int, default=20_000)
    parser.add_argument("--templates", type=int, default=3, help="of each person")
    parser.add_argument("--terminals", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60.0, help="for which the crowd is measured")
    parser.add_argument("--every", type=float, default=10.0, help="seconds between two punches at one terminal, on average")
    args = parser.parse_args()
    print(f"load of this machine before: {', '.join(f'{one:.1f}' for one in os.getloadavg())} on {os.cpu_count()} cores", flush=True)
    with cluster() as made, tempfile.TemporaryDirectory() as folder:
        if args.trial == "week":
            week(made, Path(folder), args.punches)
        elif args.trial == "roster":
            roster(made, Path(folder), args.people, args.templates)
        else:
            crowd.run(made, company(made, "crowd"), Path(folder), args.terminals, args.people, args.seconds, args.every)
    return 0


if __name__ == "__main__":
    sys.exit(main())
