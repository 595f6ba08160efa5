"""`python -m device people`, through the command line's own entry."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from device.__main__ import main
from device.storage.store import PunchDraft, Store, TemplateDraft
from device.system.clock import ClockState
from device.vision import catalogue
from tests.device.vision.test_embedder import CARD, tiny


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "clockface.db"
    embedding = np.eye(1, 8, dtype=np.float32)[0]
    with Store.open(path) as store:
        store.add_person_with_templates("Ann [bold]O'Neil[/bold]", "E17", [TemplateDraft("m" * 64, embedding, 0.5, b"crop")] * 3)
        store.add_person("Bob 👩‍🔬")
        store.record_punch(PunchDraft(1, 1_795_000_000.5, "in", "kiosk", "manual", ClockState(True, "boot", 1)))
    return path


def test_list(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["people", "list", "--db", str(database)]) == 0
    said = capsys.readouterr().out
    assert "Ann [bold]O'Neil[/bold]" in said and "E17" in said and "Bob 👩‍🔬" in said and "2 people" in said


def test_list_as_json(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["people", "list", "--db", str(database), "--json"]) == 0
    ann, bob = json.loads(capsys.readouterr().out)
    assert ann.pop("enrolled_at").endswith("Z")
    assert ann == {
        "person_id": 1,
        "name": "Ann [bold]O'Neil[/bold]",
        "code": "E17",
        "state": "active",
        "templates": {"m" * 64: 3},
        "last_punch": {"occurred_at": "2026-11-18T11:06:40.500Z", "direction": "in"},
        "department": None,
    }
    assert (bob["person_id"], bob["templates"], bob["last_punch"]) == (2, {}, None)


@pytest.mark.parametrize("ref", ["1", "e17", "E17", "id:1", "Ann [bold]O'Neil[/bold]"])
def test_show(database: Path, capsys: pytest.CaptureFixture[str], ref: str) -> None:
    assert main(["people", "show", ref, "--db", str(database)]) == 0
    said = capsys.readouterr().out
    assert "Ann [bold]O'Neil[/bold]" in said and "3 of mmmmmmmmmmmm" in said and "in 2026-11-18 11:06" in said


@pytest.fixture
def compared(tmp_path: Path) -> list[str]:
    """Options of a database of four people and a model that compares them: cosines of Ada are 0.8 with Bea, 0.96 with Cleo, 0.6 with Dora."""
    try:
        catalogue.path("yunet")
    except catalogue.ModelError as error:
        pytest.skip(f"models not pulled: {error}")
    model, settings = tiny(tmp_path / "tiny.onnx"), tmp_path / "clockface.toml"
    settings.write_text(f"[embedder]\nmodel = '{model}'\nsha256 = '{catalogue.sha256(model)}'\n", encoding="utf-8")
    people = {"Ada": (1.0, 0.0, 0.0), "Bea": (0.8, 0.6, 0.0), "Cleo": (0.96, 0.28, 0.0), "Dora": (0.6, 0.0, 0.8)}
    with Store.open(tmp_path / "clockface.db") as store:
        for name, embedding in people.items():
            store.add_person_with_templates(name, None, [TemplateDraft(CARD.model_id, np.array(embedding, np.float32), 0.5)] * 2)
        store.add_person("Elle")
        store.deactivate(3)
    return ["--db", str(tmp_path / "clockface.db"), "--config", str(settings)]


def test_show_names_who_is_most_alike(compared: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["people", "show", "Ada", *compared, "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["nearest"] == {"person_id": 2, "name": "Bea", "score": 0.8} and said.err == "", "Cleo is not recognised any more"
    assert main(["people", "show", "Ada", *compared]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "nearest    Bea (id 2, score 0.80)"


@pytest.mark.parametrize("ref", ["Cleo", "Elle"])
def test_who_is_not_recognised_is_compared_with_nobody(compared: list[str], capsys: pytest.CaptureFixture[str], ref: str) -> None:
    assert main(["people", "show", ref, *compared, "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["nearest"] is None and said.err == ""


def test_only_show_compares_people(compared: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["list"], ["rename", "1", "Adele"]):
        assert main(["people", *arguments, *compared, "--json"]) == 0
        assert "nearest" not in capsys.readouterr().out


def test_without_a_model_show_says_why_nobody_is_compared(database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "clockface.toml").write_text(f"[embedder]\nmodel = '{tmp_path}/none.onnx'\n", encoding="utf-8")
    arguments = ["people", "show", "E17", "--db", str(database), "--config", str(tmp_path / "clockface.toml")]
    assert main([*arguments, "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["nearest"] is None and json.loads(said.out)["state"] == "active"
    assert said.err.startswith("note: ") and len(said.err.splitlines()) == 1
    assert main(arguments) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "nearest"


def test_rename_deactivate_activate(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, state in [(["rename", "2", "Robert"], "active"), (["deactivate", "2"], "inactive"), (["activate", "2"], "active")]:
        assert main(["people", *arguments, "--db", str(database), "--json"]) == 0
        person = json.loads(capsys.readouterr().out)
        assert (person["name"], person["state"]) == ("Robert", state)


class Terminal(io.StringIO):
    """Somebody at a terminal who types one answer."""

    def isatty(self) -> bool:
        return True


def test_erasing_is_not_done_unasked(database: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))  # a pipe
    assert main(["people", "erase", "E17", "--db", str(database)]) == 1
    assert "--yes" in capsys.readouterr().err


@pytest.mark.parametrize(("answer", "code", "state"), [("", 1, "active"), ("\n", 1, "active"), ("no\n", 1, "active"), ("y\n", 0, "erased")])
def test_erase_asks_first(database: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, answer: str, code: int, state: str) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert main(["people", "erase", "1", "--db", str(database)]) == code
    assert "cannot be undone" in capsys.readouterr().out
    assert main(["people", "show", "1", "--db", str(database), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == state


def test_erase_with_yes(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["people", "erase", "1", "--yes", "--db", str(database)]) == 0
    assert main(["log", "--db", str(database), "--json"]) == 0
    said = capsys.readouterr().out
    assert "O'Neil" not in said and '"name": "erased-1"' in said


@pytest.mark.parametrize("arguments", [["show", "Nobody"], ["rename", "1", " "], ["rename", "1", "x" * 10_000], ["erase", "9", "--yes"]])
def test_what_cannot_be_done_is_exit_1(database: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert main(["people", *arguments, "--db", str(database)]) == 1
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize("arguments", [[], ["show"], ["sing"], ["rename", "1"], ["list", "--nonsense"]])
def test_wrong_usage_is_exit_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["people", *arguments])
    assert caught.value.code == 2


def test_a_missing_database_is_not_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["people", "list", "--db", str(tmp_path / "none.db")]) == 1
    assert "does not exist" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_import_into_a_database_that_does_not_exist_yet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    database, file = tmp_path / "new.db", tmp_path / "people.csv"
    file.write_text("code,name,department\nE1,Ann,Line 1\nE2,,\n", encoding="utf-8")
    assert main(["people", "import", str(file), "--check", "--db", str(database)]) == 1
    assert "line 3: E2: refused" in capsys.readouterr().out
    assert main(["people", "import", str(file), "--json", "--db", str(database)]) == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["fates"], said["written"]) == ({"added": 1, "changed": 0, "present": 0, "left_out": 0, "refused": 1}, True)
    with Store.open(database) as store:
        assert [(person.name, person.code) for person in store.people()] == [("Ann", "E1")]


def test_department(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, stored in (("Line 1", "Line 1"), (".", None)):
        assert main(["people", "department", "E17", name, "--db", str(database), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["department"] == stored


def test_log_and_timesheet_of_a_department(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["people", "department", "E17", "Line 1", "--db", str(database)])
    for command in (["log"], ["timesheet", "--month", "2026-11"]):
        for department, people in (("line 1", {1}), ("Office", set()), (None, {1} if command == ["log"] else {1, 2})):
            capsys.readouterr()
            only = ["--department", department] if department else []
            assert main([*command, *only, "--db", str(database), "--json"]) == 0
            assert {row["person_id"] for row in json.loads(capsys.readouterr().out)} == people
