"""Punches on an unset clock get their true time once it is known; jumps and zone changes are detected; nothing is changed in place."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest

from device.config import StoreSettings
from device.maintenance.clock_repair import BY, ClockWatch, Repair, left_over, zone_name
from device.storage.corrections import entries
from device.storage.records import LastPunch
from device.storage.store import PunchDraft, Store
from device.system.clock import ClockState
from tests.refused import refused

NOW = 1_800_000_000.0  # s since the epoch, once the clock is set
UP = 10_000_000  # ms since the start of the board, then
LATE = 86_400.0 * 30  # how far behind the clock was before


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "a.db") as store:
        store.add_person("Ann")
        store.outbox.set_targets(["payroll"])
        yield store


def record(store: Store, ago: float, synchronised: bool = False, boot: str = "b1", error: float = LATE) -> int:
    clock = ClockState(synchronised, boot, UP - round(ago * 1000))
    return store.record_punch(PunchDraft(1, NOW - ago - error, "in", "kiosk", "manual", clock)).id


def counting(store: Store) -> list[float]:
    with store.reading() as db:
        return [entry.occurred_at for entry in entries(db, 0.0, 1e12).get(1, [])]


def test_punches_of_this_start_get_their_true_time(store: Store) -> None:
    for ago in (3600.0, 1800.5):
        record(store, ago)
    before = store.punches()
    lines = Repair().run(store, NOW, ClockState(True, "b1", UP))
    assert lines == ["2 punches that were recorded before the clock was set got their true time as corrections"]
    assert counting(store) == pytest.approx([NOW - 3600.0, NOW - 1800.5], abs=0.002)
    assert store.punches() == before and all(store.verify_chain(table).ok for table in ("punches", "corrections", "audit"))
    with store.reading() as db:
        assert [row[0] for row in db.execute("SELECT corrected_by FROM corrections")] == [BY] * 2
        assert [row[0] for row in db.execute("SELECT action FROM audit ORDER BY id DESC LIMIT 2")] == ["punch time repaired"] * 2
    assert store.outbox.summary()[0].waiting == 4  # the connected systems get it too
    assert Repair().run(store, NOW + 60, ClockState(True, "b1", UP + 60_000)) == []  # once


def test_punches_that_are_left_alone(store: Store) -> None:
    record(store, 100.0, synchronised=True)  # the clock was right
    record(store, 200.0, boot="b0")  # another start: its true time is unknown
    record(store, 300.0, error=1.0)  # within the tolerance
    corrected = record(store, 400.0)
    store.correct(1, corrected, LastPunch(5.0, "in"), "she told us", "hr")
    assert Repair().run(store, NOW, ClockState(True, "b1", UP)) == []
    assert len(counting(store)) == 4 and 5.0 in counting(store)


def test_nothing_is_done_while_the_clock_is_not_set(store: Store) -> None:
    record(store, 100.0)
    repair = Repair()
    assert repair.run(store, NOW - LATE, ClockState(False, "b1", UP)) == []
    assert len(repair.run(store, NOW, ClockState(True, "b1", UP))) == 1
    record(store, 50.0)
    assert len(repair.run(store, NOW, ClockState(True, "b1", UP))) == 1  # the one recorded in between


def test_a_repaired_punch_decides_by_its_true_time(store: Store) -> None:
    record(store, 3600.0)
    Repair().run(store, NOW, ClockState(True, "b1", UP))
    last = store.last_punch(1)
    assert last is not None and (last.occurred_at, last.direction) == (pytest.approx(NOW - 3600.0, abs=0.002), "in")


def test_a_repair_of_a_locked_database_is_tried_again(store: Store) -> None:
    record(store, 3600.0)
    repair, clock = Repair(), ClockState(True, "b1", UP)
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other, Store.open(store.path, StoreSettings(busy_timeout_ms=100)) as impatient:
        other.execute("BEGIN IMMEDIATE")
        with refused("store.locked"):
            repair.run(impatient, NOW, clock)
        other.execute("ROLLBACK")
        assert len(repair.run(impatient, NOW, clock)) == 1
    assert counting(store) == pytest.approx([NOW - 3600.0], abs=0.002)


def test_a_clock_that_ran_free_for_weeks_is_not_made_wrong(store: Store) -> None:
    """Set once, 30 days without a server, 20 ppm fast: a time computed back over 29 days is less certain than the clock was."""
    days, drift = 86400.0, 20e-6
    elapsed = 29 * days
    clock = ClockState(False, "b1", round(1 * days * (1 + drift) * 1000))
    store.record_punch(PunchDraft(1, NOW - elapsed + 1 * days * drift, "in", "kiosk", "manual", clock))
    assert Repair().run(store, NOW, ClockState(True, "b1", round(30 * days * (1 + drift) * 1000))) == []


def test_a_locked_period_is_not_changed_and_the_punch_is_reported(store: Store) -> None:
    record(store, 3600.0)
    at = round((NOW - 3600.0 - LATE) * 1000)
    with store.transaction() as db:
        day = date.fromtimestamp(at / 1000).isoformat()
        values = [day, day, at - 1000, at + 1000, "{}", "hr", 1]
        db.execute("INSERT INTO period_locks (first_day, last_day, from_ms, until_ms, site, locked_by, locked_at) VALUES (?, ?, ?, ?, ?, ?, ?)", values)
    [line] = Repair().run(store, NOW, ClockState(True, "b1", UP))
    assert "not corrected" in line and "locked" in line and "true time 2027-01-15T07:00:00" in line


def test_jumps_and_zones() -> None:
    watch = ClockWatch()
    assert watch.look(NOW, 100.0, "Europe/Berlin") == []
    assert watch.look(NOW + 10.4, 110.0, "Europe/Berlin") == []  # a clock that is slewed to the right time
    [jump] = watch.look(NOW + 3620.4, 120.0, "Europe/Berlin")
    assert jump.action == "clock jumped" and jump.details["seconds"] == 3600.0
    [back] = watch.look(NOW + 30.4, 130.0, "Europe/Berlin")
    assert back.details["seconds"] == -3600.0
    [zone] = watch.look(NOW + 40.4, 140.0, "Asia/Tokyo")
    assert zone.details == {"was": "Europe/Berlin", "is": "Asia/Tokyo"}


def test_the_zone_is_read_from_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(os.environ, "TZ", raising=False)
    (tmp_path / "localtime").symlink_to("/usr/share/zoneinfo/Europe/Berlin")
    assert zone_name(tmp_path / "localtime") == "Europe/Berlin" and zone_name(tmp_path / "none") == "unknown"


def test_punches_whose_time_cannot_be_computed_are_listed(store: Store) -> None:
    early, other = record(store, 5000.0, boot="b0"), record(store, 4000.0, boot="b0")
    record(store, 3000.0, synchronised=True, boot="b0")
    record(store, 100.0)  # of this start: it is computed
    with store.reading() as db:
        assert left_over(db, ClockState(True, "b1", UP)) == [early, other]
        assert left_over(db, ClockState(False, "b1", UP)) == []
    store.correct(1, other, LastPunch(NOW - 4000.0, "in"), "she came at eight", "Hr")
    with store.reading() as db:
        assert left_over(db, ClockState(True, "b1", UP)) == [early]
    columns = "first_day, last_day, from_ms, until_ms, site, locked_by, locked_at"
    with store.transaction() as db:
        db.execute(f"INSERT INTO period_locks ({columns}) VALUES ('2026-12-01', '2026-12-31', 0, 9000000000000, '{{}}', 'Hr', 0)")
    with store.reading() as db:
        assert left_over(db, ClockState(True, "b1", UP)) == []
