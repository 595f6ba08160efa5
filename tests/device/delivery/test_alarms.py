"""Alarms of refused attempts: delivered to the kinds that take them, unknown to all others, whose punches go on."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from device.config import OutboxSettings
from device.config.loader import load
from device.delivery.connectors import KINDS, _module, build, configured, read_settings, takes_alarms
from device.delivery.couriers import delivering, drain
from device.delivery.outcomes import Failed, Outcome
from device.storage.events import Event
from device.storage.store import Store
from tests.device.delivery.scripted import Scripted
from tests.device.fakes.site import serving, status
from tests.device.fakes.terminal import START, Clock, courier, punch
from tests.device.fakes.webhook import Receiver


class TakesAlarms(Scripted):
    takes_alarms: ClassVar[bool] = True


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with serving(Receiver()) as made:
        yield made


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOOK_KEY", "whsec_" + base64.b64encode(bytes(range(32))).decode())
    path = tmp_path / "clockface.db"
    with Store.open(path) as store:
        store.add_person("Ann", "E1")
    return path


@pytest.mark.parametrize("works", [True, False])
def test_what_a_recording_gave_is_delivered_before_the_end_or_told(receiver: Receiver, database: Path, tmp_path: Path, works: bool) -> None:
    """As `run --once` does it."""
    (tmp_path / "clockface.toml").write_text(f'[connectors.hook]\nkind = "webhook"\nurl = "{receiver.url}"\nsecret = "env:HOOK_KEY"\n')
    receiver.always = None if works else status(503, b"closed")
    said: list[str] = []
    with delivering(database, load(tmp_path / "clockface.toml"), said.append, finish=True), Store.open(database) as store:
        for number in range(20):
            punch(store, 1, START + number)
    assert len(receiver.events) == (20 if works else 0)
    waits = [text for text in said if "20 events wait (HTTP 503: closed); the next start or `outbox drain` delivers them" in text]
    assert len(waits) == (0 if works else 1)


def test_webhook_and_mqtt_take_alarms_and_no_other_kind() -> None:
    assert {kind for kind in KINDS if _module(kind).Target.takes_alarms} == {"webhook", "mqtt"}


def test_a_webhook_gets_when_where_and_how_often(receiver: Receiver, database: Path) -> None:
    hook = build(read_settings("hook", {"kind": "webhook", "url": receiver.url, "secret": "env:HOOK_KEY"}))
    with courier(database, hook) as made:
        made.store.add_refusal_alarm(START, 3, "front door")
        assert made.drain() == 1
    [request] = receiver.requests
    body: dict[str, Any] = dict(request.json)
    key = body.pop("id")
    assert key == request.headers["webhook-id"]
    assert body == {"event": "refused_attempts", "occurred_at": "2026-11-18T11:06:40.000Z", "attempts": 3, "device": "front door"}


def test_a_target_that_takes_none_is_neither_blocked_nor_blamed(receiver: Receiver, database: Path, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    config = tmp_path / "clockface.toml"
    config.write_text(
        f"""[connectors.files]\nkind = "csv"\nfolder = "{tmp_path / "files"}"\ntimezone = "Europe/Berlin"
[connectors.hook]\nkind = "webhook"\nurl = "{receiver.url}"\nsecret = "env:HOOK_KEY"\n"""
    )
    settings = load(config)
    assert {target.name: takes_alarms(target) for target in configured(settings)} == {"files": False, "hook": True}
    drain(database, settings)
    with Store.open(database) as store:
        store.add_refusal_alarm(START, 3, "front door")
        punch(store, 1, START + 1)
    assert drain(database, settings) == {"files": 1, "hook": 2}
    with Store.open(database) as store:
        assert [(target.waiting, target.dead, target.error) for target in store.outbox.summary()] == [(0, 0, None)] * 2
    [file] = (tmp_path / "files").glob("*.csv")
    assert "refused" not in file.read_text() and len(file.read_text().splitlines()) == 2
    assert sorted(request.json["event"] for request in receiver.requests) == ["punch", "refused_attempts"]  # sent side by side


def test_alarms_wait_for_each_other_and_hold_back_no_person(database: Path) -> None:
    clock, target = Clock(), TakesAlarms()
    refuse: list[str] = ["refused_attempts"]

    def rule(event: Event) -> Outcome:
        return Failed("HTTP 500") if event.kind in refuse else original(event)

    original, target.rule = target.rule, rule
    with courier(database, target, OutboxSettings(first_retry_seconds=10.0, attempts=3), clock) as made:
        for second in (0, 60):
            made.store.add_refusal_alarm(START + second, 3, "door")
        punch(made.store, 1, START + 61)
        made.drain()
        assert sorted((event.kind, event.id) for event in target.sent) == [("punch", 1), ("refused_attempts", 1)]
        refuse.clear()
        clock.now += 11
        assert made.drain() == 2
        assert [(event.kind, event.id) for event in target.sent[2:]] == [("refused_attempts", 1), ("refused_attempts", 2)]


def test_a_refused_alarm_is_a_dead_letter_of_nobody(database: Path) -> None:
    clock, target = Clock(), TakesAlarms()
    target.rule = lambda event: Failed("HTTP 500") if event.kind == "refused_attempts" else Scripted().rule(event)
    with courier(database, target, OutboxSettings(first_retry_seconds=1.0, attempts=2), clock) as made:
        made.store.add_refusal_alarm(START, 3, "door")
        for number in range(4):
            punch(made.store, 1, START + number)
            made.drain()
            clock.now += 30
        [letter] = made.store.outbox.dead_letters()
        assert (letter.kind, letter.person_id, letter.code, letter.direction) == ("refused_attempts", None, None, None)
        target.rule = Scripted().rule
        assert made.store.outbox.replay() == 1 and made.drain() == 1
