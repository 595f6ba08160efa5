"""Terminals around a real PostgreSQL: what one records or enrols, the others know; what is erased is gone; faces stay sealed."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from device.fleet import membership, owner, server
from device.fleet.courier import FleetCourier
from device.storage.consents import ConsentDraft
from device.storage.records import Direction, PunchDraft, TemplateDraft
from device.storage.store import Store
from device.system.clock import ClockState
from tests.device.fleet.cluster import Cluster
from tests.refused import refused

MODEL = "a" * 64
CONSENT = ConsentDraft("1", "en", "I agree.", "screen", 1_790_000_000.0)


class Door:
    """A terminal without a camera: its store and its exchange, one round at a time."""

    def __init__(
        self, url: str, folder: Path, name: str, site: str = "North", kind: str = "terminal", before: Callable[[Store], None] = lambda store: None
    ) -> None:
        self.name, self.folder = name, folder / name
        self.folder.mkdir()
        with self.own():
            self.store = Store.open(self.folder / "clockface.db")
            before(self.store)
            self.member = membership.join(self.store, _plain(owner.invite(url, name, site, kind)))

    @contextmanager
    def own(self) -> Iterator[None]:
        before = os.environ["CLOCKFACE_KEYS"]
        os.environ["CLOCKFACE_KEYS"] = str(self.folder / "keys")
        try:
            yield
        finally:
            os.environ["CLOCKFACE_KEYS"] = before

    def exchange(self, rounds: int = 30, rests: bool = True) -> None:
        with membership.opened(self.store, self.member) as connection:
            courier = FleetCourier(self.store, self.member, clock=lambda: NOW)
            courier.resume(connection)
            for _ in range(rounds):
                if not courier.round(connection):
                    return
        assert not rests, "the exchange does not come to rest"

    def enrol(self, name: str, code: str | None, seed: int) -> int:
        drafts = [TemplateDraft(MODEL, _face(seed), 0.9, b"crop of " + name.encode(), "camera")]
        return self.store.add_person_with_templates(name, code, drafts, CONSENT).id

    def punch(self, person_id: int, at: float, direction: Direction = "in") -> None:
        clock = ClockState(True, "boot", 1)
        self.store.record_punch(PunchDraft(person_id, at, direction, self.name, "pin", clock))

    def names(self) -> list[str]:
        return [person.name for person in self.store.people(active_only=True)]


NOW = 1_790_000_000.0


def _plain(invitation: owner.Invitation) -> owner.Invitation:
    return owner.Invitation(**{**invitation.__dict__, "sslmode": "disable"})


def _face(seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=8).astype(np.float32)
    return np.asarray(values / np.linalg.norm(values), np.float32)


@pytest.fixture
def door(company: str, tmp_path: Path) -> Callable[..., Door]:
    return lambda name, site="North", **more: Door(company, tmp_path, name, site, **more)


def test_enrolled_at_one_door_known_at_the_other(company: str, door: Callable[..., Door]) -> None:
    a, b = door("A"), door("B")
    ada = a.enrol("Ada Kern", "E17", 1)
    a.exchange()
    b.exchange()
    assert b.names() == ["Ada Kern"]
    found = b.store.templates(MODEL)
    assert np.array_equal(found.matrix[0], _face(1)) and b.store.kept_crops(int(found.person_ids[0]))[0].crop == b"crop of Ada Kern"
    a.store.rename(ada, "Ada Lind")
    a.store.deactivate(ada)
    a.exchange()
    b.exchange()
    (person,) = b.store.people()
    assert (person.name, person.active) == ("Ada Lind", False)


def test_a_terminal_that_joins_later_gets_the_keys(door: Callable[..., Door]) -> None:
    a = door("A")
    for seed in range(5):
        a.enrol(f"Person {seed}", f"E{seed}", seed)
    a.exchange()
    b = door("B")
    b.exchange()
    assert len(b.store.templates(MODEL).ids) == 0  # sealed for A alone until A sees that B has joined
    a.exchange()
    b.exchange()
    assert len(b.store.templates(MODEL).ids) == 5


def test_the_database_shows_no_face(company: str, postgres: Cluster, door: Callable[..., Door]) -> None:
    a, b = door("A"), door("B")
    a.enrol("Ada Kern", "E17", 1)
    a.exchange()
    b.exchange()
    dump = postgres.run("pg_dump", "-h", postgres.folder, "-p", str(postgres.port), "-U", "owner", "-d", company.split("/")[-1].split("?")[0])
    assert "Ada Kern" in dump
    for secret in (_face(1).tobytes(), b"crop of Ada", a.store.keys.everyone()[1]):
        assert secret.hex() not in dump


def test_what_is_erased_is_forgotten_everywhere_and_confirmed(company: str, door: Callable[..., Door]) -> None:
    a, b = door("A"), door("B")
    ada = a.enrol("Ada Kern", "E17", 1)
    a.exchange()
    b.exchange()
    a.store.erase(ada)
    a.exchange()
    with server.connected(company) as connection:
        assert [row["erasures_open"] for row in owner.overview(connection)] == [0, 1]
    b.exchange()
    (person,) = b.store.people()
    assert person.erased and not b.store.templates(MODEL).ids.size and b.store.keys.erased() == [person.id]
    with server.connected(company) as connection:
        assert [row["erasures_open"] for row in owner.overview(connection)] == [0, 0]


def test_two_that_enrolled_alone_are_one_by_code(door: Callable[..., Door]) -> None:
    a, b = door("A"), door("B")
    a.enrol("Ada Kern", "E17", 1)
    b.enrol("A. Kern", "e17", 2)
    for one in (a, b, a, b, a):
        one.exchange()
    for one in (a, b):
        people = one.store.people(active_only=True)
        assert len(people) == 1 and len(one.store.templates(MODEL).ids) == 2, one.name
    uuids = [one.store._db.execute("SELECT uuid FROM people").fetchone()[0] for one in (a, b)]
    assert uuids[0] == uuids[1]


def test_a_punch_at_one_door_counts_at_the_other(door: Callable[..., Door]) -> None:
    a, b = door("A"), door("B")
    a.enrol("Ada", "E1", 1)
    a.exchange()
    b.exchange()
    a.punch(a.store.person("E1").id, NOW - 60)
    a.exchange()
    b.exchange()
    last = b.store.last_punch(b.store.person("E1").id)
    assert last is not None and (last.occurred_at, last.direction) == (NOW - 60, "in")
    assert b.store.punches() == []  # it is not in B's own log


def test_other_sites_are_not_told(door: Callable[..., Door]) -> None:
    a, c = door("A"), door("C", "South")
    a.enrol("Ada", "E1", 1)
    a.punch(1, NOW - 60)
    a.exchange()
    c.exchange()
    assert c.names() == [] and c.store.last_punch(1) is None


def test_a_log_goes_up_whole_and_once(company: str, door: Callable[..., Door]) -> None:
    a = door("A")
    ada = a.enrol("Ada", "E1", 1)
    for number in range(1200):
        a.punch(ada, NOW - 5000 + number)
    a.store.correct(ada, 3, None, "pressed twice", "hr")
    a.exchange()
    a.exchange()
    with server.connected(company) as connection:
        assert [(proof.chain, proof.rows, proof.fault) for proof in owner.verify(connection)] == [("corrections", 1, ""), ("punches", 1200, "")]


def test_a_restored_older_backup_is_a_fork_and_told(company: str, door: Callable[..., Door]) -> None:
    a = door("A")
    ada = a.enrol("Ada", "E1", 1)
    for number in range(4):
        a.punch(ada, NOW - 100 + number)
    a.exchange()
    with a.store.transaction() as db:  # as a back-up from before the last two punches
        db.execute("DROP TRIGGER punches_no_delete")
        db.execute("DELETE FROM outbox")
        db.execute("DELETE FROM punches WHERE id > 2")
        db.execute("UPDATE sqlite_sequence SET seq = 2 WHERE name = 'punches'")
    a.punch(ada, NOW)
    a.punch(ada, NOW + 1)
    a.punch(ada, NOW + 2)
    a.exchange()
    with server.connected(company) as connection:
        assert owner.overview(connection)[0]["faults"] == [{"chain": "punches", "id": 5, "fault": "fork"}]
    a.punch(ada, NOW + 9)
    a.exchange()  # the rest goes on
    assert len(a.store.punches()) == 6


def test_a_revoked_terminal_is_out_and_keys_are_rotated(company: str, door: Callable[..., Door]) -> None:
    a, b, c = door("A"), door("B"), door("C")
    ada = a.enrol("Ada", "E1", 1)
    for one in (a, b, c):
        one.exchange()
    old = a.store.keys.of(ada)
    assert owner.revoke(company, "C") == 1
    for one in (a, b, a, b):
        one.exchange()
    assert a.store.keys.of(ada) != old and a.store.keys.of(ada) == b.store.keys.of(b.store.person("E1").id)
    for one in (a, b):
        assert np.array_equal(one.store.templates(MODEL).matrix[0], _face(1))
    with refused("fleet.login"):
        c.exchange()


def test_consent_withdrawn_at_one_door(door: Callable[..., Door]) -> None:
    a, b = door("A"), door("B")
    ada = a.enrol("Ada", "E1", 1)
    a.exchange()
    b.exchange()
    a.store.withdraw_consent(ada)
    a.exchange()
    b.exchange()
    assert len(b.store.templates(MODEL).ids) == 0 and b.names() == ["Ada"]


def test_a_cut_join_is_finished_with_the_same_file(company: str, tmp_path: Path) -> None:
    invitation = _plain(owner.invite(company, "A", "North"))
    with Store.open(tmp_path / "a.db") as store:
        membership.join(store, invitation)
        with store.transaction() as db:
            db.execute("DELETE FROM fleet")  # killed before it was noted
        again = membership.join(store, invitation)
        assert again.device and membership.read(store) == again
        with refused("fleet.joined"):
            membership.join(store, invitation)
    with Store.open(tmp_path / "other.db") as other, refused("fleet.invitation", "used already", "fleet invite"):
        membership.join(other, invitation)


def test_nothing_is_noted_without_a_fleet(tmp_path: Path) -> None:
    with Store.open(tmp_path / "alone.db") as store:
        store.add_person("Ada")
        assert store._db.execute("SELECT count(*) FROM fleet_changes").fetchone()[0] == 0
        uuid = store._db.execute("SELECT uuid FROM people").fetchone()[0]
    assert len(uuid) == 36 and uuid[14] == "4" and uuid[19] == "a"


def test_json_of_an_invitation() -> None:
    with refused("fleet.invitation"):
        owner.Invitation.from_json(json.dumps({"clockface": "other"}))
    assert time.time() > NOW - 1e9
