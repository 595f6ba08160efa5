"""Refused attempts are counted by time and reason, without a person or a picture; an alarm is an event for the targets that take it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils import Database

from device.storage.refusals import Refusal, Refusals
from device.storage.schema import APPLICATION_ID, MIGRATIONS, SCHEMA_VERSION
from device.storage.store import Store
from tests.device.fakes.terminal import START, punch
from tests.refused import refused


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "clockface.db") as opened:
        yield opened


def rows(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as raw:
        return raw.execute(sql).fetchall()


def test_attempts_of_a_period_are_counted_by_reason(store: Store) -> None:
    for second, reason, score, pictures in ((0, "picture", 0.01, 9), (15, "picture", 0.02, 40), (30, "not_judged", None, 0), (86_400, "picture", 0.3, 5)):
        store.add_refusal(START + second, reason, score, pictures)
    assert store.refusals() == Refusals({"not_judged": 1, "picture": 3}, Refusal(START + 86_400, "picture", 0.3, 5))
    day = store.refusals(START, START + 86_400)
    assert day == Refusals({"not_judged": 1, "picture": 2}, Refusal(START + 30, "not_judged", None, 0)) and day.total == 3
    assert store.refusals(START + 1, START + 15) == Refusals({}, None)


def test_a_row_holds_no_person_and_no_picture(store: Store) -> None:
    columns = {str(name): kind for _, name, kind, *_ in rows(store.path, "PRAGMA table_info(refusals)")}
    assert columns == {"id": "INTEGER", "occurred_at": "INTEGER", "reason": "TEXT", "score": "REAL", "pictures": "INTEGER"}


@pytest.mark.parametrize(("reason", "score", "pictures"), [("face", 0.1, 1), ("picture", float("nan"), 1), ("picture", float("inf"), 1), ("picture", 0.1, -1)])
def test_an_impossible_attempt_is_refused(store: Store, reason: str, score: float, pictures: int) -> None:
    with refused("store.refusal"):
        store.add_refusal(START, reason, score, pictures)
    assert store.refusals().total == 0


def test_an_alarm_is_queued_for_targets_that_take_it(store: Store) -> None:
    store.outbox.set_targets(["payroll", "hook", "old"], alarms=["hook", "old"])
    store.outbox.set_targets(["payroll", "hook"], alarms=["hook"])
    store.add_refusal_alarm(START, 3, "front door")
    [waiting] = store.outbox.due("hook", START, 10)
    assert store.outbox.due("payroll", START, 10) == [] == store.outbox.due("old", START, 10)
    event = waiting.event
    assert (event.kind, event.person_id, event.name, event.code, event.attempts) == ("refused_attempts", None, "", None, 3)
    assert event.columns() == {"occurred_at": "2026-11-18T11:06:40.000Z", "attempts": 3, "device": "front door"}
    with refused("store.refusal"):
        store.add_refusal_alarm(START, 0, "front door")


def test_each_alarm_has_a_key_of_its_own_even_in_another_database(store: Store, tmp_path: Path) -> None:
    keys = []
    with Store.open(tmp_path / "other.db") as other:
        for made in (store, store, other):
            made.outbox.set_targets(["hook"], alarms=["hook"])
            made.add_refusal_alarm(START, 3, "front door")
            keys.append(made.outbox.due("hook", START, 10)[-1].event.key)
    assert len(set(keys)) == 3


def test_a_target_that_takes_alarms_no_more_loses_what_waits(store: Store) -> None:
    store.outbox.set_targets(["hook"], alarms=["hook"])
    store.add_refusal_alarm(START, 3, "front door")
    store.outbox.set_targets(["hook"])
    assert store.outbox.due("hook", START, 10) == [] and store.outbox.summary()[0].waiting == 0


def test_filling_a_target_keeps_its_alarms(store: Store) -> None:
    ann = store.add_person("Ann", "E1")
    store.outbox.set_targets(["hook"], alarms=["hook"])
    store.add_refusal_alarm(START, 3, "front door")
    punch(store, ann.id, connectors=[])
    assert store.outbox.fill("hook", START - 1) == 1
    assert sorted(waiting.event.kind for waiting in store.outbox.due("hook", START, 10)) == ["punch", "refused_attempts"]


def test_an_outbox_from_before_the_alarms_keeps_its_rows_and_numbers(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    db = Database(path, execute_plugins=False)
    MIGRATIONS.apply(db, stop_before="refused_attempts_are_counted")
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION - 1}")
    db.executescript("""INSERT INTO people (id, name, code, created_at) VALUES (1, 'Ann', 'E1', 0);
        INSERT INTO targets (connector, active, failures, error) VALUES ('hr', 1, 2, 'HTTP 500');
        INSERT INTO punches VALUES (1, 1, 5000, 'in', 'door', 'pin', NULL, NULL, NULL, NULL, NULL, 1, 'boot', 1, printf('%064d', 0), 'h1');
        INSERT INTO corrections VALUES (1, 1, 1, NULL, 6000, 'in', 'late', 'Bob', 7000, printf('%064d', 0), 'h2');
        INSERT INTO outbox (id, connector, person_id, punch_id, state, queued_at, delivered_at, answer, reference)
            VALUES (7, 'hr', 1, 1, 'delivered', 5000, 5500, 'ok', 'CHECKIN-1');
        INSERT INTO outbox (id, connector, person_id, correction_id, state, queued_at, attempts, blamed) VALUES (9, 'hr', 1, 1, 'waiting', 7000, 2, 1);
        INSERT INTO outbox (id, connector, person_id, punch_id, state, queued_at) VALUES (12, 'gone', 1, 1, 'dead', 5000); DELETE FROM outbox WHERE id = 12;""")
    before = db.execute("SELECT * FROM outbox ORDER BY id").fetchall()
    columns = ", ".join(row[1] for row in db.execute("PRAGMA table_info(outbox)"))
    db.close()
    with Store.open(path) as store:
        assert rows(path, f"SELECT {columns} FROM outbox ORDER BY id") == before and len(before) == 2
        [waiting] = store.outbox.due("hr", 10.0, 10)
        assert (waiting.row_id, waiting.attempts, waiting.blamed, waiting.event.reference) == (9, 2, 1, "CHECKIN-1")
        punch(store, 1)
        assert rows(path, "SELECT max(id) FROM outbox") == [(13,)]  # a number is never given twice
        assert store.faults() == []
