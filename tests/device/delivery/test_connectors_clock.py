"""Two clocks that disagree, for every kind of target: times sent by a board with a wrong clock are corrected once its clock is set."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from device.config import OutboxSettings
from device.delivery.connectors import build, read_settings
from device.maintenance.clock_repair import Repair
from device.storage.store import PunchDraft, Store
from device.system.clock import ClockState
from tests.device.fakes import site
from tests.device.fakes.adms import Adms
from tests.device.fakes.broker import PASSWORD as BROKER_PASSWORD
from tests.device.fakes.broker import USER, broker, listening, until
from tests.device.fakes.erpnext import ErpNext
from tests.device.fakes.odoo import API_KEY, DATABASE, LOGIN, Odoo
from tests.device.fakes.sftp import PASSWORD as SFTP_PASSWORD
from tests.device.fakes.sftp import serving_sftp
from tests.device.fakes.site import StandIn, serving
from tests.device.fakes.terminal import Clock, courier

HTTP = ("webhook", "erpnext", "odoo", "zkteco")
KINDS = (*HTTP, "mqtt", "csv", "sftp")
MONTH = 30 * 86_400.0
STAYS = [("in", "2026-11-23T07:00:00"), ("out", "2026-11-23T16:00:00"), ("in", "2026-11-24T07:00:00"), ("out", "2026-11-24T16:00:00")]
NOW, UP_MS = datetime.fromisoformat("2026-11-25T12:00:00+00:00").timestamp(), 10_000_000_000


@dataclass
class Place:
    """A target of some kind: its settings, and how its content is read."""

    table: dict[str, Any]
    stand_in: Any

    def times(self) -> list[tuple[str, str]]:
        """Direction and UTC time of each punch as the target now has it, in order."""
        if isinstance(self.stand_in, ErpNext):
            return sorted(((row["log_type"].lower(), row["time"].replace(" ", "T")) for row in self.stand_in.checkins.values()), key=lambda pair: pair[1])
        if isinstance(self.stand_in, Odoo):
            return [(way, at.replace(" ", "T")) for _, *stay in self.stand_in.stays() for way, at in zip(("in", "out"), stay, strict=True)]
        events = self.events()
        amended = {event["punch_id"]: event for event in events if event["id"].startswith("correction")}
        punches = [event for event in events if event["id"].startswith("punch")]
        assert all(event["clock_synchronised"] in (False, "False", "0") for event in punches)
        kept = [amended.get(event["punch_id"], event) for event in punches]
        return sorted(((event["direction"], event["occurred_at"][:19].replace(" ", "T")) for event in kept), key=lambda pair: pair[1])

    def events(self) -> list[dict[str, Any]]:
        if isinstance(self.stand_in, StandIn):
            return [request.json for request in self.stand_in.requests]
        if isinstance(self.stand_in, Path):
            return [row for file in sorted(self.stand_in.iterdir()) for row in csv.DictReader(file.read_text(encoding="utf-8").splitlines())]
        return [json.loads(text) for topic, text, *_ in self.stand_in if topic.endswith(("/punch", "/correction"))]


@contextmanager
def target(kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    secrets = {"HOOK": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "ERP_KEY": "key-of-the-api", "ERP_SECRET": "secret-of-the-api"}
    for name, value in {**secrets, "ODOO_KEY": API_KEY, "MQTT_PASSWORD": BROKER_PASSWORD, "SFTP_PASSWORD": SFTP_PASSWORD}.items():
        monkeypatch.setenv(name, value)
    more: dict[str, Any] = {
        "webhook": {"secret": "env:HOOK"},
        "erpnext": {"api_key": "env:ERP_KEY", "api_secret": "env:ERP_SECRET", "timezone": "UTC"},
        "odoo": {"database": DATABASE, "login": LOGIN, "api_key": "env:ODOO_KEY"},
        "zkteco": {"serial": "CLKF0001", "timezone": "UTC"},
    }
    if kind in HTTP:
        with serving({"webhook": StandIn, "erpnext": ErpNext, "odoo": Odoo, "zkteco": Adms}[kind]()) as stand_in:
            yield Place({"url": stand_in.url, "timeout_seconds": 2.0, **more[kind]}, stand_in)
    elif kind == "mqtt":
        with broker(folder) as made, listening(made.port, "clockface/door/#") as heard:
            yield Place({"host": "127.0.0.1", "port": made.port, "tls": False, "user": USER, "password": "env:MQTT_PASSWORD", "node": "door"}, heard)
    elif kind == "csv":
        yield Place({"folder": str(folder), "timezone": "UTC"}, folder)
    else:
        pytest.importorskip("paramiko")
        with serving_sftp(folder) as server:
            access = {"host": "127.0.0.1", "port": server.port, "user": "clock", "password": "env:SFTP_PASSWORD", "known_hosts": str(server.known_hosts)}
            yield Place({**access, "folder": "/in", "timezone": "UTC", "timeout_seconds": 2.0}, server.folder)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "clockface.db") as opened:
        opened.outbox.set_targets(["target"])
        opened.add_person("Ann", "E1")
        yield opened


def record(store: Store, error: float) -> None:
    """Two days of one person on a clock that is wrong by `error` seconds."""
    for direction, at in STAYS:
        true = datetime.fromisoformat(at + "+00:00").timestamp()
        clock = ClockState(False, "boot", UP_MS - round((NOW - true) * 1000))
        store.record_punch(PunchDraft(1, true + error, direction, "front door", "face", clock, 0.61, 0.33, 0.42, None, "m1"))  # type: ignore[arg-type]


def drained(store: Store, kind: str, place: Place, now: float) -> list[str]:
    clock = Clock(now)
    with courier(store.path, build(read_settings("target", {"kind": kind, **place.table})), OutboxSettings(first_retry_seconds=1.0), clock) as made:
        for _ in range(3):
            made.drain()
            clock.now += 10
        return made.said  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize("error", [-MONTH, MONTH, -3600.0], ids=["a month behind", "a month ahead", "an hour behind"])
@pytest.mark.parametrize("kind", KINDS)
def test_times_of_a_wrong_clock_are_corrected_at_the_target(kind: str, error: float, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "place"
    folder.mkdir()
    with target(kind, folder, monkeypatch) as place:
        record(store, error)
        drained(store, kind, place, NOW + error)
        Repair().run(store, NOW, ClockState(True, "boot", UP_MS))
        drained(store, kind, place, NOW)
        assert store.outbox.summary()[0].waiting == 0
        letters = [str(letter.answer) for letter in store.outbox.dead_letters()]
        if kind == "zkteco":  # its records cannot be changed: one dead letter per correction
            assert len(letters) == len(STAYS) == len(place.stand_in.records) and all("correct it on the server by hand" in letter for letter in letters)
            return
        assert letters == []
        if kind == "mqtt":
            until(lambda: len(place.events()) == 2 * len(STAYS))
        assert place.times() == STAYS


@pytest.mark.parametrize("skew", [-MONTH, MONTH], ids=["the target is behind", "the target is ahead"])
@pytest.mark.parametrize("kind", HTTP)
def test_a_target_with_a_wrong_clock_is_tried_again_in_time(kind: str, skew: float, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with target(kind, tmp_path, monkeypatch) as place:
        record(store, 0.0)
        place.stand_in.faults.append(site.busy_until_date(5.0, skew))
        drained(store, kind, place, NOW)
        assert (store.outbox.summary()[0].waiting, store.outbox.dead_letters()) == (0, [])
