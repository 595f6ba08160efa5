"""Small rounds of `tests.device.fleet.load`; the large ones are run by hand (docs/scale.md). And what keeps a fleet of many terminals quick."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from device.fleet import membership, server
from device.fleet.courier import FleetCourier
from tests.device.fleet import load
from tests.device.fleet.cluster import Cluster
from tests.device.fleet.test_exchange import MODEL, Door


@pytest.fixture
def door(company: str, tmp_path: Path) -> Callable[..., Door]:
    return lambda name, site="North": Door(company, tmp_path, name, site)


def test_a_week_and_a_roster(postgres: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, trial in (("week", lambda folder: load.week(postgres, folder, 300)), ("roster", lambda folder: load.roster(postgres, folder, 20, 2))):
        (tmp_path / name).mkdir()
        trial(tmp_path / name)
        assert "CPU here" in capsys.readouterr().out


def test_own_punches_go_up_while_others_keep_a_terminal_busy(company: str, door: Callable[..., Door]) -> None:
    a = door("A")
    ada = a.enrol("Ada", "E1", 1)
    with a.own(), membership.opened(a.store, a.member) as connection:
        exchange = FleetCourier(a.store, a.member)
        exchange.resume(connection)
        while exchange.round(connection):
            pass
        exchange._version, exchange._doors_alone = exchange._own(), True  # a notice of another door's punch has come, and then:
        a.punch(ada, time.time())
        began = time.monotonic()
        for _ in range(2):
            exchange._wait = lambda _: set()  # type: ignore[method-assign]
            exchange._exchange(connection)
        assert time.monotonic() - began < 5
    with server.connected(company) as connection:
        assert connection.execute("SELECT count(*) AS found FROM punches").fetchone() == {"found": 1}


def test_only_one_terminal_of_a_site_seals_at_a_time(company: str, door: Callable[..., Door]) -> None:
    a, b = door("A"), door("B")
    for seed in range(4):
        a.enrol(f"Person {seed}", f"E{seed}", seed)
    a.exchange()
    b.exchange()
    c = door("C")
    with membership.opened(a.store, a.member) as first, membership.opened(b.store, b.member) as second, first.transaction():
        asked = "SELECT * FROM missing_keys('0', 10)"
        assert len(first.execute(asked).fetchall()) == 4
        with second.transaction():
            assert [row["person"] for row in second.execute(asked).fetchall()] == [None]  # ask again
    b.exchange()
    c.exchange()
    assert len(c.store.templates(MODEL).ids) == 4
    with membership.opened(a.store, a.member) as connection:
        row = connection.execute("SELECT pg_snapshot_xmin(pg_current_snapshot()) AS now").fetchone()
        assert row is not None
        assert connection.execute("SELECT * FROM missing_keys(%s::xid8, 10)", [row["now"]]).fetchall() == []


def test_only_the_keys_that_are_asked_for_are_opened(door: Callable[..., Door]) -> None:
    a = door("A")
    ids = [a.enrol(f"Person {seed}", f"E{seed}", seed) for seed in range(3)]
    assert a.store.keys.of_each(ids[:1]).keys() == set(ids[:1]) and a.store.keys.waiting() == {}
    a.store.keys.keep({-ids[2]: b"k" * 32})
    assert a.store.keys.waiting() == {ids[2]: b"k" * 32}
