"""What is wrong with a machine as open matters, each beside the check that finds it."""

from __future__ import annotations

import shutil
import time
from collections import namedtuple
from pathlib import Path

import pytest

from device.commands.watching import EVERY_SECONDS, watching
from device.config import ConnectorTable, Settings
from device.maintenance import faults as module
from device.maintenance.faults import faults
from device.storage.matters import SETTLED_SECONDS, open_matters
from device.storage.store import Store
from device.system.clock import ClockState
from tests.device.fakes.terminal import START, Clock, punch

HOOK = {"kind": "webhook", "url": "http://127.0.0.1:9", "secret": "env:HOOK_KEY"}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which nothing is wrong."""
    monkeypatch.setattr(module, "temperature", lambda: 45.0)
    monkeypatch.setattr(module, "read_clock_state", lambda: ClockState(True, "boot", 1))
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**11, 0, 10**11))
    return tmp_path / "clockface.db"


def keys(store: Store, camera: str | None = "ok", settings: Settings | None = None) -> set[tuple[str, str]]:
    said = None if camera is None else lambda: camera
    return {(one.kind, one.key) for one in faults(store, settings or Settings(), said, time.time())}  # type: ignore[arg-type]


def test_nothing_is_wrong(path: Path) -> None:
    with Store.open(path) as store:
        assert keys(store) == keys(store, None) == set()


@pytest.mark.parametrize(
    ("state", "found"),
    [
        ("lost", ("camera", "camera")), ("frozen", ("camera", "camera")), ("turned", ("camera", "camera")), ("store failed", ("terminal", "recording")),
        ("recogniser failed", ("terminal", "recording")), ("black", None), ("dark", None), ("bright", None), ("slow", None),
    ],
)  # fmt: skip
def test_a_camera_that_nobody_is_recognised_by(path: Path, state: str, found: tuple[str, str] | None) -> None:
    with Store.open(path) as store:
        assert keys(store, state) == ({found} if found else set())


def test_room_heat_clock_and_certificate(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    with Store.open(path) as store:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 0, 5 * 10**8))
        monkeypatch.setattr(module, "temperature", lambda: 81.0)
        path.with_name(f"{path.name}.crt").write_text("no certificate")
        assert keys(store) == {("disk", "disk"), ("terminal", "hot"), ("certificate", "certificate")}
        early = {one.key for one in faults(store, Settings(), None, 1000.0)}
        assert "clock" in early


def test_a_target_that_is_stuck_and_one_that_was_removed(path: Path) -> None:
    settings = Settings(connectors=(ConnectorTable("hook", HOOK),))
    with Store.open(path) as store:
        store.outbox.set_targets(["hook", "gone"])
        store.add_person("Ann", "E1")
        punch(store, 1, START)
        assert keys(store, settings=settings) == {("delivery", "delivery:gone")}
        with store.transaction() as db:
            db.execute("UPDATE outbox SET state = 'dead' WHERE connector = 'hook'")
        found = {one.key: str(one.details["words"]) for one in faults(store, settings, None, time.time())}
        assert found["delivery:hook"] == "1 dead letters of hook"


def test_the_tasks_of_a_terminal_note_what_lasts(path: Path) -> None:
    clock, state = Clock(), ["lost"]
    tasks = watching(Settings(), lambda: lambda: state[0], clock=clock)
    with Store.open(path) as store:
        for _ in range(int(SETTLED_SECONDS // EVERY_SECONDS) + 1):
            assert [line for task in tasks for line in task.work(store)] == []
            clock.now += EVERY_SECONDS
        with store.reading() as db:
            assert [matter.key for matter in open_matters(db, ["camera"])] == ["camera"]


def test_a_camera_that_is_not_known_yet_ends_nothing(path: Path) -> None:
    clock = Clock()
    with Store.open(path) as store:
        for camera in (lambda: lambda: "lost", lambda: None, lambda: None):
            watching(Settings(), camera, clock=clock)[1].work(store)  # type: ignore[arg-type]
            clock.now += 86_400
        with store.reading() as db:
            assert db.execute("SELECT key, gone_at, over_at FROM matters").fetchall() == [("camera", None, None)]
