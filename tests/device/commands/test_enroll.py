"""`enroll` with what people bring from their phones."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import openpyxl
import pillow_heif
import pytest
from PIL import Image

from device.__main__ import main
from device.storage.store import Store

ROOT = Path(__file__).resolve().parents[3]
SIDEWAYS = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"  # orientation 6


@pytest.fixture(scope="module")
def phone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one picture as a phone stores it: on its side, with a box and a tag that say so."""
    portrait = cv2.imread(str(ROOT / "models/grace_hopper.jpg"))
    folder = tmp_path_factory.mktemp("staff")
    (folder / "Grace (G1)").mkdir()
    pillow_heif.from_pillow(Image.fromarray(np.rot90(portrait[:, :, ::-1]))).save(folder / "Grace (G1)/IMG_1.HEIC", exif=SIDEWAYS)
    book = openpyxl.Workbook()
    for row in (["Name", "Code", "Photo"], ["Grace", "G1", "Grace (G1)/IMG_1.HEIC"]):
        book.active.append(row)
    book.save(folder / "staff.xlsx")
    return folder


@pytest.mark.parametrize("way", ["picture", "folder", "list"])
def test_a_heic_picture_is_enrolled(phone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], way: str) -> None:
    given = {"picture": ["Grace", str(phone / "Grace (G1)/IMG_1.HEIC")], "folder": ["--folder", str(phone)], "list": ["--list", str(phone / "staff.xlsx")]}[way]
    database = tmp_path / "heic.db"
    assert main(["enroll", *given, "--db", str(database)]) == 0
    assert "turned by" not in capsys.readouterr().err  # it was upright once the box was followed
    with Store.open(database) as store:
        assert [(person.name, sum(store.template_counts_by_person()[person.id].values())) for person in store.people()] == [("Grace", 1)]
    assert main(["identify", str(phone / "Grace (G1)/IMG_1.HEIC"), "--db", str(database), "--json"]) == 0
    assert '"name": "Grace"' in capsys.readouterr().out


def test_links_pipes_and_names_that_are_no_text(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """A linked folder is somebody; a link to a folder further up, to nothing, and a pipe are nobody."""
    staff, other = tmp_path / "staff", tmp_path / "other"
    for folder in (staff, other, staff / "Dora"):
        folder.mkdir()
    (other / "1.jpg").touch()
    for name, target in (("Ada", other), ("up", tmp_path), ("gone", tmp_path / "nowhere")):
        (staff / name).symlink_to(target)
    os.mkfifo(staff / "pipe")
    Path(os.fsdecode(bytes(staff) + b"/M\xfcller")).mkdir()
    assert main(["enroll", "--folder", str(staff), "--check", "--db", str(tmp_path / "new.db")]) == 1
    said = capsysbinary.readouterr().out
    assert b"Ada: Ada/1.jpg" in said and b"Dora: no photo: the folder is empty" in said and b"M\xfcller: " in said and b"1 of 3 could be enrolled" in said
