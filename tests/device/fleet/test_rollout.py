"""Releases by rings: the next ring waits for the one before, and all of it halts where a device is worse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from psycopg.types.json import Jsonb

from device.__main__ import main
from device.fleet import membership, rollout, server
from tests.device.fleet.test_exchange import Door, door
from tests.refused import refused

__all__ = ["door"]  # a fixture
RELEASE, OLD = "0.2.0-3f1c5a8e90ab", "0.1.0-aaaaaaaaaaaa"


def report(one: Door, version: str, camera: str = "ok", inbox: Path | None = None) -> list[str]:
    """As a running terminal reports itself, and fetches; returns the bundles in its inbox."""
    place = inbox or one.folder / "inbox"
    place.mkdir(exist_ok=True)
    with membership.opened(one.store, one.member) as connection:
        connection.execute("SELECT report(%s)", [Jsonb({"version": version, "camera": camera, "waiting": 0})])
        thread = rollout.receive(one.store, connection, version, print, place)
    if thread:
        thread.join()
    return [file.name for file in place.iterdir()]


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    file = tmp_path / "next.bundle"
    file.write_bytes(b"signed")
    return file.as_uri()


def advance(company: str, url: str, ring: str) -> list[tuple[str, bool, str | None]]:
    with server.connected(company) as connection:
        return [(row["device"], row["done"], row["worse"]) for row in rollout.advance(connection, RELEASE, url, ring)]


def test_a_ring_waits_for_the_one_before(company: str, door: Callable[..., Door], bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = door("A"), door("B")
    for one in (b, a):
        assert report(one, OLD) == []
    assert advance(company, bundle, "one") == [("A", False, None)]
    assert report(b, OLD) == [] and report(a, OLD) == [f"{RELEASE}.bundle"]
    assert (a.folder / "inbox" / f"{RELEASE}.bundle").read_bytes() == b"signed"
    with refused("fleet.rollout", "A"):
        advance(company, "", "all")
    assert report(a, RELEASE) and advance(company, "", "all") == [("A", True, None), ("B", False, None)]
    assert report(b, OLD) == [f"{RELEASE}.bundle"]
    assert main(["fleet", "rollout", RELEASE, "--url", company]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == ["A: runs it", "B: asked"]


def test_it_halts_where_a_device_is_worse(company: str, door: Callable[..., Door], bundle: str) -> None:
    a, b = door("A"), door("B")
    for one in (a, b):
        report(one, OLD)
    advance(company, bundle, "all")
    report(a, RELEASE, camera="lost")
    assert report(b, OLD) == []  # asked, and not any more
    with refused("fleet.rollout", "A: camera: lost"):
        advance(company, "", "all")
    report(a, RELEASE)
    assert report(b, OLD) == [f"{RELEASE}.bundle"]
    with server.connected(company) as connection:
        connection.execute("UPDATE devices SET last_seen = now() - interval '11 minutes' WHERE name = 'B'")
        assert [row["worse"] for row in rollout.states(connection, RELEASE)] == [None, "did not come back"]


def test_a_bundle_that_is_not_there_is_told(company: str, door: Callable[..., Door], capsys: pytest.CaptureFixture[str]) -> None:
    a = door("A")
    report(a, OLD)
    with refused("fleet.rollout"):
        advance(company, "", "one")
    advance(company, "file:///no/such/file.bundle", "one")
    assert report(a, OLD) == [] and "cannot be fetched" in capsys.readouterr().out
