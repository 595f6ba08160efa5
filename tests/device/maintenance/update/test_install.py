"""An update: staged beside the other releases, switched in one step, undone when it fails."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from device.__main__ import main
from device.config.places import installed_file
from device.maintenance.update import database_copy, install
from device.maintenance.update.install import Host
from device.maintenance.update.manifest import Manifest
from device.maintenance.update.releases import STARTS, Installation
from device.storage.schema import SCHEMA_VERSION
from device.storage.store import Store
from tests.device.maintenance.update.bundles import contents, made, manifest_of, trust
from tests.device.maintenance.update.installations import Terminal, bundled, updated, whole
from tests.refused import refused


def test_the_first_and_the_next_release(installation: Installation, database: Path, tmp_path: Path) -> None:
    (first, one), (second, two) = bundled(tmp_path, 1), bundled(tmp_path, 2)
    terminal = Terminal(installation)
    assert updated(installation, first, database, terminal) and updated(installation, second, database, terminal)
    assert (installation.named("current"), installation.named("proven"), installation.named("previous")) == (two, two, one)
    assert terminal.started == [one, two] and whole(installation) == two
    assert (installation.root / "clockface").resolve() == installation.path(two) / "clockface"
    assert list((installation.path(two) / "device").rglob("*.pyc"))  # made now: a service user cannot write them later


def test_a_release_whose_doctor_finds_a_fault_is_undone(installation: Installation, database: Path, tmp_path: Path) -> None:
    (first, one), (second, _) = bundled(tmp_path, 1), bundled(tmp_path, 2, faults=("camera",))
    terminal, said = Terminal(installation), list[str]()
    assert updated(installation, first, database, terminal)
    assert not updated(installation, second, database, terminal, said)
    assert whole(installation) == one and installation.on_trial is None
    assert any("it is dark" in line for line in said) and terminal.started == [one, one]


def test_a_fault_that_was_there_before_does_not_count_against_the_new_release(installation: Installation, database: Path, tmp_path: Path) -> None:
    (bad, _), (second, two) = bundled(tmp_path, 1, faults=("outbox",)), bundled(tmp_path, 2, faults=("outbox",))
    assert not updated(installation, bad, database, None)  # the first release has none to be compared with
    made(tmp_path / "base.bundle", contents(word="base"), built=1)
    assert updated(installation, tmp_path / "base.bundle", database, None)
    (installation.root / "current/clockface.py").write_bytes(contents(("outbox",))["clockface.py"])  # type: ignore[arg-type]  # bytes
    assert updated(installation, second, database, Terminal(installation)) and whole(installation) == two
    third, _ = bundled(tmp_path, 3, faults=("outbox", "models"))
    said: list[str] = []
    assert not updated(installation, third, database, Terminal(installation), said)
    assert any("models: it is dark" in line and "outbox" not in line for line in said)


@pytest.mark.parametrize("program", [b"import nothing_of_this_name", b"print('hello')", b"print('[]')"])
def test_a_doctor_that_does_not_work_is_a_fault(program: bytes, installation: Installation, database: Path, tmp_path: Path) -> None:
    made(tmp_path / "a.bundle", contents() | {"clockface.py": program})
    said: list[str] = []
    assert not updated(installation, tmp_path / "a.bundle", database, None, said)
    assert any("doctor: gives no report" in line for line in said)


def test_a_doctor_has_more_time_on_an_emulated_machine(installation: Installation, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, release = bundled(tmp_path, 1)
    assert updated(installation, path, database, None)
    monkeypatch.setattr(install, "DOCTOR_SECONDS", 0.001)
    monkeypatch.setattr(install.hardware, "emulated", lambda: False)
    assert "timed out" in install.examine(installation.path(release), database)["doctor"]
    monkeypatch.setattr(install.hardware, "emulated", lambda: True)
    assert install.examine(installation.path(release), database) == {}


def test_a_release_that_does_not_start_is_undone(installation: Installation, database: Path, tmp_path: Path) -> None:
    (first, one), (second, two) = bundled(tmp_path, 1), bundled(tmp_path, 2)
    terminal, said = Terminal(installation, two), list[str]()
    assert updated(installation, first, database, terminal)
    assert not updated(installation, second, database, terminal, said)
    assert whole(installation) == one and terminal.started == [one, two, one]
    assert said[-1] == f"back to {one}"


def test_a_first_release_that_fails_leaves_none_in_force(installation: Installation, database: Path, tmp_path: Path) -> None:
    bad, _ = bundled(tmp_path, 1, faults=("camera",))
    assert not updated(installation, bad, database, None)
    assert installation.named("current") is None and not (installation.root / "current").is_symlink()
    good, one = bundled(tmp_path, 2)
    assert updated(installation, good, database, None) and whole(installation) == one


def test_without_a_service_the_next_good_start_decides(installation: Installation, database: Path, tmp_path: Path) -> None:
    (first, one), (second, two) = bundled(tmp_path, 1), bundled(tmp_path, 2)
    said: list[str] = []
    assert updated(installation, first, database, None) and updated(installation, second, database, None, said)
    assert installation.on_trial == two and "on trial" in said[-1]
    for _ in range(STARTS):
        install.guard(installation, said.append)
        assert installation.named("current") == two
    install.guard(installation, said.append)  # it failed before it was healthy in each start
    assert whole(installation) == one and said[-1] == f"back to {one}"
    assert updated(installation, second, database, None)
    install.guard(installation, said.append)
    install.confirm(installation, said.append)
    for _ in range(STARTS + 1):
        install.guard(installation, said.append)
    assert whole(installation) == two


def test_rollback_works_in_both_directions(installation: Installation, database: Path, tmp_path: Path) -> None:
    (first, one), (second, two) = bundled(tmp_path, 1), bundled(tmp_path, 2)
    terminal = Terminal(installation)
    updated(installation, first, database, terminal)
    with refused("release.no_previous"):
        install.rollback(installation, database, terminal, print)
    updated(installation, second, database, terminal)
    for expected in (one, two):
        assert install.rollback(installation, database, terminal, print) and whole(installation) == expected


def test_old_releases_are_removed_but_not_those_in_use(installation: Installation, database: Path, tmp_path: Path) -> None:
    ids = []
    for built in range(1, 7):
        bundle, release = bundled(tmp_path, built)
        assert updated(installation, bundle, database, Terminal(installation))
        ids.append(release)
    assert [release.id for release in installation.releases()] == [ids[5], ids[4], ids[3]]
    assert installation.prune(0) == [ids[3]]


BOARD = Host("aarch64", "Raspberry Pi 5 Model B Rev 1.0", "3.11")


@pytest.mark.parametrize(
    ("fields", "code", "word"),
    [
        ({"target": "x86"}, "board", "for x86, this is Raspberry Pi 5"),
        ({"target": "jetson"}, "board", "for jetson, this is Raspberry Pi 5"),
        ({"built": 99}, "older", "--older"),
        ({"database_schema": 0}, "schema", "schema 0"),
    ],
)
def test_a_bundle_that_does_not_fit_is_refused(fields: dict[str, Any], code: str, word: str, database: Path) -> None:
    Store.open(database).close()
    current = manifest_of(contents(), built=100)
    good = {"built": 101, "database_schema": SCHEMA_VERSION, "target": "rpi"}
    install.check_fits(manifest_of(contents(), **good), BOARD, current, database)
    with refused(f"update.{code}", word):
        install.check_fits(manifest_of(contents(), **{**good, **fields}), BOARD, current, database)


def test_a_python_without_wheels_is_refused(database: Path) -> None:
    manifest = Manifest("1.0", 1, "0" * 40, "rpi", ("3.13",), 1, manifest_of(contents()).files)
    with refused("update.python", "3.13", "3.11"):
        install.check_fits(manifest, BOARD, None, database)


def test_a_disk_that_is_too_small_is_reported_before_anything_is_written(
    installation: Installation, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(total=10, used=9, free=1))
    with refused("update.no_room"):
        updated(installation, bundled(tmp_path, 1)[0], database, None)
    assert installation.releases() == []


def test_two_updates_at_once_are_refused(installation: Installation) -> None:
    with installation.changing(), refused("release.busy"), Installation(installation.root).changing():
        pass


# the database


@pytest.fixture
def older(database: Path) -> Iterator[Path]:
    """A database one schema behind."""
    with Store.open(database) as store:
        store.add_person("Ann", "E1")
    with closing(sqlite3.connect(database)) as raw:
        raw.execute(f"PRAGMA user_version = {SCHEMA_VERSION - 1}")
    yield database


def migrated(database: Path, *statements: str) -> None:
    """What the first start of a newer release does."""
    with closing(sqlite3.connect(database)) as raw, raw:
        for statement in ("ALTER TABLE sightings ADD COLUMN zone TEXT", f"PRAGMA user_version = {SCHEMA_VERSION}", *statements):
            raw.execute(statement)


def test_a_migrated_database_is_restored_with_its_release(installation: Installation, older: Path, tmp_path: Path) -> None:
    (first, one), (second, two) = bundled(tmp_path, 1, database_schema=SCHEMA_VERSION - 1), bundled(tmp_path, 2, database_schema=SCHEMA_VERSION)

    class Migrating(Terminal):
        def restart(self) -> str | None:
            if self.installation.named("current") == two:
                migrated(older)
            return super().restart()

    assert updated(installation, first, older, Terminal(installation))
    assert not updated(installation, second, older, Migrating(installation, two))
    assert whole(installation) == one and database_copy.schema_of(older) == SCHEMA_VERSION - 1
    with closing(sqlite3.connect(older)) as raw:
        assert "zone" not in {row[1] for row in raw.execute("PRAGMA table_info(sightings)")}
        assert raw.execute("SELECT name FROM people").fetchall() == [("Ann",)]
    assert {path.name for path in older.parent.iterdir()} == {"clockface.db", "clockface.db.lock"}  # no copy with templates remains


def test_nothing_recorded_by_a_release_on_trial_is_lost(installation: Installation, older: Path, tmp_path: Path) -> None:
    (first, _), (second, two) = bundled(tmp_path, 1, database_schema=SCHEMA_VERSION - 1), bundled(tmp_path, 2, database_schema=SCHEMA_VERSION)
    said: list[str] = []
    updated(installation, first, older, Terminal(installation))
    updated(installation, second, older, None)
    assert (older.with_name("clockface.db.before-update").stat().st_mode & 0o777) == 0o600
    migrated(older, "INSERT INTO people (name, created_at) VALUES ('Bea', 0)")
    install.put_back(installation, said.append)
    assert whole(installation) == two and "it stays" in said[0] and installation.on_trial is None
    with closing(sqlite3.connect(older)) as raw:
        assert raw.execute("SELECT count(*) FROM people").fetchone() == (2,)


def test_there_is_no_rollback_to_a_release_that_cannot_read_the_database(installation: Installation, older: Path, tmp_path: Path) -> None:
    updated(installation, bundled(tmp_path, 1, database_schema=SCHEMA_VERSION - 1)[0], older, Terminal(installation))
    updated(installation, bundled(tmp_path, 2, database_schema=SCHEMA_VERSION)[0], older, Terminal(installation))
    migrated(older)
    with refused("release.schema", str(SCHEMA_VERSION)):
        install.rollback(installation, older, None, print)


# the command


def test_the_command_from_trust_to_rollback(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    root, (first, one), (second, two) = tmp_path / "inst", bundled(tmp_path, 1), bundled(tmp_path, 2)
    trust(tmp_path / "keys")
    (key,) = (tmp_path / "keys").iterdir()

    def said(*words: str) -> tuple[int, str, str]:
        code = main(["update", *words, "--root", str(root)])
        return code, *capsys.readouterr()

    code, _, error = said(str(first))
    assert code == 1 and f"no trusted key in {root}/trusted; `python -m device update trust KEY.pub`" in error
    assert said("trust", str(key))[0] == 0
    assert said(str(first))[:2] == (0, f"switched to {one}\n{one} is kept\n")
    assert said(str(first))[1] == f"{one} is in force already\n"
    assert said(str(second))[0] == 0
    assert f"{two}" in said("list")[1] and "on trial" in said("list")[1]
    assert said("rollback")[:2] == (0, f"back to {one}\n")
    assert said("guard")[0] == 0 and said("confirm")[0] == 0
    assert said(str(tmp_path / "none.bundle"))[0] == 1
    assert "only trusted key" in said("distrust", key.stem)[2]
    with pytest.raises(SystemExit, match="2"):
        said("trust")
    assert main(["update", "list"]) == 1 and "--root DIR" in capsys.readouterr().err


ECHO = b"""import sys, pathlib
print('{"checks": []}' if sys.argv[1] == "doctor" else f"{pathlib.Path(__file__).resolve().parent.name} {sys.argv[1:]}")
"""


def test_the_launcher_runs_what_is_in_force(installation: Installation, database: Path, tmp_path: Path) -> None:
    files = contents() | {"clockface.py": ECHO}
    ids = []
    for built in (1, 2):
        made(tmp_path / "a.bundle", files, built=built)
        updated(installation, tmp_path / "a.bundle", database, None)
        ids.append(manifest_of(files, built=built).release_id)
    launched = [
        subprocess.run([str(installation.root / "clockface"), *words], capture_output=True, text=True, cwd=tmp_path).stdout
        for words in (["log", "--json"], ["update", "guard"], ["run", "--once"])
    ]
    assert launched == [f"{ids[1]} ['log', '--json']\n", f"{ids[0]} ['update', 'guard']\n", f"{ids[0]} ['update', 'guard']\n{ids[1]} ['run', '--once']\n"]


def test_settings_of_the_site_override_those_of_the_release(tmp_path: Path) -> None:
    home, release = tmp_path / "inst", tmp_path / "inst/releases/1"
    release.mkdir(parents=True)
    assert installed_file(home, release) is None
    (release / "clockface.toml").touch()
    assert installed_file(home, release) == release / "clockface.toml"
    (home / "clockface.toml").touch()
    assert installed_file(home, release) == home / "clockface.toml"
    assert installed_file(home, home) is None  # a checkout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_the_doctor_runs_as_the_owner_of_the_data(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    os.chown(tmp_path / "data", 1, -1)  # daemon
    assert install.as_owner_of(tmp_path / "data/clockface.db")["user"] == 1
    assert install.as_owner_of(tmp_path / "other/clockface.db") == {}
