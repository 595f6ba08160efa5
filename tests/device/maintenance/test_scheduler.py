"""The periodic tasks: run when due; a failure is reported and tried again, and stops nothing."""

from __future__ import annotations

import os
from pathlib import Path

from device.config import RetentionSettings, Settings, StoreSettings
from device.maintenance.scheduler import RETRY_SECONDS, Task, copied, retained, upkeep
from device.storage.recovery import copy_of
from device.storage.store import PunchDraft, Store, StoreError
from device.system.clock import ClockState
from tests.refused import refused

NOW = 1_800_000_000.0


def test_a_task_runs_when_it_is_due(tmp_path: Path) -> None:
    done: list[str] = []
    task = Task("count", 100.0, lambda store: done.append(store.path.name) or ["counted"])
    with Store.open(tmp_path / "a.db") as store:
        assert [task.run(store, at) for at in (0.0, 50.0, 99.9, 100.0)] == [["counted"], [], [], ["counted"]]
    assert done == ["a.db"] * 2


def test_a_failure_is_reported_and_tried_again(tmp_path: Path) -> None:
    def fail(store: Store) -> list[str]:
        raise StoreError("the disk is full")

    task = Task("copy", 86400.0, fail)
    with Store.open(tmp_path / "a.db") as store:
        assert task.run(store, 0.0) == ["copy: the disk is full"]
        assert task.run(store, RETRY_SECONDS - 1) == [] and task.run(store, RETRY_SECONDS) == ["copy: the disk is full"]


def test_a_copy_that_is_old_or_from_the_future_is_replaced(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db") as store:
        copied(store, 3600.0, NOW)
        file = copy_of(store.path)
        for age, renewed in ((10.0, False), (3600.0, True), (-10.0, True)):
            os.utime(file, (NOW - age, NOW - age))
            before = file.stat().st_ino
            copied(store, 3600.0, NOW)
            assert (file.stat().st_ino != before) is renewed


def test_nothing_is_removed_by_a_clock_that_is_not_set(tmp_path: Path) -> None:
    year, policy = 365 * 86400.0, RetentionSettings(punches_days=365)
    unset, set_ = ClockState(False, "boot", 1), ClockState(True, "boot", 2)
    with Store.open(tmp_path / "a.db") as store:
        person = store.add_person("Ann", "E1").id

        def punch(at: float, clock: ClockState) -> None:
            store.record_punch(PunchDraft(person, at, "in", "kiosk", "manual", clock))

        punch(NOW - 3 * year, unset)
        punch(NOW - 2 * year, unset)
        assert retained(store, policy, NOW, unset) == ["retention: removed 1 punch"]  # a site without a time server; the newest punch stays
        punch(NOW, set_)
        punch(NOW + 1, set_)
        with refused("store.clock_not_set"):
            retained(store, policy, NOW + 70 * year, unset)
        assert len(store.punches()) == 3
        assert retained(store, policy, NOW + 2, set_) == ["retention: removed 1 punch"]


def test_an_erased_person_does_not_come_back_with_the_copy(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db") as store:
        person = store.add_person("Ann Nemo", "E77")
        copied(store, 3600.0, NOW)
        assert b"Ann Nemo" in copy_of(store.path).read_bytes()
        store.erase(person.id)
        assert b"Ann Nemo" not in copy_of(store.path).read_bytes()


def test_the_thread_makes_a_copy_and_ends(tmp_path: Path) -> None:
    Store.open(tmp_path / "a.db").close()
    said: list[str] = []
    with upkeep(tmp_path / "a.db", Settings(store=StoreSettings()), said.append):
        pass
    assert said == [] and copy_of(tmp_path / "a.db").exists()
