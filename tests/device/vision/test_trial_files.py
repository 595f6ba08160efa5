"""Which files a liveness trial takes, by folders and by a table."""

from __future__ import annotations

from pathlib import Path

import pytest

from device.vision.trial_files import listed
from tests.refused import refused


def empty(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_sub_folders_are_species_and_folders_inside_them_sources(tmp_path: Path) -> None:
    empty(tmp_path, "real/a.mp4", "real/hall/b.JPG", "print/matt/large/c.webm", "print/notes.txt", "print/.hidden.mp4", ".git/x.mp4", "loose.mp4")
    files, left_out = listed(tmp_path)
    assert [(file.name, file.species, file.source, file.attack, file.still) for file in files] == [
        ("print/matt/large/c.webm", "print", "matt/large", True, False),
        ("real/a.mp4", "real", "", False, False),
        ("real/hall/b.JPG", "real", "hall", False, True),
    ]
    assert left_out == ["print/notes.txt"]


def test_a_table_in_place_of_sub_folders(tmp_path: Path) -> None:
    empty(tmp_path, "a.mp4", "sub/b.avi", "c.png")
    table = tmp_path / "clips.tsv"
    table.write_text("file\tspecies\tsource\tkind\na.mp4\tbonafide\tX\tclip\nsub/b.avi\tprint, bent\tY\tclip\nc.png\tReal\t\tstill\n", encoding="utf-8")
    files, left_out = listed(tmp_path, table)
    assert [(file.path, file.species, file.source, file.attack) for file in files] == [
        (tmp_path / "a.mp4", "bonafide", "X", False),
        (tmp_path / "sub/b.avi", "print, bent", "Y", True),
        (tmp_path / "c.png", "Real", "", False),
    ]
    assert left_out == []


@pytest.mark.parametrize("rows", ["gone.mp4\treal", "a.mp4\treal\na.mp4\tprint", "a.mp4,real", "a.mp4\t"])
def test_a_table_that_does_not_fit_is_refused(tmp_path: Path, rows: str) -> None:
    empty(tmp_path, "a.mp4")
    (tmp_path / "clips.tsv").write_text(f"file\tspecies\n{rows}\n", encoding="utf-8")
    with refused("trial.table", "clips.tsv"):
        listed(tmp_path, tmp_path / "clips.tsv")


def test_a_folder_without_clips_is_refused(tmp_path: Path) -> None:
    with refused("trial.no_folder"):
        listed(tmp_path / "none")
    empty(tmp_path, "real/notes.txt", "loose.mp4")
    with refused("trial.too_few"):
        listed(tmp_path)
    with refused("trial.table", "none.tsv"):
        listed(tmp_path, tmp_path / "none.tsv")
