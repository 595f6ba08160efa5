"""The terminal's main job on real clips: three people enrolled from one clip each, played the others."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from device.vision import catalogue

ROOT = Path(__file__).resolve().parents[3]
ENROLLED = {"A": "again", "B": "milk", "C": "book"}
EXPECTED = {"brother": ["A"], "help": ["A"], "bird": ["B"], "please": ["B"], "learn": ["C"], "eat": [], "night": [], "hungry": []}


def device(*arguments: str | Path) -> str:
    """One command of the terminal, run as people run it."""
    done = subprocess.run([sys.executable, "-m", "device", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def clips(shared: Path) -> Path:
    try:
        catalogue.path("yunet")
        catalogue.path("sface")
    except catalogue.ModelError as error:
        pytest.skip(f"models not pulled: {error}")
    return shared / "clips"


def played(clips: Path, folder: Path) -> dict[str, list[tuple[str, str, float]]]:
    """Clip -> (name, direction, score) of each punch it made, in a database of its own run."""
    db = folder / "clockface.db"
    for name, clip in ENROLLED.items():
        device("enroll", name, "--camera", clips / f"{clip}.mkv", "--db", db)
    result: dict[str, list[tuple[str, str, float]]] = {}
    seen = 0
    for clip in EXPECTED:
        device("run", "--source", clips / f"{clip}.mkv", "--db", db, "--headless", "--once")
        punches = json.loads(device("log", "--db", db, "--format", "json"))
        result[clip] = [(punch["name"], punch["direction"], punch["score"]) for punch in punches[seen:]]
        seen = len(punches)
    device("log", "--db", db, "--verify")
    return result


@pytest.mark.timeout(600)
def test_one_punch_a_clip_of_somebody_enrolled_none_of_a_stranger_twice_the_same(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    first = played(clips, tmp_path / "first")
    assert {clip: [name for name, _, _ in punches] for clip, punches in first.items()} == EXPECTED
    assert played(clips, tmp_path / "second") == first


@pytest.mark.timeout(600)
def test_nobody_is_recorded_or_enrolled_by_a_camera_that_hangs_turned_and_it_says_so(clips: Path, tmp_path: Path) -> None:
    """The settings turn an upright clip; the hint is to turn it back."""
    db = tmp_path / "clockface.db"
    device("enroll", "C", "--camera", clips / "book.mkv", "--db", db)
    for rotate in (90, 180, 270):
        (tmp_path / "turned.toml").write_text(f"[camera]\nrotate = {rotate}\n")
        options = ("--db", db, "--config", tmp_path / "turned.toml")
        said = [device("run", "--source", clips / clip, *options, "--headless", "--once") for clip in ("learn.mkv", "short_hamilton_clip.mp4")]
        assert json.loads(device("log", "--db", db, "--format", "json")) == []
        assert f"the camera hangs turned by {360 - rotate} degrees; set [camera] rotate = 0" in said[1]
        command = [sys.executable, "-m", "device", "enroll", "D", "--camera", str(clips / "eat.mkv"), *map(str, options)]
        refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert refused.returncode == 1 and "good pictures of one person, at least 2 are needed" in refused.stderr
        assert "the camera hangs turned" in device_words("doctor", "--source", clips / "learn.mkv", *options)
    said_upright = device("run", "--source", clips / "learn.mkv", "--db", db, "--headless", "--once")
    assert len(json.loads(device("log", "--db", db, "--format", "json"))) == 1 and "hangs turned" not in said_upright


def device_words(*arguments: str | Path) -> str:
    """What a command prints that finds a fault."""
    done = subprocess.run([sys.executable, "-m", "device", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    return done.stdout
