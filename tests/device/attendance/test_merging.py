"""Two records of one person: whatever was recorded for either counts once, and undoing gives back what was there."""

from __future__ import annotations

import time as clock
from collections.abc import Iterator
from datetime import date, datetime, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from device.attendance import merging
from device.attendance.planning import Planning
from device.attendance.review import Desk
from device.attendance.timesheet.absences import Absence
from device.attendance.timesheet.shifts import Shift
from device.attendance.timesheet.worksite import Site
from device.storage import corrections
from device.storage.records import Direction, LastPunch, TemplateDraft
from device.storage.store import PunchDraft, Store
from device.system.clock import ClockState
from tests.refused import refused

MODEL = "m" * 64
NOW = datetime(2026, 12, 15, tzinfo=ZoneInfo("UTC")).timestamp()
FIRST, SECOND = 1, 2


def at(day: int, clock: str) -> float:
    return datetime.combine(date(2026, 11, day), time.fromisoformat(clock), ZoneInfo("Europe/Berlin")).timestamp()


def punch(store: Store, person: int, day: int, clock: str, direction: Direction) -> int:
    return store.record_punch(PunchDraft(person, at(day, clock), direction, "door", "manual", ClockState(True, "boot", 1))).id


def face(seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=8).astype(np.float32)
    return np.asarray(values / np.linalg.norm(values), np.float32)


def counting(store: Store, person: int) -> list[tuple[float, Direction]]:
    with store.reading() as db:
        return [(entry.occurred_at, entry.direction) for entry in corrections.entries(db, 0, float("inf"), person).get(person, [])]


def state(store: Store, person: int) -> dict[str, Any]:
    """All that a merge moves, as anybody reads it."""
    planning = Planning(store)
    rows = [row for row in planning.absences(date(2026, 1, 1), date(2027, 1, 1)) if row.person_id == person]
    absences = [(row.absence.first, row.absence.last, row.absence.kind) for row in rows]
    pictures = sorted(kept.crop for kept in store.kept_crops(person))
    embeddings = sorted(tuple(one.tolist()) for one in store.embeddings(person, MODEL))
    return {"punches": counting(store, person), "absences": absences, "pictures": pictures, "embeddings": embeddings, "active": store.person(person).active}


def plans(store: Store, person: int) -> list[tuple[str, bool]]:
    """First day of each assignment, and whether it names a plan."""
    with store.reading() as db:
        return db.execute("SELECT since, plan_id IS NOT NULL FROM assignments WHERE person_id = ? ORDER BY id", [person]).fetchall()  # type: ignore[no-any-return]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Ada left as E17 and came back as E99; both have a face, punches, and one of them a plan and an absence."""
    with Store.open(tmp_path / "clockface.db") as store:
        store.outbox.set_targets(["payroll"])
        for code, seeds in (("E17", (1, 2)), ("E99", (3,))):
            store.add_person_with_templates("Ada", code, [TemplateDraft(MODEL, face(seed), 0.9, bytes([seed]), "test") for seed in seeds])
        planning = Planning(store)
        planning.set_site(Site("Europe/Berlin"), "test")
        shift = planning.add_shift(Shift("day", time(8), time(16, 30), 30), "test")
        planning.assign(SECOND, planning.add_plan("weekdays", [shift] * 5 + [None, None], date(2026, 11, 2), "test"), date(2026, 11, 9), "test")
        planning.add_absence(SECOND, Absence(date(2026, 11, 26), date(2026, 11, 27), "vacation"), "test")
        punch(store, FIRST, 10, "08:00", "in")
        punch(store, FIRST, 10, "17:00", "out")
        for day in (11, 24):
            punch(store, SECOND, day, "08:00", "in")
            punch(store, SECOND, day, "16:30", "out")
        store.correct(SECOND, 6, LastPunch(at(24, "17:15"), "out"), "worked longer", "HR")
        store.correct(SECOND, None, LastPunch(at(25, "08:00"), "in"), "forgot", "HR")
        yield store


def test_everything_counts_for_the_first(store: Store) -> None:
    one, two = state(store, FIRST), state(store, SECOND)
    done = merging.merge(store, FIRST, SECOND, "HR")
    assert (done.templates, done.punches, done.absences, done.plans, done.left) == (1, 5, 1, 1, 0)
    merged, left = state(store, FIRST), state(store, SECOND)
    assert merged["punches"] == sorted([*one["punches"], *two["punches"]])
    assert merged["embeddings"] == sorted([*one["embeddings"], *two["embeddings"]]) and merged["pictures"] == sorted([*one["pictures"], *two["pictures"]])
    assert merged["absences"] == two["absences"] and merged["active"]
    assert left == {"punches": [], "absences": [], "pictures": [], "embeddings": [], "active": False}
    assert plans(store, FIRST) == [("2026-11-09", True)]
    assert store.last_punch(FIRST) == LastPunch(at(25, "08:00"), "in") and store.last_punch(SECOND) is None
    assert all(store.verify_chain(table).ok for table in ("punches", "corrections", "audit"))


def test_targets_are_told_of_each_punch_twice(store: Store) -> None:
    """That it does not count for the one, and counts for the other."""
    with store.reading() as db:
        before = db.execute("SELECT count(*) FROM outbox").fetchone()[0]
    merging.merge(store, FIRST, SECOND, "HR")
    with store.reading() as db:
        rows = db.execute("SELECT person_id, count(*) FROM outbox WHERE id > ? GROUP BY 1 ORDER BY 1", [before]).fetchall()
    assert rows == [(FIRST, 5), (SECOND, 5)]


def test_undoing_gives_back_what_was_there(store: Store) -> None:
    before = state(store, FIRST), state(store, SECOND)
    merging.merge(store, FIRST, SECOND, "HR")
    later = punch(store, FIRST, 27, "08:00", "in")  # stays with the record that it was recorded for
    back = merging.undo(store, FIRST, "HR")
    assert back.into.id == SECOND and back.punches == 5 and later
    expected = {**before[0], "punches": [*before[0]["punches"], (at(27, "08:00"), "in")]}
    assert (state(store, FIRST), state(store, SECOND)) == (expected, before[1])
    assert plans(store, FIRST) == [("2026-11-09", True), ("2026-11-09", False)]  # the last one counts
    with refused("merge.nothing"):
        merging.undo(store, FIRST, "HR")
    merging.merge(store, FIRST, SECOND, "HR")
    with refused("merge.nothing"):
        merging.undo(store, FIRST, "HR", clock.time() + merging.UNDO_SECONDS + 1)


def test_a_locked_period_stays_as_it_is(store: Store) -> None:
    Desk(store, NOW).lock(date(2026, 11, 9), date(2026, 11, 15), "HR")
    done = merging.merge(store, FIRST, SECOND, "HR")
    assert (done.punches, done.left) == (3, 2) and "2 punches of locked periods" in done.words
    assert [moment for moment, _ in counting(store, SECOND)] == [at(11, "08:00"), at(11, "16:30")]
    assert merging.undo(store, FIRST, "HR").punches == 3


def test_a_correction_since_the_merge_comes_back_as_well(store: Store) -> None:
    merging.merge(store, FIRST, SECOND, "HR")
    with store.transaction() as db:
        addition = db.execute("SELECT id FROM corrections WHERE person_id = ? AND occurred_at = ?", [FIRST, int(at(24, "17:15") * 1000)]).fetchone()[0]
        corrections.append(db, corrections.CorrectionDraft(FIRST, None, addition, LastPunch(at(24, "18:00"), "out"), "later still"), "HR")
    merging.undo(store, FIRST, "HR")
    assert (at(24, "18:00"), "out") in counting(store, SECOND) and (at(24, "17:15"), "out") not in counting(store, SECOND)


def test_what_cannot_be_merged_is_refused(store: Store) -> None:
    with refused("merge.same"):
        merging.merge(store, FIRST, FIRST, "HR")
    store.erase(SECOND)
    with refused("merge.erased"):
        merging.merge(store, FIRST, SECOND, "HR")
