"""A command that fails says so in words on standard error and, where JSON was asked for, by a code on standard output."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from device.__main__ import main
from device.storage.store import Store


@pytest.fixture
def database(tmp_path: Path) -> Path:
    with Store.open(tmp_path / "clockface.db") as store:
        store.add_person("Ann", "E17")
    return tmp_path / "clockface.db"


@pytest.mark.parametrize("command", [["people", "list", "--json"], ["log", "--json"], ["log", "--format", "json"], ["outbox", "list", "--json"]])
def test_a_failing_command_prints_one_object_with_the_code(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--db", str(tmp_path / "none.db")]) == 1
    printed = capsys.readouterr()
    assert printed.out.count("\n") == 1
    error = json.loads(printed.out)["error"]
    assert list(error) == ["code", "message"] and error["code"] == "store.missing"
    assert printed.err == f"error: {error['message']}\n" and "none.db" in error["message"]


def test_the_code_is_that_of_the_situation(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    codes = []
    for command in (["show", "Nobody"], ["rename", "1", " "], ["erase", "id:1"]):
        main(["people", *command, "--db", str(database), "--json"])
        codes.append(json.loads(capsys.readouterr().out)["error"]["code"])
    assert codes == ["store.nobody", "store.text", "store.not_confirmed"]


def test_without_json_nothing_is_printed_on_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["people", "list", "--db", str(tmp_path / "none.db")]) == 1
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith("error: ")
