"""Each check on a sound and a faulty machine; a check never changes the database."""

from __future__ import annotations

import dataclasses
import json
import os
import sqlite3
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from sqlite_utils import Database

from device.__main__ import main
from device.config import CameraSettings, Settings, StoreSettings
from device.contract import ContractError, ModelCard, OperatingPoint
from device.maintenance import doctor
from device.maintenance.database_check import check_database
from device.maintenance.people_check import check_templates
from device.storage.schema import APPLICATION_ID, MIGRATIONS, SCHEMA_VERSION
from device.storage.store import Store, TemplateDraft
from device.system.clock import ClockState
from device.vision import catalogue
from device.vision.camera.frame import turned
from device.vision.catalogue import Catalogue, ModelFile, sha256
from device.vision.downloads import Patch
from device.vision.images import read_image

NOW = 1_800_000_000.0  # 2027-01-15
FEWEST = Settings().decision.at_least_templates  # people that a threshold must be for


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "clockface.db"
    with Store.open(path, StoreSettings()) as store:
        templates = [TemplateDraft("a" * 64, np.array([1, 0], np.float32), 0.5, None, "photo.jpg")] * 2
        store.add_person_with_templates("Ada", "E1", templates)
        store.add_person("Grace", "E2")
    return path


def test_a_sound_database(database: Path) -> None:
    finding = check_database(database)
    assert finding.state == "ok" and "2 people, 0 punches" in finding.words
    assert doctor.count_people(database) == 1, "two templates of one person, and somebody without any"


def test_people_who_are_not_searched_for_do_not_count(database: Path) -> None:
    with Store.open(database, StoreSettings()) as store:
        for name in ("Edith", "Joan"):
            store.add_person_with_templates(name, None, [TemplateDraft(letter * 64, np.array([0, 1], np.float32), 0.5) for letter in "ab"])
        assert doctor.count_people(database) == 3
        store.deactivate(3)
    assert doctor.count_people(database) == 2


def test_a_check_changes_nothing(database: Path) -> None:
    os.chmod(database, 0o644)
    before = database.read_bytes(), database.stat().st_mode, database.stat().st_mtime_ns
    finding = check_database(database)
    assert finding.state == "warning" and "chmod 600" in finding.words
    assert (database.read_bytes(), database.stat().st_mode, database.stat().st_mtime_ns) == before


def test_a_missing_database_is_not_made(tmp_path: Path) -> None:
    finding = check_database(tmp_path / "none.db")
    assert finding.state == "warning" and "enrol" in finding.words
    assert list(tmp_path.iterdir()) == []
    assert doctor.count_people(tmp_path / "none.db") == 0


def test_a_database_that_is_open_elsewhere(database: Path) -> None:
    with Store.open(database, StoreSettings()) as store:
        store.add_person("Edith")
        assert "3 people" in check_database(database).words


@pytest.mark.parametrize(("version", "state", "words"), [(99, "FAULT", "newer version"), (0, "warning", "older version")])
def test_other_versions(database: Path, version: int, state: str, words: str) -> None:
    connection = sqlite3.connect(database)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    finding = check_database(database)
    assert finding.state == state and words in finding.words


def test_foreign_and_damaged_files(database: Path, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE t (x)")
    other.close()
    assert "another program" in check_database(tmp_path / "other.db").words
    (tmp_path / "text.db").write_text("hello\n" * 1000)
    finding = doctor.guarded("database", lambda: check_database(tmp_path / "text.db"))
    assert finding.state == "FAULT" and "no SQLite database" in finding.words
    data = bytearray(database.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    database.write_bytes(data)
    assert doctor.guarded("database", lambda: check_database(database)).state == "FAULT"


def test_a_changed_row_is_found(database: Path) -> None:
    connection = sqlite3.connect(database)
    for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {trigger}")
    connection.execute("UPDATE audit SET action = 'nothing' WHERE id = 1")
    connection.commit()
    connection.close()
    finding = check_database(database)
    assert finding.state == "FAULT" and "audit row 1 was changed" in finding.words


@pytest.mark.parametrize(("synchronised", "now", "state"), [(True, NOW, "ok"), (False, NOW, "warning"), (True, 3600.0, "FAULT"), (False, 3600.0, "FAULT")])
def test_clock(synchronised: bool, now: float, state: str) -> None:
    assert doctor.check_clock(ClockState(synchronised, "boot", 5), now).state == state


@pytest.mark.parametrize(("free", "state"), [(5_000_000_000, "ok"), (500_000_000, "warning"), (50_000_000, "FAULT")])
def test_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, state: str) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage(free * 2, free, free))
    assert doctor.check_disk(tmp_path / "not" / "yet" / "there.db").state == state


def test_camera(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "light.png"), np.full((40, 60, 3), 90, np.uint8))
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((40, 60, 3), np.uint8))
    assert doctor.check_camera(str(tmp_path / "light.png"), CameraSettings()).state == "ok"
    assert "lens" in doctor.check_camera(str(tmp_path / "black.png"), CameraSettings()).words
    missing = doctor.guarded("camera", lambda: doctor.check_camera("97", CameraSettings()))
    assert missing.state == "FAULT" and "does not exist" in missing.words


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_a_camera_that_hangs_turned(tmp_path: Path, turn: int) -> None:
    """A folder plays the camera: nobody at first, then a portrait as a camera would give it that hangs turned."""
    try:
        portrait = read_image(catalogue.path("portrait-hopper"))
        catalogue.path("yunet")
    except catalogue.ModelError as error:
        pytest.skip(f"models not pulled: {error}")
    cv2.imwrite(str(tmp_path / "1.png"), np.full((300, 400, 3), 90, np.uint8))
    cv2.imwrite(str(tmp_path / "2.png"), turned(portrait, (360 - turn) % 360))
    finding = doctor.check_camera(str(tmp_path), CameraSettings())
    assert finding.state == ("FAULT" if turn else "ok") and "nobody in view" not in finding.words
    assert (f"the camera hangs turned by {turn} degrees; set [camera] rotate = {turn}" in finding.words) == bool(turn)
    assert doctor.check_camera(str(tmp_path), CameraSettings(rotate=turn)).state == "ok"
    (tmp_path / "2.png").unlink()
    assert "nobody in view" in doctor.check_camera(str(tmp_path), CameraSettings()).words


def test_models(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"weights")
    good = ModelFile("a", "embedder", "a.onnx", sha256(tmp_path / "a.onnx"), 7, "MIT", "")
    base = dataclasses.replace(good, name="base", kind="source", file="not-needed.onnx")
    other = dataclasses.replace(good, name="other", file="other.onnx", sources=(Patch("base", "other.patch"),))
    listed = Catalogue([good, base, other], tmp_path, tmp_path)
    assert doctor.check_models(listed, "a") == doctor.Finding("models", "ok", "a: verified")  # nobody asked for the other one
    assert "other" in doctor.check_models(listed, "other").words and doctor.check_models(listed, "other").state == "FAULT"
    (tmp_path / "a.onnx").write_bytes(b"weightz")
    finding = doctor.check_models(Catalogue([good, base], tmp_path, tmp_path), "a")
    assert finding.state == "FAULT" and "not the file expected" in finding.words


def card(*points: OperatingPoint) -> ModelCard:
    return ModelCard(1, "ab" * 32, "small", 128, 112, "RGB", "five-point", "int8", "", "", "", (), (), points)


def checks(operating_points: tuple[OperatingPoint, ...], people: int) -> tuple[doctor.EmbedderChecks, list[Any]]:
    loads: list[Any] = []

    def load() -> Any:
        loads.append(1)
        embedder = SimpleNamespace(card=card(*operating_points), provider="cpu", provider_report=("cuda: not in this onnxruntime",))
        return SimpleNamespace(embedder=embedder, words="small-int8; one crop: small-int8 1.20 ms on cpu, small 2.40 ms on cpu")

    return doctor.EmbedderChecks(Settings(), load, lambda: people), loads


def test_artefact_card_and_provider_load_the_model_once() -> None:
    point = OperatingPoint(FEWEST, Settings().decision.fpir, 0.4567, 0.44, 0.47, "measured", "made up for this test")
    embedder_checks, loads = checks((point,), 30)
    assert f"threshold 0.457 for up to {FEWEST} people" in embedder_checks.check_card().words
    assert embedder_checks.check_artefact().words.startswith("small-int8; one crop")
    assert embedder_checks.check_provider().words == "cpu (cuda: not in this onnxruntime)"
    assert len(loads) == 1


def test_a_card_without_a_threshold_for_so_many_people() -> None:
    point = OperatingPoint(FEWEST, Settings().decision.fpir, 0.4567, 0.44, 0.47, "measured", "made up for this test")
    embedder_checks, _ = checks((point,), FEWEST + 1)
    finding = doctor.guarded("card", embedder_checks.check_card)
    assert finding.state == "FAULT" and "the last 1 to be enrolled cannot be recognised: deactivate" in finding.words


@pytest.mark.parametrize(("people", "state"), [(round(0.79 * FEWEST), "ok"), (round(0.81 * FEWEST), "warning"), (FEWEST, "warning")])
def test_a_limit_that_is_near_is_warned_of(people: int, state: str) -> None:
    point = OperatingPoint(FEWEST, Settings().decision.fpir, 0.4567, 0.44, 0.47, "measured", "made up for this test")
    finding = checks((point,), people)[0].check_card()
    assert finding.state == state and (f"{people:,} of at most {FEWEST:,} people" in finding.words) == (state == "warning")


@pytest.mark.parametrize("error", [ContractError("no card"), ImportError("libgomp.so.1: cannot open"), OSError("denied")])
def test_an_embedder_that_does_not_load_is_a_fault(error: Exception) -> None:
    def load() -> Any:
        raise error

    embedder_checks = doctor.EmbedderChecks(Settings(), load, lambda: 1)
    pair = (("card", embedder_checks.check_card), ("provider", embedder_checks.check_provider))
    assert [doctor.guarded(name, check).state for name, check in pair] == ["FAULT"] * 2


def test_command(database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite(str(tmp_path / "light.png"), np.full((40, 60, 3), 90, np.uint8))
    arguments = ["doctor", "--db", str(database), "--source", str(tmp_path / "light.png")]
    code = main([*arguments, "--json"])
    report = json.loads(capsys.readouterr().out)
    expected = ["camera", "models", "artefact", "card", "provider", "liveness", "clock", "zone", "network", "disk", "database", "keys", "templates", "logins"]
    expected += ["fleet", "certificate", "fonts", "updates", "outbox"]
    assert [check["check"] for check in report["checks"]] == expected
    states = {check["check"]: check["state"] for check in report["checks"]}
    assert states["camera"] == states["database"] == "ok"
    assert code == (0 if report["ok"] else 1) and report["ok"] == ("FAULT" not in states.values())
    assert main(arguments) == code
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(expected) and all(line.split()[0] in ("ok", "warning", "FAULT") for line in lines)
    assert main(["doctor", "--db", str(database), "--source", str(tmp_path / "none.png")]) == 1


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION))
def test_a_database_that_waits_for_its_migration_is_no_fault(version: int, tmp_path: Path) -> None:
    """An update runs the new release's doctor before its first start migrates the database: a fault would undo every such update."""
    path = tmp_path / "old.db"
    db = Database(path, execute_plugins=False)
    MIGRATIONS.apply(db, stop_before=[migration.name for migration in MIGRATIONS.pending(db)][version])
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {version}")
    db.close()
    skipped = ("camera", "models", "artefact", "card", "provider", "liveness", "clock", "network", "disk", "fonts", "updates")
    assert {finding.check: finding.state for finding in doctor.examine(Settings(), path, None, skipped)} == {
        "zone": "ok",
        "database": "warning",
        "keys": "ok",
        "templates": "ok",
        "logins": "ok",
        "fleet": "ok",
        "certificate": "ok",
        "outbox": "ok",
    }


def test_templates_after_a_change_of_model(tmp_path: Path) -> None:
    def found() -> tuple[str, str]:
        finding = check_templates(tmp_path / "own.db", lambda: dataclasses.replace(card(), model_id="b" * 64))
        return finding.state, finding.words

    assert found() == ("ok", "no database of this version yet")
    with Store.open(tmp_path / "own.db", StoreSettings()) as store:
        store.add_person("with code and PIN")
        assert found() == ("ok", "nobody is enrolled yet")
        for name, kept in (("Ada", b"picture"), ("Bea", None), ("Cleo", b"picture")):
            store.add_person_with_templates(name, None, [TemplateDraft("a" * 64, np.array([1, 0], np.float32), 0.5, kept)])
        store.add_template(2, "b" * 64, np.array([1, 0], np.float32), 0.5, None, "")
        version = store.data_version()
        making = "1 of 2 people with templates of small: the terminal makes the others from kept pictures while it runs; 1 person cannot be recognised by small"
        assert found()[0] == "warning" and found()[1].startswith(making) and "Bea (id 3)" in found()[1] and "give new pictures" in found()[1]
        store.withdraw_consent(3)
        assert store.data_version() == version + 1, "the check changed nothing"
        store.renew_templates("b" * 64, {4: [TemplateDraft("b" * 64, np.array([1, 0], np.float32), 0.5, b"picture")]})
        assert found() == ("ok", "2 people with templates of small")


def test_keys(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "keys"
    monkeypatch.setenv("CLOCKFACE_KEYS", str(place))

    def found() -> tuple[str, str]:
        finding = doctor.guarded("keys", lambda: doctor.check_keys(path))
        return finding.state, finding.words

    path = tmp_path / "none.db"
    assert found()[0] == "ok" and "none yet" in found()[1] and not place.exists()
    path = database  # its keys are elsewhere
    assert found()[0] == "warning" and "1 person with templates and no key here (id 1)" in found()[1] and not place.exists()
    path = tmp_path / "own.db"
    with Store.open(path, StoreSettings()) as store:
        store.add_person_with_templates("Ada", None, [TemplateDraft("a" * 64, np.array([1, 0], np.float32), 0.5)])
    assert found() == ("ok", f"{place}: the device's key is in its file, 1 person with a key that opens")
    content = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in place.iterdir()}
    found()
    assert {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in place.iterdir()} == content
    for exposed in (place, place / "device.key"):
        before = exposed.stat().st_mode
        exposed.chmod(0o755)
        assert found()[0] == "warning" and str(exposed) in found()[1] and exposed.stat().st_mode & 0o777 == 0o755
        exposed.chmod(before)
    (place / "device.key").write_bytes(bytes(32))
    assert found()[0] == "FAULT" and "is not the key" in found()[1] and "put it back" in found()[1]
    (place / "device.key").unlink()
    assert found()[0] == "FAULT" and "is missing" in found()[1] and not (place / "device.key").exists()
