"""Photos as people have them: each form gives the same people, and what is left out is named."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from tests.refused import refused
from tests.training.test_data import png, record_set
from training.photos import PhotoSet, file_name, listed

ADA, BEN = png(0, 0), png(1, 0)


def people(found: PhotoSet) -> dict[str, list[bytes]]:
    rows: dict[str, list[bytes]] = {}
    for photo in found.photos:
        rows.setdefault(photo.person, []).append(photo.read())
    return rows


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def shard(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def test_a_folder_per_person_at_any_depth(tmp_path: Path) -> None:
    put(tmp_path / "set" / "Ada" / "1.png", ADA)
    put(tmp_path / "set" / "Ben" / "1.png", BEN)
    put(tmp_path / "loose.png", BEN)
    (tmp_path / "set" / "again").symlink_to(tmp_path)  # a loop ends
    found = listed(tmp_path)
    assert people(found) == {"set/Ada": [ADA], "set/Ben": [BEN]}
    assert found.left_out == {"loose.png": "nobody is named; put it into a folder of its person"}


def test_names_of_lfw(tmp_path: Path) -> None:
    put(tmp_path / "Ada_Kern_0001.png", ADA)
    put(tmp_path / "Ben_0012.png", BEN)
    put(tmp_path / "holiday.png", BEN)
    found = listed(tmp_path)
    assert people(found) == {"Ada_Kern": [ADA], "Ben": [BEN]}
    assert found.left_out == {"holiday.png": "nobody is named; put it into a folder of its person, or call it NAME_0001"}


@pytest.mark.parametrize("form", ["path,identity\n{}", "\ufeffFile;Person\n{}", "My staff\t\nimage\tlabel\n{}"])
def test_a_list(tmp_path: Path, form: str) -> None:
    put(tmp_path / "a" / "1.png", ADA)
    put(tmp_path / "b" / "1.png", BEN)
    mark = next(mark for mark in ";\t," if mark in form)
    lines = [("a/1.png", "Ada"), ("b\\1.png", "Ben"), ("c/1.png", "Ben"), ("a/1.png", "Ada"), ("b/1.png", ""), ("x.png", "Ada"), ("x.png", "Ben")]
    source = put(tmp_path / "list.csv", form.format("\n".join(mark.join(line) for line in lines)).encode())
    found = listed(source)
    assert people(found) == {"Ada": [ADA], "Ben": [BEN]}
    assert found.left_out == {"c/1.png": "does not exist", "b/1.png": "the row has no path or no identity", "x.png": "listed for 2 people: Ada, Ben"}
    assert len({photo.file for photo in found.photos}) == 2  # 1.png of two folders


def test_shards_of_webdataset(tmp_path: Path) -> None:
    files = {"0.png": ADA, "0.cls": b"7", "1.json": json.dumps({"identity": "Ben"}).encode(), "1.png": BEN}
    shard(tmp_path / "00.tar", files)
    shard(tmp_path / "01.tar", {"Ada/2.png": ADA, "3.png": BEN, "4.cls": b"7"})
    found = listed(tmp_path)
    assert people(found) == {"7": [ADA], "Ben": [BEN], "Ada": [ADA]}
    assert set(found.left_out) == {"01.tar/3.png", "01.tar/4"}
    assert people(listed(tmp_path / "00.tar")) == {"7": [ADA], "Ben": [BEN]}


def test_a_torn_shard_costs_its_last_file(tmp_path: Path) -> None:
    path = shard(tmp_path / "00.tar", {"Ada/1.png": ADA, "Ben/1.png": BEN})
    path.write_bytes(path.read_bytes()[: path.read_bytes().index(BEN) + 100])
    found = listed(path)
    assert people(found) == {"Ada": [ADA]}
    assert "00.tar" in found.left_out


def test_records_of_insightface(tmp_path: Path) -> None:
    found = listed(record_set(tmp_path / "set.rec", [0, 1, 0]))
    assert people(found) == {"0": [png(0, 0), png(0, 2)], "1": [png(1, 1)]}


@pytest.mark.parametrize("name", ["nowhere", "set.zip", "empty"])
def test_a_source_of_no_known_form_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    put(tmp_path / "set.zip", b"PK")
    with refused("photos.none", "sub-folder per person"):
        listed(tmp_path / name)


def test_a_list_without_its_columns_is_refused(tmp_path: Path) -> None:
    with refused("list.no_column", "path"):
        listed(put(tmp_path / "list.csv", b"what,who\n1.png,Ada\n"))


def test_different_texts_give_different_file_names() -> None:
    texts = ["a/b", "a_b", "a%2Fb", "..", ".", "Zoë Müller", "a.", "a ", "a:b"]
    names = [file_name(text) for text in texts]
    assert len(set(names)) == len(texts)
    assert "Zoë Müller" in names and not any(set('/\\:') & set(name) or name.startswith(".") or name.endswith((".", " ")) for name in names)
