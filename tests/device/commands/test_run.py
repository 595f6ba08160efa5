"""`run` as people run it: bad databases, bad models, bad sources, two at once, and kill -9 while clips play."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import onnx
import pytest

from device.__main__ import main
from device.config import Settings
from device.contract import CARD_KEY
from device.storage.database import TerminalLock
from device.storage.store import Store
from device.terminal.enrolment import capture, enrol
from device.vision import catalogue
from device.vision.camera.source import open_source
from device.vision.recogniser import Recogniser

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def clip(shared: Path) -> Path:
    try:
        catalogue.path("yunet")
        catalogue.path("sface")
    except catalogue.ModelError as error:
        pytest.skip(f"models not pulled: {error}")
    return shared / "clips/again.mkv"


@pytest.fixture(scope="module")
def enrolled(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the person of the clip."""
    path = tmp_path_factory.mktemp("enrolled") / "clockface.db"
    settings = Settings()
    recogniser = Recogniser(settings)
    with Store.open(path) as store, open_source(str(clip), settings.camera) as source:
        samples = capture(recogniser, source)
        enrol(store, recogniser, "A", None, samples, ["clip"] * len(samples))
    return path


@pytest.fixture
def database(enrolled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(enrolled, tmp_path / "clockface.db"))


def played(source: Path | str, database: Path, *more: str) -> int:
    return main(["run", "--source", str(source), "--db", str(database), "--headless", "--once", *more])


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err


def test_a_newer_database_is_left_alone(clip: Path, database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with sqlite3.connect(database) as raw:
        raw.execute("PRAGMA user_version = 999")
    before = database.read_bytes()
    assert played(clip, database) == 1
    assert "newer version" in said(capsys) and database.read_bytes() == before


def test_a_damaged_database_is_left_alone(clip: Path, database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = b"SQLite format 3\0" + os.urandom(20_000)
    database.write_bytes(before)
    assert played(clip, database) == 1
    assert "error: " in said(capsys) and database.read_bytes() == before


def test_a_locked_database_is_said(clip: Path, database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "clockface.toml"
    config.write_text("[store]\nbusy_timeout_ms = 50\n")
    with sqlite3.connect(database, isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert played(clip, database, "--config", str(config)) == 1
        other.execute("ROLLBACK")
    assert "locked" in said(capsys) or "busy" in said(capsys)


def test_a_second_terminal_is_refused(clip: Path, database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock = TerminalLock(database)
    try:
        assert played(clip, database) == 1
    finally:
        lock.release()
    assert "terminal" in said(capsys)
    assert played(clip, database) == 0


@pytest.mark.parametrize(("source", "words"), [("97", "97"), ("missing.mkv", "does not exist"), ("empty.mkv", "no frame can be decoded")])
def test_a_source_that_is_none_is_said(clip: Path, database: Path, tmp_path: Path, source: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.mkv").touch()
    name = source if source.isdecimal() else str(tmp_path / source)
    once = [] if source.isdecimal() else ["--once"]
    assert main(["run", "--source", name, "--db", str(database), "--headless", *once]) == 1
    assert words in said(capsys)


def test_a_clip_that_ends_in_mid_frame_is_played_to_where_it_ends(clip: Path, database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = clip.read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(data[: len(data) * 2 // 3])
    assert played(cut, database) == 0
    assert "recorded" in capsys.readouterr().out


@pytest.fixture
def own_model(clip: Path, tmp_path: Path) -> Any:
    """Write a changed copy of the embedder and a configuration that pins it; returns the configuration."""

    def write(change: Any, pin: str = "") -> Path:
        model = onnx.load(catalogue.path("sface"))
        change(model)
        path = tmp_path / "own.onnx"
        onnx.save(model, path)
        config = tmp_path / "own.toml"
        config.write_text(f'[embedder]\nmodel = "{path}"\nsha256 = "{pin or catalogue.sha256(path)}"\n')
        return config

    return write


def drop_card(model: onnx.ModelProto) -> None:
    kept = [entry for entry in model.metadata_props if entry.key != CARD_KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)


def other_size(model: onnx.ModelProto) -> None:
    entry = next(entry for entry in model.metadata_props if entry.key == CARD_KEY)
    entry.value = json.dumps({**json.loads(entry.value), "embedding_size": 64})


@pytest.mark.parametrize(
    ("change", "pin", "words"),
    [(lambda model: None, "0" * 64, "sha256"), (drop_card, "", "no model card"), (other_size, "", "output expected")],
)
def test_a_model_that_is_not_what_it_should_be_is_refused(
    own_model: Any, clip: Path, database: Path, change: Any, pin: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = own_model(change, pin)
    assert played(clip, database, "--config", str(config)) == 1
    assert words in said(capsys)


@pytest.mark.timeout(300)
def test_every_punch_announced_survives_a_kill(clip: Path, database: Path, tmp_path: Path) -> None:
    """The clip is played again and again by a real terminal that is killed at random moments; each play may record once."""
    chance = random.Random(7)
    command = [sys.executable, "-u", "-m", "device", "run", "--source", str(clip), "--db", str(database), "--once", "--headless"]
    announced = 0
    for _ in range(8):
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("first frame"):
                    time.sleep(chance.uniform(0.0, 0.6))
                    process.send_signal(signal.SIGKILL)
                announced += line.startswith("recorded")
    with Store.open(database) as store:
        punches = store.punches()
        assert announced <= len(punches) <= 8
        assert store.verify_chain().ok and store.faults() == []
    assert played(clip, database) == 0  # it starts again without a repair


def test_the_demo_is_recorded_beside_the_database_not_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        [catalogue.path(name) for name in ("yunet", "sface", "portrait-hopper", "portrait-collins")]
    except catalogue.ModelError as error:
        pytest.skip(f"models not pulled: {error}")
    (settings := tmp_path / "site.toml").write_text(f'[store]\npath = "{tmp_path}/site.db"\n')
    assert main(["run", "--source", "demo", "--once", "--headless", "--config", str(settings)]) == 0
    assert not (tmp_path / "site.db").exists()
    with Store.open(tmp_path / "demo.db", must_exist=True) as store:
        names = {person.id: person.name for person in store.people()}
        assert {(names[punch.person_id], punch.liveness) for punch in store.punches()} == {("Grace Hopper", None)}
    said = capsys.readouterr().out
    assert "liveness is not judged: the demo shows photographs" in said and f"-m device log --db {tmp_path}/demo.db" in said.splitlines()[-1]
