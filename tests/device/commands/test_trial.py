"""`trial --visit` on a few real people: visits of several lengths from one reading equal those measured one at a time."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from device.__main__ import main
from device.config import Settings
from device.vision.recogniser import Recogniser
from device.vision.visit_looks import read_looks
from device.vision.visit_trial import run_visits


@pytest.fixture
def folders(shared: Path, tmp_path: Path) -> list[str]:
    for person in sorted((shared / "faces/dev").iterdir())[:4]:
        shutil.copytree(person, tmp_path / "people" / person.name)
    (tmp_path / "strangers").mkdir()
    for photo in sorted((shared / "faces/strangers").iterdir())[:3]:
        shutil.copy(photo, tmp_path / "strangers")
    return [str(tmp_path / "people"), "--strangers", str(tmp_path / "strangers")]


def test_several_lengths_equal_each_on_its_own(folders: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trial", *folders, "--visit", "1,2", "--templates", "1,3", "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["visit"]["templates"], line["visit"]["crops"]) for line in found] == [(1, 1), (1, 2), (3, 1), (3, 2)]
    recogniser = Recogniser(Settings())
    looks = read_looks(recogniser, Path(folders[0]), Path(folders[2]), lambda paths, words: paths)
    alone = run_visits(recogniser, looks, 2, 3).as_dict()["visit"]
    assert found[3]["visit"] == json.loads(json.dumps(alone)) and alone["fnir"]["n"] == 40


def test_several_lengths_are_one_table(folders: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trial", *folders, "--visit", "1,2"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| 3 |")]
    assert [line.split(" | ")[1] for line in lines] == ["1", "2"]


@pytest.mark.parametrize("lengths", ["0", "1,,2", "1,51", "a", "-1", ""])
def test_lengths_that_are_none_are_wrong_usage(lengths: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["trial", str(tmp_path), "--strangers", str(tmp_path), f"--visit={lengths}"])
    assert stopped.value.code == 2
