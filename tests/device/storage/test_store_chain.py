"""The hash chain: a punch cannot be changed through SQL, and if somebody forces it, the break is found."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from device.storage.audit import Action
from device.storage.hash_chain import hashed_text, texts
from device.storage.records import LastPunch
from device.storage.store import PunchDraft, Store
from device.system.clock import ClockState

TABLES = ("punches", "corrections", "audit")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Six punches, corrections and audit rows."""
    path = tmp_path / "clockface.db"
    with Store.open(path) as store:
        ann = store.add_person("Ann")
        for number in range(6):
            store.record_punch(PunchDraft(ann.id, 1000.0 + number, "in", "kiosk", "face", ClockState(False, "b", number), 0.5, None, 0.4, None, "m1"))
            store.correct(ann.id, number + 1, LastPunch(2000.0 + number, "out"), "why", "Bob")
            if number:
                store.audit("test", Action.CHAINS_VERIFIED, {"number": number})
    return path


@pytest.fixture
def raw(database: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA recursive_triggers = ON")
        yield connection


def drop_triggers(raw: sqlite3.Connection) -> None:
    for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        raw.execute(f"DROP TRIGGER {name}")


def verified(database: Path, table: str = "punches") -> tuple[bool, int | None, str]:
    with Store.open(database) as store:
        report = store.verify_chain(table)
    return report.ok, report.first_bad, report.reason


@pytest.mark.parametrize("table", TABLES)
def test_an_intact_chain(database: Path, table: str) -> None:
    with Store.open(database) as store:
        report = store.verify_chain(table)
    assert (report.ok, report.count, report.first_bad) == (True, 6, None)
    with closing(sqlite3.connect(database)) as raw:
        assert raw.execute(f"SELECT hash FROM {table} ORDER BY id DESC").fetchone() == (report.head,)


def test_the_hash_is_what_the_documentation_says(raw: sqlite3.Connection) -> None:
    raw.row_factory = sqlite3.Row
    previous = "0" * 64
    for row in map(dict, raw.execute("SELECT * FROM punches ORDER BY id")):
        written = row.pop("hash")
        text = "{" + ",".join(f"{json.dumps(key)}:{json.dumps(row[key])}" for key in sorted(row)) + "}"
        assert row["previous_hash"] == previous
        assert written == (previous := hashlib.sha256(text.encode()).hexdigest())


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE {} SET hash = 'x' WHERE id = 3",
        "DELETE FROM {} WHERE id = 6",
        "DELETE FROM {}",
        "INSERT OR REPLACE INTO {0} SELECT * FROM {0} WHERE id = 3",
        "INSERT OR REPLACE INTO {0} SELECT * FROM {0} WHERE id = 6",
    ],
)
def test_sql_cannot_change_what_was_recorded(raw: sqlite3.Connection, table: str, sql: str) -> None:
    before = raw.execute(f"SELECT * FROM {table}").fetchall()
    with pytest.raises(sqlite3.IntegrityError, match="immutable|only grow"):
        raw.execute(sql.format(table))
    assert raw.execute(f"SELECT * FROM {table}").fetchall() == before


@pytest.mark.parametrize(
    "change",
    [
        "person_id = 2",
        "occurred_at = occurred_at + 1",
        "direction = 'out'",
        "score = score + 2e-16",
        "score = 9e999",
        "lead = 0.0",
        "clock_synchronised = 1",
        "device = 'x'",
    ],
)
def test_a_changed_row_is_found(database: Path, raw: sqlite3.Connection, change: str) -> None:
    drop_triggers(raw)
    raw.execute("PRAGMA foreign_keys = OFF")
    raw.execute(f"UPDATE punches SET {change} WHERE id = 4")
    assert verified(database) == (False, 4, "punch 4 was changed after it was recorded")


@pytest.mark.parametrize(("gone", "reason"), [(1, "punch 1 is missing"), (3, "punch 3 is missing"), (6, "punch 6 is missing at the end")])
def test_a_removed_row_is_found(database: Path, raw: sqlite3.Connection, gone: int, reason: str) -> None:
    drop_triggers(raw)
    raw.execute("DELETE FROM punches WHERE id = ?", [gone])
    assert verified(database) == (False, gone, reason)


def test_a_removed_end_is_found_after_more_punches(database: Path, raw: sqlite3.Connection) -> None:
    drop_triggers(raw)
    raw.execute("DELETE FROM punches WHERE id = 6")
    with Store.open(database) as store:
        again = store.record_punch(PunchDraft(1, 5000.0, "in", "kiosk", "manual", ClockState(False, "b", 9)))
    assert again.id == 7
    assert verified(database) == (False, 6, "punch 6 is missing")


def test_two_swapped_rows_are_found(database: Path, raw: sqlite3.Connection) -> None:
    drop_triggers(raw)
    for old, new in ((2, 99), (5, 2), (99, 5)):
        raw.execute("UPDATE punches SET id = ? WHERE id = ?", [new, old])
    assert verified(database) == (False, 2, "punch 2 was changed after it was recorded")


def test_a_row_with_a_new_hash_breaks_the_next(database: Path, raw: sqlite3.Connection) -> None:
    drop_triggers(raw)
    raw.row_factory = sqlite3.Row
    row = dict(raw.execute("SELECT * FROM punches WHERE id = 3").fetchone())
    row["occurred_at"] += 3_600_000
    del row["hash"]
    digest = hashlib.sha256(json.dumps(row, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    raw.execute("UPDATE punches SET occurred_at = ?, hash = ? WHERE id = 3", [row["occurred_at"], digest])
    assert verified(database) == (False, 4, "punch 4 does not follow the one before it")


@pytest.mark.parametrize(("table", "column"), [("corrections", "reason"), ("audit", "actor")])
def test_corrections_and_audit_are_chained_as_well(database: Path, raw: sqlite3.Connection, table: str, column: str) -> None:
    drop_triggers(raw)
    raw.execute(f"UPDATE {table} SET {column} = 'x' WHERE id = 2")
    ok, first_bad, _ = verified(database, table)
    assert (ok, first_bad) == (False, 2)
    assert verified(database)[0]


VALUES = st.one_of(st.none(), st.text(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False))


@given(st.lists(VALUES, min_size=4, max_size=4))
def test_the_short_way_to_the_hashed_text_is_the_documented_one(values: list[str | int | float | None]) -> None:
    columns = ["amends", "door", "reason", "score"]  # the first two are later ones: left out where they are null
    row = dict(zip(columns, values, strict=True))
    assert texts(columns)(values) == hashed_text({**row, "hash": "0"})
    present = {key: value for key, value in row.items() if value is not None or key in ("reason", "score")}
    assert texts(columns)(values) == json.dumps(present, separators=(",", ":"), ensure_ascii=False)
