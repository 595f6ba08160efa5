"""A site's own trial is recorded step by step: clips as private files, numbered, and it goes on where it was stopped."""

from __future__ import annotations

import io
import json
import stat
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from device.__main__ import main
from device.config import CameraSettings
from device.vision.camera.source import open_source
from device.vision.liveness_recording import RATE, Wanted, guide, plan, record
from tests.refused import refused

PLAN = (Wanted("real", 2, "a person"), Wanted("print", 1, "a print"))


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of two seconds at 30 frames a second, each frame brighter than the one before."""
    path = tmp_path_factory.mktemp("source") / "moving.avi"
    writer = cv2.VideoWriter(str(path), cv2.CAP_OPENCV_MJPEG, cv2.VideoWriter.fourcc(*"MJPG"), 30.0, (160, 120))
    for number in range(60):
        writer.write(np.full((120, 160, 3), 4 * number, np.uint8))
    writer.release()
    return path


def test_a_clip_keeps_the_pace_and_the_pictures_of_its_source(moving: Path, tmp_path: Path) -> None:
    clip = tmp_path / "trial/real/001.avi"
    assert record(str(moving), CameraSettings(), clip, 1.0) == RATE * 1.0
    with open_source(str(clip), CameraSettings(), start=0.0) as source:
        seen = [(frame.time, frame.image.mean()) for frame in source]
    assert len(seen) == RATE and seen[-1][0] == pytest.approx(0.95)
    assert all(brightness == pytest.approx(120 * time, abs=6) for time, brightness in seen)  # 30 frames/s, 4 grey levels each


def test_clips_are_readable_by_their_owner_alone(moving: Path, tmp_path: Path) -> None:
    clip = tmp_path / "trial/real/001.avi"
    record(str(moving), CameraSettings(), clip, 0.5)
    assert stat.S_IMODE(clip.stat().st_mode) == 0o600
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (clip.parent, clip.parent.parent)} == {0o700}
    assert list(clip.parent.iterdir()) == [clip]


def test_a_slow_source_keeps_its_time_as_well(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(6):
        cv2.imwrite(str(pictures / f"{number}.png"), np.full((120, 160, 3), 40 * number, np.uint8))
    assert record(str(pictures), CameraSettings(rate=5), tmp_path / "trial/real/001.avi", 10.0) == 21  # five pauses of 0.2 s and the last picture


def test_the_turn_of_the_camera_is_left_for_when_the_clip_is_played(moving: Path, tmp_path: Path) -> None:
    clip, hanging = tmp_path / "trial/real/001.avi", CameraSettings(rotate=90)
    record(str(moving), hanging, clip, 0.5)
    shapes = []
    for settings in (CameraSettings(), hanging):
        with open_source(str(clip), settings) as source:
            shapes.append(next(iter(source)).image.shape)
    assert shapes == [(120, 160, 3), (160, 120, 3)]


def test_what_cannot_be_recorded_leaves_nothing(moving: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with refused("recording.not_written", "001.avi"):
        record(str(moving), CameraSettings(), tmp_path / "file/real/001.avi", 1.0)
    with refused("camera.missing"):
        record(str(tmp_path / "none.mp4"), CameraSettings(), tmp_path / "trial/real/001.avi", 1.0)
    assert not (tmp_path / "trial").exists()


def typed(*answers: str) -> Callable[[str], str]:
    left = list(answers)
    return lambda words: left.pop(0) if left else "q"


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/*"))


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def test_the_guide_leads_through_what_is_missing(tmp_path: Path) -> None:
    asked: list[str] = []

    def ask(words: str) -> str:
        asked.append(words.partition(":")[0])
        return "\n"

    assert guide(tmp_path, PLAN, touch, ask) == 3
    assert asked == ["real, 1 of 2", "real, 2 of 2", "print, 1 of 1"]
    assert names(tmp_path) == ["print/001.avi", "real/001.avi", "real/002.avi"]
    assert guide(tmp_path, PLAN, touch, ask) == 0


def test_it_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    assert guide(tmp_path, PLAN, touch, typed("", "Q\n")) == 1
    assert names(tmp_path) == ["real/001.avi"]
    assert guide(tmp_path, PLAN, touch, typed("", "")) == 2
    assert names(tmp_path) == ["print/001.avi", "real/001.avi", "real/002.avi"]


def test_the_last_one_is_recorded_again_and_a_species_is_left_out(tmp_path: Path) -> None:
    assert guide(tmp_path, PLAN, touch, typed("", "", "r", "what?", "s", "")) == 2
    assert names(tmp_path) == ["print/001.avi", "real/001.avi"]


def test_clips_of_somebody_else_are_left_alone(tmp_path: Path) -> None:
    touch(tmp_path / "real/007.avi")
    touch(tmp_path / "real/ours.mp4")
    assert guide(tmp_path, PLAN, touch, typed("", "r", "q")) == 0
    assert names(tmp_path) == ["real/007.avi", "real/ours.mp4"]


def test_an_hour_is_enough_for_the_plan() -> None:
    wanted = plan(10)
    assert [kind.species for kind in wanted][:2] == ["real", "phone-1"] and len(wanted) == 8
    assert sum(kind.count for kind in wanted) == 100  # at 36 s each


def test_the_command_records_and_runs_the_trial(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A clip as the camera; what is recorded of it is judged as it is."""
    monkeypatch.setattr("sys.stdin", io.StringIO("\ns\nq\n"))
    options = ["--each", "1", "--seconds", "2", "--threshold", "0.5", "--json"]
    assert main(["liveness-trial", str(tmp_path), "--record", "--source", str(shared / "pad/clips/f_real_2.mp4"), *options]) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)["presentations"]
    assert [(one["file"], one["accepted"]) for one in found] == [("real/001.avi", True)]
    assert "001.avi: a face in 4 of 4 pictures\n" in printed.err
    assert "personal data" in printed.err and f"rm -r {tmp_path}" in printed.err and "1 clips recorded" in printed.err


@pytest.mark.parametrize("options", [["--each", "0"], ["--seconds", "0.5"], ["--table", "clips.tsv"]])
def test_wrong_use_is_said(options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["liveness-trial", str(tmp_path), "--record", *options]) == 2
    assert "usage: " in capsys.readouterr().err
