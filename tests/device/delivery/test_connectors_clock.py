"""Two clocks that disagree, for every kind of target: times sent by a board with a wrong clock are corrected once its clock is set."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from device.config import OutboxSettings
from device.maintenance.clock_repair import Repair
from device.storage.store import PunchDraft, Store
from device.system.clock import ClockState
from tests.device.fakes import site
from tests.device.fakes.broker import until
from tests.device.fakes.places import HTTP, KINDS, Place, place
from tests.device.fakes.terminal import Clock, courier

MONTH = 30 * 86_400.0
STAYS = [("in", "2026-11-23T07:00:00"), ("out", "2026-11-23T16:00:00"), ("in", "2026-11-24T07:00:00"), ("out", "2026-11-24T16:00:00")]
NOW, UP_MS = datetime.fromisoformat("2026-11-25T12:00:00+00:00").timestamp(), 10_000_000_000


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


def drained(store: Store, target: Place, now: float) -> list[str]:
    clock = Clock(now)
    with courier(store.path, target.connector(), OutboxSettings(first_retry_seconds=1.0), clock) as made:
        for _ in range(3):
            made.drain()
            clock.now += 10
        return made.said  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize("error", [-MONTH, MONTH, -3600.0], ids=["a month behind", "a month ahead", "an hour behind"])
@pytest.mark.parametrize("kind", KINDS)
def test_times_of_a_wrong_clock_are_corrected_at_the_target(kind: str, error: float, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "place"
    folder.mkdir()
    with place(kind, folder, monkeypatch) as target:
        record(store, error)
        drained(store, target, NOW + error)
        Repair().run(store, NOW, ClockState(True, "boot", UP_MS))
        drained(store, target, NOW)
        assert store.outbox.summary()[0].waiting == 0
        letters = [str(letter.answer) for letter in store.outbox.dead_letters()]
        if kind == "zkteco":  # its records cannot be changed: one dead letter per correction
            assert len(letters) == len(STAYS) == len(target.stand_in.records) and all("correct it on the server by hand" in letter for letter in letters)
            return
        assert letters == []
        if kind == "mqtt":
            until(lambda: len(target.events()) == 2 * len(STAYS))
        if kind in ("webhook", "mqtt", "csv", "sftp"):
            punches = [event for event in target.events() if event["id"].startswith("punch")]
            assert all(event["clock_synchronised"] in (False, "False", "0") for event in punches)
        assert sorted(((way, at) for _, way, at in target.has()), key=lambda pair: pair[1]) == STAYS


@pytest.mark.parametrize("skew", [-MONTH, MONTH], ids=["the target is behind", "the target is ahead"])
@pytest.mark.parametrize("kind", HTTP)
def test_a_target_with_a_wrong_clock_is_tried_again_in_time(kind: str, skew: float, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with place(kind, tmp_path, monkeypatch) as target:
        record(store, 0.0)
        target.stand_in.faults.append(site.busy_until_date(5.0, skew))
        drained(store, target, NOW)
        assert (store.outbox.summary()[0].waiting, store.outbox.dead_letters()) == (0, [])
