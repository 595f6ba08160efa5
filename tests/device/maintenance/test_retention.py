"""Retention: what is older than the policy is removed, the rest stays; the report and the audit state it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from device.config import RetentionSettings
from device.maintenance.retention import apply
from device.storage.store import PunchDraft, Store, TemplateDraft
from device.system.clock import ClockState

DAY = 86_400.0
NOW = time.time() + 400 * DAY  # everything below was stored about 400 days before


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "a.db") as store:
        for name in ("Ann", "Bob", "Cem"):
            store.add_person_with_templates(name, None, [TemplateDraft("m1", np.eye(1, 8, dtype=np.float32)[0], 0.5, bytes(500))] * 2)
        store.add_sighting(NOW - 31 * DAY, 2, 0.3)
        store.add_sighting(NOW - 29 * DAY, 1, 0.3)
        store.outbox.set_targets(["hook"], alarms=["hook"])
        for days in (31, 29):
            store.add_refusal(NOW - days * DAY, "picture", 0.1, 9)
            store.add_refusal_alarm(NOW - days * DAY, 3, "door")
        yield store


def count(store: Store, sql: str) -> int:
    with store.reading() as db:
        return int(db.execute(sql).fetchone()[0])


def test_nothing_is_removed_without_a_policy(store: Store) -> None:
    assert apply(store, RetentionSettings(), NOW) == []
    assert count(store, "SELECT count(*) FROM sightings") == 2 and count(store, "SELECT count(crop) FROM templates") == 6


def test_older_data_is_removed_and_reported(store: Store) -> None:
    assert apply(store, RetentionSettings(sightings_days=30, crops_days=365), NOW) == [
        "retention: removed 1 sightings, 1 refused attempts, 1 alarms of refused attempts, 6 enrolment crops"
    ]
    assert [count(store, f"SELECT count(*) FROM {table}") for table in ("refusals", "refusal_alarms", "outbox")] == [1, 1, 1]
    assert count(store, "SELECT count(*) FROM sightings") == 1 and len(store.templates("m1").ids) == 6 and store.kept_crops(1) == []
    assert count(store, "SELECT count(*) FROM audit WHERE action = 'retention applied'") == 1 and store.verify_chain("audit").ok
    assert apply(store, RetentionSettings(sightings_days=30, crops_days=365), NOW) == []
    assert apply(store, RetentionSettings(crops_days=500), NOW) == []


def test_templates_of_inactive_people_are_removed_some_time_after_their_last_punch(store: Store) -> None:
    store.record_punch(PunchDraft(3, NOW - 10 * DAY, "in", "kiosk", "manual", ClockState(True, "b", 1)))
    for person in (2, 3):
        store.deactivate(person)
    assert apply(store, RetentionSettings(inactive_days=90), NOW) == ["retention: removed 2 templates of inactive people"]
    with sqlite3.connect(store.path) as raw:
        assert [row[0] for row in raw.execute("SELECT DISTINCT person_id FROM templates ORDER BY 1")] == [1, 3]


def test_a_person_just_deactivated_keeps_their_templates(store: Store) -> None:
    store.deactivate(2)
    assert apply(store, RetentionSettings(inactive_days=90), time.time() + 10 * DAY) == []
