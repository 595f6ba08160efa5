"""MQTT and SFTP over a connection that is cut, or stops answering, at any point of the exchange: nothing is lost, no connector hangs."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from device.config import OutboxSettings
from device.delivery.connectors import Connector, build, read_settings
from device.storage.store import Store
from tests.device.fakes.broker import PASSWORD as BROKER_PASSWORD
from tests.device.fakes.broker import USER, Broker, broker, listening, until
from tests.device.fakes.terminal import START, Clock, courier, punch
from tests.device.fakes.wire import Wire, wire

TIMEOUT = 0.6  # s
SHARES = (0.0, 0.35, 0.7, 0.95)  # of the answers of a whole exchange
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # sockets of interrupted exchanges, left to the garbage collector


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "clockface.db") as opened:
        opened.outbox.set_targets(["target"])
        opened.add_person("Ann", "E1")
        yield opened


@pytest.fixture(scope="module")
def shared_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with broker(tmp_path_factory.mktemp("broker")) as made:
        yield made


@pytest.fixture(scope="module")
def sftp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    pytest.importorskip("paramiko")
    from tests.device.fakes.sftp import serving_sftp

    with serving_sftp(tmp_path_factory.mktemp("sftp")) as made:
        yield made


def mqtt_by(made: Wire) -> Connector:
    table = {"kind": "mqtt", "host": "127.0.0.1", "port": made.port, "tls": False, "user": USER, "password": "env:BROKER", "node": "door"}
    return build(read_settings("target", {**table, "timeout_seconds": TIMEOUT}))


def sftp_by(made: Wire, server: Any, known_hosts: Path) -> Connector:
    known_hosts.write_text(server.known_hosts.read_text().replace(f":{server.port}", f":{made.port}"))
    table = {"kind": "sftp", "host": "127.0.0.1", "port": made.port, "user": "clock", "password": "env:DROP", "known_hosts": str(known_hosts)}
    return build(read_settings("target", {**table, "folder": "/in", "timezone": "UTC", "timeout_seconds": TIMEOUT}))


def drained(store: Store, connector: Connector, rounds: int = 1) -> list[str]:
    clock = Clock()
    with courier(store.path, connector, OutboxSettings(first_retry_seconds=1.0), clock) as made:
        for _ in range(rounds):
            made.drain()
            clock.now += 10
        return made.said  # type: ignore[attr-defined,no-any-return]


def through(faults: Wire, store: Store, make: Any, fault: str, share: float) -> None:
    """A whole exchange, then one that is damaged after this share of its answers, then a repaired wire; at the end nothing waits."""
    punch(store, 1, START)
    faults.damage("cut", 1_000_000)  # counts only
    drained(store, make())
    answers = faults.answered
    for number in range(1, 4):
        punch(store, 1, START + number)
    faults.hang_up()
    faults.damage(fault, round(share * answers))
    began = time.monotonic()
    drained(store, make())
    assert time.monotonic() - began < 20 * TIMEOUT  # the connector did not hang
    faults.repair()
    drained(store, make(), rounds=2)
    assert (store.outbox.summary()[0].waiting, store.outbox.dead_letters()) == (0, [])


@pytest.mark.parametrize("fault", ["cut", "deaf"])
@pytest.mark.parametrize("share", SHARES)
def test_mqtt(shared_broker: Broker, store: Store, monkeypatch: pytest.MonkeyPatch, fault: str, share: float) -> None:
    monkeypatch.setenv("BROKER", BROKER_PASSWORD)
    with wire(shared_broker.port) as faults, listening(shared_broker.port, "clockface/door/punch") as heard:
        through(faults, store, lambda: mqtt_by(faults), fault, share)
        until(lambda: len({json.loads(text)["id"] for _, text, *_ in heard}) == 4)
    order = list(dict.fromkeys(json.loads(text)["punch_id"] for _, text, *_ in heard))
    assert order == [1, 2, 3, 4]  # at least once, and first deliveries in order


@pytest.mark.parametrize("fault", ["cut", "deaf"])
@pytest.mark.parametrize("share", SHARES)
def test_sftp(sftp: Any, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, share: float) -> None:
    from tests.device.fakes.sftp import PASSWORD

    monkeypatch.setenv("DROP", PASSWORD)
    for file in sftp.folder.iterdir():
        file.unlink()
    with wire(sftp.port) as faults:
        through(faults, store, lambda: sftp_by(faults, sftp, tmp_path / "known_hosts"), fault, share)
    [file] = [path for path in sftp.folder.iterdir() if path.suffix == ".csv"]
    assert [row["punch_id"] for row in csv.DictReader(file.read_text().splitlines())] == ["1", "2", "3", "4"]  # exactly once


@pytest.mark.parametrize("broken", ["full", "forbidden"])
def test_events_wait_while_the_servers_disk_cannot_be_written(sftp: Any, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    from tests.device.fakes.sftp import PASSWORD

    monkeypatch.setenv("DROP", PASSWORD)
    for file in sftp.folder.iterdir():
        file.unlink()
    punch(store, 1, START)
    with wire(sftp.port) as whole:
        monkeypatch.setattr(sftp, "broken", broken)
        said = drained(store, sftp_by(whole, sftp, tmp_path / "known_hosts"))
        assert "cannot be written" in said[0] and store.outbox.summary()[0].waiting == 1
        assert not [path for path in sftp.folder.iterdir() if path.suffix == ".csv"]
        monkeypatch.setattr(sftp, "broken", "")
        drained(store, sftp_by(whole, sftp, tmp_path / "known_hosts"), rounds=2)
    assert store.outbox.summary()[0].waiting == 0
