"""Punches removed by policy: what is kept, what the chain still proves, and which forgeries it detects."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from device.attendance.review import Desk
from device.config import RetentionSettings
from device.maintenance import retention
from device.maintenance.retention import apply, remove_punches
from device.storage.corrections import CorrectionDraft
from device.storage.records import LastPunch
from device.storage.store import PunchDraft, Store
from device.system.clock import ClockState

DAY = 86_400.0
NOW = 1_800_000_000.0
CLOCK = ClockState(True, "boot", 1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "a.db") as store:
        for name in ("Ann", "Bob", "Cem"):
            store.add_person(name)
        yield store


def punch(store: Store, person: int, days_ago: float) -> int:
    return store.record_punch(PunchDraft(person, NOW - days_ago * DAY, "in", "kiosk", "manual", CLOCK)).id


def whole(store: Store) -> bool:
    return all(store.verify_chain(table).ok for table in ("punches", "corrections", "audit"))


def rows(store: Store, sql: str) -> list[Any]:
    with store.reading() as db:
        return [row[0] if len(row) == 1 else tuple(row) for row in db.execute(sql).fetchall()]


def test_older_punches_are_removed_and_the_chain_stays_intact(store: Store) -> None:
    old = [punch(store, 1, 800 - number) for number in range(5)]
    kept = [punch(store, 2, days) for days in (700, 30, 1)]
    before = store.verify_chain()
    assert apply(store, RetentionSettings(punches_days=750), NOW) == ["retention: removed 5 punches"]
    report = store.verify_chain()
    assert (report.ok, report.count, report.removed, report.head) == (True, 3, 5, before.head) and whole(store)
    assert rows(store, "SELECT id FROM punches") == kept and rows(store, "SELECT id FROM removals ORDER BY id") == old
    assert rows(store, "SELECT json_extract(details, '$.punches') FROM audit WHERE action = 'punches removed'") == [5]
    assert apply(store, RetentionSettings(punches_days=750), NOW) == []
    punch(store, 3, 0)
    assert whole(store)


def test_punches_of_erased_people_are_removed_by_policy_only(store: Store) -> None:
    for days in (3, 2, 1):
        punch(store, 1, days), punch(store, 2, days)
    store.erase(1)
    assert apply(store, RetentionSettings(), NOW) == [] and store.verify_chain().count == 6
    assert apply(store, RetentionSettings(erased_punches="remove"), NOW) == ["retention: removed 3 punches"]
    assert rows(store, "SELECT DISTINCT person_id FROM punches") == [2] and whole(store)


def test_the_newest_row_waits_for_another(store: Store) -> None:
    punch(store, 2, 2), punch(store, 1, 1)
    store.erase(1)
    policy = RetentionSettings(erased_punches="remove")
    assert apply(store, policy, NOW) == []
    punch(store, 2, 0)
    assert apply(store, policy, NOW) == ["retention: removed 1 punch"] and whole(store)


def test_punches_that_a_connected_system_has_not_got_yet_stay(store: Store) -> None:
    store.outbox.set_targets(["payroll"])
    punch(store, 1, 900), punch(store, 1, 1)
    assert apply(store, RetentionSettings(punches_days=750), NOW) == []
    with store.transaction() as db:
        db.execute("UPDATE outbox SET state = 'delivered', delivered_at = 1")
    assert apply(store, RetentionSettings(punches_days=750), NOW) == ["retention: removed 1 punch"]
    assert rows(store, "SELECT punch_id FROM outbox") == [2]


def test_a_system_that_is_not_connected_any_more_holds_nothing_back(store: Store) -> None:
    store.outbox.set_targets(["payroll"])
    punch(store, 1, 900), punch(store, 1, 1)
    store.outbox.set_targets(["wages"])
    assert apply(store, RetentionSettings(punches_days=750), NOW) == ["retention: removed 1 punch"]
    assert rows(store, "SELECT punch_id FROM outbox") == [2]


def test_corrections_and_requests_are_removed_with_their_punch(store: Store) -> None:
    first, moved = punch(store, 1, 900), punch(store, 1, 890)
    desk = Desk(store, NOW)
    store.correct(1, first, LastPunch(NOW - 899 * DAY, "out"), "wrong button", "Hr")
    store.correct(1, moved, LastPunch(NOW - 3 * DAY, "in"), "the clock was not set", "Hr")  # counts on a day that is kept
    added = store.correct(1, None, LastPunch(NOW - 880 * DAY, "in"), "forgotten", "Hr")
    request = desk.request(CorrectionDraft(1, first, None, None, "was not me"), "person:1")
    desk.decide(request.id, True, "Hr")
    refused = desk.request(CorrectionDraft(1, None, None, LastPunch(NOW - 870 * DAY, "in"), "me too"), "person:1")
    desk.decide(refused.id, False, "Hr")
    last = punch(store, 2, 1)
    store.correct(2, last, LastPunch(NOW - 2 * DAY, "in"), "slow", "Hr")
    assert apply(store, RetentionSettings(punches_days=750), NOW) == ["retention: removed 2 punches"]  # `first`, and the added one
    assert rows(store, "SELECT id FROM punches") == [moved, last]
    assert rows(store, "SELECT punch_id FROM corrections ORDER BY id") == [moved, last] and added
    assert rows(store, "SELECT count(*) FROM correction_requests") == rows(store, "SELECT count(*) FROM correction_decisions") == [0]
    assert whole(store)


def test_removal_works_in_batches_and_in_a_locked_period(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(50):
        punch(store, 1 + number % 3, 900 - number)
    punch(store, 1, 0)
    Desk(store, NOW).lock(date(2024, 1, 1), date(2024, 12, 31), "Hr")
    for name in ("RECORDED", "ADDED"):
        monkeypatch.setattr(retention, name, getattr(retention, name).replace("LIMIT 2000", "LIMIT 7"))
    assert remove_punches(store, round((NOW - 750 * DAY) * 1000), False) == 50
    assert len(rows(store, "SELECT id FROM audit WHERE action = 'punches removed'")) == 8 and whole(store)


@pytest.mark.parametrize("seed", range(5))
def test_the_chain_of_any_history_stays_intact(store: Store, seed: int) -> None:
    """Compared with a simple independent computation of what must stay."""
    dice = random.Random(seed)
    times: dict[int, tuple[int, list[float]]] = {}  # punch -> person, all its times
    for _ in range(60):
        if times and dice.random() < 0.4:
            number = dice.choice(list(times))
            person, all_times = times[number]
            at = NOW - dice.randrange(1000) * DAY
            store.correct(person, number, LastPunch(at, "out"), "test", "Hr")
            times[number] = (person, [*all_times, at])
        else:
            person, days = dice.randrange(1, 4), dice.randrange(1000)
            times[punch(store, person, days)] = (person, [NOW - days * DAY])
    store.erase(2)
    newest, [corrected] = max(times), rows(store, "SELECT punch_id FROM corrections ORDER BY id DESC LIMIT 1")
    apply(store, RetentionSettings(punches_days=500, erased_punches="remove"), NOW)
    limit = NOW - 500 * DAY
    expected = [number for number, (person, at) in times.items() if number in (newest, corrected) or person != 2 and max(at) >= limit]
    assert rows(store, "SELECT id FROM punches ORDER BY id") == sorted(expected)
    assert {row for row in rows(store, "SELECT punch_id FROM corrections")} <= set(expected) and whole(store)


# forgeries that the chain detects


@pytest.mark.parametrize("forged", ["a removal that nobody audited", "another punch in an audited batch", "a batch with one less"])
def test_a_removal_that_the_audit_does_not_prove_is_found(store: Store, forged: str) -> None:
    for days in (900, 890, 880, 1, 0):
        punch(store, 1, days)
    apply(store, RetentionSettings(punches_days=750), NOW)
    assert whole(store)
    with store.transaction() as db:  # an attacker who can write to the file
        db.execute("DROP TRIGGER removals_no_delete"), db.execute("DROP TRIGGER punches_no_delete")
        audit_id = db.execute("SELECT audit_id FROM removals").fetchone()[0]
        if forged == "a batch with one less":
            db.execute("DELETE FROM removals WHERE id = 2")
        else:
            into = audit_id if forged == "another punch in an audited batch" else 1
            db.execute("INSERT INTO removals SELECT 'punches', id, previous_hash, hash, ? FROM punches WHERE id = 4", [into])
            db.execute("DELETE FROM punches WHERE id = 4")
    report = store.verify_chain()
    assert not report.ok and report.first_bad in (1, 2, 4)


def test_what_the_fleet_does_not_have_yet_stays(store: Store) -> None:
    for days in (900, 850, 800, 10):
        punch(store, 1, days)
    store.correct(1, 2, LastPunch(NOW - 849 * DAY, "out"), "forgot", "hr")
    store.correct(1, 4, None, "pressed twice", "hr")
    with store.transaction() as db:
        db.execute("INSERT INTO fleet VALUES ('membership', '{\"kind\": \"terminal\"}'), ('sent.punches', '2')")
    apply(store, RetentionSettings(punches_days=750), NOW)
    assert rows(store, "SELECT id FROM punches") == [2, 3, 4] and whole(store)  # punch 2 has a correction that was not sent
    with store.transaction() as db:
        db.execute("INSERT INTO fleet VALUES ('sent.corrections', '2')")
        db.execute("UPDATE fleet SET value = '4' WHERE key = 'sent.punches'")
    apply(store, RetentionSettings(punches_days=750), NOW)
    assert rows(store, "SELECT id FROM punches") == [4] and whole(store)
