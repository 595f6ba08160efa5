"""Only a command that has something to store begins a database: none that reads, none with `--check`, none whose input cannot be read.

No command takes a path that no database can have.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from device.__main__ import COMMANDS, main

BEGIN = {"run", "bench", "models", "trial", "liveness-trial", "settings", "update", "keys"}  # begin one or have none; `settings` is below
LINES = [
    "accounts overtime", "backup OUT", "connectors list", "connectors test", "connectors status", "doctor --skip camera", "enroll --list NONE",
    "enroll --folder NONE",
    "enroll Ada NONE", "enroll --list LIST --check", "enroll --again Ada NONE", "fleet status", "fleet verify", "fleet join NONE", "identify PICTURE",
    "log", "log --verify", "log import NONE", "log import NONE --check", "log import PUNCHES --check", "notices", "notices open", "notices test 1",
    "outbox", "outbox dead", "outbox drain --once",
    "people list", "people show Ada", "people import NONE", "people import NONE --check", "people import PEOPLE --check", "people erase Ada --yes",
    "reset", "restore NONE", "schedule plans", "schedule absences", "settings", "settings set log.level debug", "timesheet", "users list", "users unlock",
]  # fmt: skip


NEED_NONE = {"connectors list", "connectors test"}
IMPOSSIBLE = {
    "long name": "x" * 300, "long with what lies beside": "x" * 230 + ".db", "long folder": "x" * 300 + "/a.db", "folder": "LIST", "this folder": ".",
    "root": "/", "under a file": "PEOPLE.csv/a.db", "not a name": "a\0b.db", "loop": "LOOP",
}  # fmt: skip
PLACES = {"LIST": "LIST/list.csv", "PEOPLE": "PEOPLE.csv", "PUNCHES": "PUNCHES.csv", "PICTURE": "LIST/list.csv", "NONE": "none.csv", "OUT": "out.backup"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "LIST").mkdir()
    (tmp_path / "LIST/list.csv").write_text("name,code,photo\nAda,E1,ada.jpg\n")
    (tmp_path / "PEOPLE.csv").write_text("code,name\nE1,Ada\n")
    (tmp_path / "PUNCHES.csv").write_text("code,time,direction\nE1,2026-11-02 08:00,in\n")
    (tmp_path / "LOOP").symlink_to("LOOP")
    return tmp_path


@pytest.mark.parametrize("line", LINES)
def test_no_database_is_begun(line: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(folder)
    with suppress(SystemExit):  # wrong usage, which begins nothing either
        main([*(PLACES.get(word, word) for word in line.split()), "--db", "data/new.db"])
    assert not (folder / "data/new.db").exists(), capsys.readouterr()


@pytest.mark.parametrize("path", IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
def test_an_impossible_path_is_refused(path: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(folder)
    for line in [*(line for line in LINES if line not in NEED_NONE), "run --source demo", "run --desk"]:
        with suppress(SystemExit):  # wrong usage
            assert main([*(PLACES.get(word, word) for word in line.split()), "--db", path]) == 1, line
        assert "error:" in capsys.readouterr().err, line


def test_every_command_was_asked() -> None:
    assert {line.split()[0] for line in LINES} | BEGIN >= set(COMMANDS)
