"""A terminal at first sight: what recorded clips show of a camera, also upside down, dark, blurred or far away; the machine; what is kept."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from device.config import CameraSettings, DetectorSettings, QualitySettings, Settings
from device.maintenance import first_sight
from device.maintenance.camera_check import CameraLook, faces_of, of_rate, shown
from device.maintenance.first_sight import FirstSight, Sight, SightReport
from device.maintenance.machine_check import check_disk_speed, check_network, of_speed, of_temperature
from device.storage.audit import Action
from device.storage.store import Store
from device.vision.camera.frame import Frame, turned
from device.vision.camera.source import open_source
from device.vision.speed import Quick

CHANGES: dict[str, Callable[[Any], Any]] = {
    "as it is": lambda image: image,
    "upside down": lambda image: turned(image, 180),
    "on its side": lambda image: turned(image, 90),
    "dark": lambda image: (image * 0.12).astype(np.uint8),
    "covered": lambda image: (image * 0.02).astype(np.uint8),
    "too bright": lambda image: np.clip(image.astype(np.int16) + 120, 0, 255).astype(np.uint8),
    "blurred": lambda image: cv2.GaussianBlur(image, (0, 0), 3),
    "far": lambda image: cv2.copyMakeBorder(cv2.resize(image, None, fx=0.8, fy=0.8), 48, 48, 64, 64, cv2.BORDER_REPLICATE),
}
WRONG = {  # what must be found; all else must be good, or not seen because of it
    "as it is": set[str](), "upside down": {"turned"}, "on its side": {"turned"}, "dark": {"dark"}, "covered": {"black"},
    "too bright": {"bright"}, "blurred": {"blurred"}, "far": {"far"},
}  # fmt: skip
ALLOWED = {"dark": {"far"}, "far": {"nobody"}}


def look(frames: Iterable[Frame]) -> dict[str, str]:
    """Key -> state of what some frames showed."""
    detector = DetectorSettings()
    eyes = faces_of(detector)
    if eyes is None:
        pytest.skip("models not pulled")
    seen = CameraLook(eyes, CameraSettings(), QualitySettings(), detector.min_eye_distance)
    shown(seen, frames, 3.0)
    return {finding.key: finding.state for finding in seen.findings()}


@pytest.mark.parametrize("clip", ["eat", "hungry"])
@pytest.mark.parametrize("change", CHANGES)
def test_what_a_clip_shows(shared: Path, clip: str, change: str) -> None:
    with open_source(str(shared / "clips" / f"{clip}.mkv"), CameraSettings()) as source:
        found = look(replace(frame, image=CHANGES[change](frame.image)) for frame in source)
    wrong = {key for key, state in found.items() if state != "ok"}
    assert WRONG[change] <= wrong | ALLOWED.get(change, set()) and wrong <= WRONG[change] | ALLOWED.get(change, set())


def test_nobody_and_nothing() -> None:
    wall = [Frame(np.random.default_rng(3).normal(140, 3, (240, 320, 3)).astype(np.uint8), 1e9 + index / 20, index, True) for index in range(8)]
    found = look(wall)
    assert found["nobody"] == "warning" and "upright" not in found and "turned" not in found and found["rate"] == "ok"
    assert look([]) == {"no_picture": "FAULT"}


@pytest.mark.parametrize(("rate", "state"), [(25.0, "ok"), (8.0, "ok"), (6.0, "warning"), (3.0, "FAULT"), (0.0, "FAULT")])
def test_rate(rate: float, state: str) -> None:
    assert of_rate(rate).state == state


def test_network(tmp_path: Path) -> None:
    for name, state in (("lo", "up"), ("eth0", "down"), ("wlan0", "dormant")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "operstate").write_text(f"{state}\n")
    assert check_network(tmp_path).key == "no_network" and check_network(tmp_path / "none").state == "warning"
    (tmp_path / "wlan0" / "operstate").write_text("up\n")
    assert check_network(tmp_path).values == {"names": "wlan0"}


def test_disk_speed(tmp_path: Path) -> None:
    """One write that waits, as when a card tidies up, is nothing; many that do are slow."""
    assert check_disk_speed(tmp_path / "clockface.db").check == "disk_speed" and list(tmp_path.iterdir()) == []
    for slow, state in ((1, "ok"), (6, "warning")):
        ticks = itertools.chain.from_iterable((float(index), index + (0.9 if index < slow else 0.004)) for index in range(20))
        assert check_disk_speed(tmp_path / "clockface.db", lambda ticks=ticks: next(ticks)).state == state  # type: ignore[misc]


def test_speed_and_temperature() -> None:
    assert [of_speed(Quick((20.0, p95), (10.0, 30.0), 9)).key for p95 in (60.0, 600.0)] == ["speed", "speed_slow"]
    assert [of_temperature(degrees).state for degrees in (None, 55.0, 74.0, 85.0)] == ["ok", "ok", "warning", "FAULT"]


def test_a_look_is_kept_without_pictures(tmp_path: Path) -> None:
    """The whole walk beside a camera that shows a wall; then what is kept is read again."""
    kept: list[SightReport] = []
    walk = FirstSight(Settings(), tmp_path / "clockface.db", kept.append, seconds=0.3)
    numbers = itertools.count()

    def newest() -> Frame:
        return Frame(np.full((120, 160, 3), 130, np.uint8), 1e9 + next(numbers) / 20, 0, True)

    with Store.open(tmp_path / "clockface.db") as store:
        assert first_sight.latest(store) is None
        walk.begin(Sight(newest, lambda: 20.0, lambda: None))
        walk.wait(20)
        assert walk.step == walk.trouble == "" and [one.check for one in walk.findings][-5:] == ["clock", "zone", "network", "disk", "disk_speed"]
        first_sight.keep(store, kept[0])
        first_sight.keep(store, replace(kept[0], at=5.0))
        assert first_sight.latest(store) == replace(kept[0], at=5.0) and kept[0].to_change >= 1 and kept[0].state in ("warning", "FAULT")
        with store.reading() as db:
            assert db.execute("SELECT count(*) FROM audit WHERE action = ?", [Action.TERMINAL_CHECKED.value]).fetchone()[0] == 2
            assert db.execute("SELECT max(length(value)) FROM settings").fetchone()[0] < 5_000  # words and numbers, no picture


def test_a_look_that_fails_says_so(tmp_path: Path) -> None:
    def broken() -> Frame:
        raise OSError("no such device")

    walk = FirstSight(Settings(), tmp_path / "clockface.db", lambda report: None, seconds=0.2)
    walk.begin(Sight(broken, lambda: 0.0, lambda: None))
    walk.wait(20)
    assert walk.trouble == "no such device" and walk.step == ""
