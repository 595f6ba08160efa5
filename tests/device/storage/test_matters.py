"""Open matters: begun, lasting and over; a machine that comes and goes is one matter; erased with the person."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlite_utils import Database

from device.storage.matters import CALM_SECONDS, KINDS, SETTLED_SECONDS, FoundMatter, calm_seconds, count_open, note, open_matters
from device.storage.schema import APPLICATION_ID, MIGRATIONS
from device.storage.store import Store

START = 1_795_000_000.0
CAMERA = FoundMatter("camera", "camera", details={"state": "lost"})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "clockface.db") as opened:
        yield opened


def look(store: Store, at: float, *found: FoundMatter, kinds: tuple[str, ...] = tuple(KINDS)) -> None:
    with store.transaction() as db:
        note(db, kinds, found, int(at * 1000))


def rows(store: Store) -> list[tuple[object, ...]]:
    with store.reading() as db:
        return [tuple(row) for row in db.execute("SELECT key, open_at IS NOT NULL, gone_at IS NOT NULL, over_at / 1000.0 FROM matters ORDER BY id")]


def test_a_matter_of_the_machine_counts_once_it_lasts(store: Store) -> None:
    look(store, START, CAMERA)
    assert rows(store) == [("camera", 0, 0, None)]
    look(store, START + SETTLED_SECONDS - 1, CAMERA)
    assert rows(store) == [("camera", 0, 0, None)]
    look(store, START + SETTLED_SECONDS, CAMERA)
    assert rows(store) == [("camera", 1, 0, None)]
    with store.reading() as db:
        [matter] = open_matters(db, ["camera"])
        assert (matter.since, matter.details, matter.page) == (START, {"state": "lost"}, "/health") and count_open(db, ["camera"]) == 1


def test_it_is_over_when_it_stayed_away_and_ended_when_it_went(store: Store) -> None:
    for at in (0, SETTLED_SECONDS):
        look(store, START + at, CAMERA)
    look(store, START + 200)
    with store.reading() as db:
        assert count_open(db, list(KINDS)) == 0, "what is not there now is not counted"
    look(store, START + 200 + CALM_SECONDS - 1)
    assert rows(store) == [("camera", 1, 1, None)]
    look(store, START + 200 + CALM_SECONDS)
    assert rows(store) == [("camera", 1, 1, START + 200)]


def test_what_never_lasted_leaves_nothing(store: Store) -> None:
    look(store, START, CAMERA)
    look(store, START + 60)
    look(store, START + 60 + CALM_SECONDS)
    assert rows(store) == []


def test_a_kind_that_was_not_looked_at_stays(store: Store) -> None:
    look(store, START, FoundMatter("request", "request:1", details={"number": 1}))
    look(store, START + 5000, kinds=("camera",))
    assert rows(store) == [("request:1", 1, 0, None)]
    look(store, START + 5001, kinds=("request",))
    assert rows(store) == [("request:1", 1, 1, START + 5001)], "one about people is over at once"


def test_nothing_is_written_where_nothing_changes(store: Store) -> None:
    for at in (0, SETTLED_SECONDS, 300):
        look(store, START + at, CAMERA)
    with store.reading() as db:
        before = db.conn.total_changes
    look(store, START + 360, CAMERA)
    with store.reading() as db:
        assert db.conn.total_changes == before


def test_a_clock_set_back_does_not_keep_it_open_for_years(store: Store) -> None:
    for at in (0, SETTLED_SECONDS):
        look(store, START + 3e8 + at, CAMERA)
    look(store, START + 3e8 + 200)
    look(store, START)
    look(store, START + CALM_SECONDS)
    assert rows(store) == [("camera", 1, 1, START)]


@pytest.mark.parametrize("seed", range(4))
def test_a_machine_that_comes_and_goes_all_day_is_few_matters(store: Store, seed: int) -> None:
    """However it flaps: what is begun and over within a day is bounded, for each length of what it does."""
    chance, at, there = random.Random(seed), 0.0, False
    longest = (120.0, 900.0, 2400.0, 7200.0)[seed]
    while at < 86_400:
        until = at + chance.uniform(60, longest)
        there = not there
        while at < until:
            look(store, START + at, *([CAMERA] if there else []))
            at += 60
    assert len(rows(store)) <= 5


def test_calm_grows_and_has_an_end() -> None:
    assert [calm_seconds(number) / 60 for number in (0, 1, 2, 3, 4, 50)] == [15, 60, 240, 960, 1440, 1440]


def test_what_is_about_a_person_goes_with_the_person(store: Store) -> None:
    person = store.add_person("Ann", "E1")
    look(store, START, FoundMatter("missed", "missed:1:2026-11-17", person.id, {"day": "2026-11-17", "faults": ["missing out"]}), CAMERA)
    store.erase(person.id)
    assert [row[0] for row in rows(store)] == ["camera"]


def test_an_outbox_from_before_the_notices_keeps_its_rows_and_numbers(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    db = Database(path, execute_plugins=False)
    MIGRATIONS.apply(db, stop_before="tell_of_open_matters")
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute("PRAGMA user_version = 1")
    db.executescript("""INSERT INTO people (id, uuid, name, code, created_at) VALUES (1, 'u1', 'Ann', 'E1', 0);
        INSERT INTO targets (connector, active, failures, error, takes_alarms) VALUES ('hr', 1, 2, 'HTTP 500', 1);
        INSERT INTO refusal_alarms VALUES (3, 5000, 4, 'door', 'k');
        INSERT INTO outbox (id, connector, alarm_id, state, queued_at, answer, reference) VALUES (7, 'hr', 3, 'delivered', 5000, 'ok', 'R-1');
        INSERT INTO outbox (id, connector, alarm_id, state, queued_at) VALUES (12, 'gone', 3, 'dead', 5000); DELETE FROM outbox WHERE id = 12;""")
    before = db.execute("SELECT * FROM outbox ORDER BY id").fetchall()
    columns = ", ".join(row[1] for row in db.execute("PRAGMA table_info(outbox)"))
    db.close()
    with Store.open(path) as store, store.transaction() as db:
        assert db.execute(f"SELECT {columns} FROM outbox ORDER BY id").fetchall() == before and len(before) == 1
        assert db.execute("SELECT takes_alarms, takes_punches FROM targets").fetchall() == [(1, 1)]
        assert db.execute("INSERT INTO outbox (connector, alarm_id, queued_at) VALUES ('x', 3, 1)").lastrowid == 13, "no number is given twice"
