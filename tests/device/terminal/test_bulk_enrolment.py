"""Plans from folders and lists, against what a person would read in them; enrolment of real faces from bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.config import Settings
from device.storage.consents import ConsentDraft
from device.storage.store import Store
from device.system.table_file import ListError
from device.terminal import bulk_enrolment
from device.terminal.bulk_enrolment import BulkError, Enrollee, from_folders, from_list
from device.vision.catalogue import ModelError
from device.vision.heif import HEIC_SUFFIXES
from device.vision.images import IMAGE_SUFFIXES
from device.vision.recogniser import Recogniser
from tests.refused import refused

CONSENT = ConsentDraft("2026-11", "en", "the whole text", "paper", 1.8e9)


def from_csv(text: str, paths: list[str]) -> list[Enrollee]:
    return from_list(text.encode(), paths)[0]


PATHS = ["staff/Ada Kern (E17)/1.jpg", "staff/Ada Kern (E17)/2.PNG", "staff/Ben Ott/x.webp", "staff/Ben Ott/notes.txt", "staff/readme.md"]


def test_a_sub_folder_a_person() -> None:
    ada, ben = from_folders(PATHS)
    assert (ada.name, ada.code, ada.photos, ada.problem) == ("Ada Kern", "E17", tuple(PATHS[:2]), "")
    assert (ben.name, ben.code, ben.photos) == ("Ben Ott", "", ("staff/Ben Ott/x.webp",))
    assert from_folders(["loose.jpg"]) == [] and from_folders([]) == []


@pytest.mark.parametrize("between", [",", ";", "\t"])
def test_a_list_in_each_of_the_ways_spreadsheets_write_it(between: str) -> None:
    lines = [["Name", "Code", "Photo1", "photo2"], ["Ada Kern", "E17", "1.JPG|2.png", "x.webp"], ["", "", "", ""], ["Kern, Cem", "E19", "gone.jpg", ""]]
    text = "\ufeff" + "\r\n".join(between.join(f'"{cell}"' for cell in line) for line in lines)
    ada, cem = from_csv(text, PATHS)
    assert (ada.name, ada.code, ada.photos) == ("Ada Kern", "E17", (PATHS[0], PATHS[1], PATHS[2])) and not ada.problem
    assert cem.name == "Kern, Cem" and cem.problem == "not in the folder: gone.jpg"


def test_a_list_without_photos_finds_them_by_code_or_folder() -> None:
    paths = ["p/E1.jpg", "p/e1-2.jpg", "p/E10.jpg", "p/Ben Ott/a.jpg", "p/E12/b.jpg"]
    found = from_csv("name,code\nAda,E1\nBen Ott,E11\nCem,E12\nDana,E13\n", paths)
    assert [entry.photos for entry in found] == [("p/E1.jpg", "p/e1-2.jpg"), ("p/Ben Ott/a.jpg",), ("p/E12/b.jpg",), ()]
    assert found[3].problem == "no photo"


LITTER = ["staff/Ada/._1.jpg", "staff/.thumbnails/1.jpg", "staff/.Trash-1000/Old/1.jpg", "staff/Ada/Thumbs.db", "__MACOSX/staff/Ada/1.jpg", ".DS_Store"]
LITTER += ["#recycle/Ada/1.jpg", "staff/@Recycle/Ada/1.jpg", "__macosx/Ada/1.jpg", "staff/Ada/thumbs.db", "RECYCLER/S-1/1.jpg", "staff/Ada/@eadir/1.jpg"]


def test_what_systems_leave_behind_is_nobody() -> None:
    (ada,) = from_folders(["staff/Ada/1.jpg", *LITTER])
    assert (ada.name, ada.photos, ada.problem) == ("Ada", ("staff/Ada/1.jpg",), "")
    (ada,) = from_csv("name\nAda\n", ["staff/Ada/1.jpg", *LITTER])
    assert ada.photos == ("staff/Ada/1.jpg",)


@pytest.mark.parametrize(
    ("folder", "name", "code"),
    [("Ada Kern (E17) ", "Ada Kern", "E17"), ("王伟（E17）", "王伟", "E17"), ("\u200fعمر\u200f (E17)", "عمر", "E17"),
     ("Kern, Ada (née Ott) (E17)", "Kern, Ada (née Ott)", "E17"), ("Zoe\u0308", "Zo\u00eb", ""), ("👩\u200d🔬 Ada", "👩\u200d🔬 Ada", "")],
)  # fmt: skip
def test_the_name_and_code_of_a_folder(folder: str, name: str, code: str) -> None:
    (one,) = from_folders([f"{folder}/1.jpg"])
    assert (one.name, one.code, one.problem) == (name, code, "")


@pytest.mark.parametrize(
    ("header", "cells"),
    [("Nachname;Vorname;Personalnummer", "Kern;Ada;E17"), ("Nom;Prénom;Matricule", "Kern;Ada;E17"), ("NOMBRE;APELLIDOS;CODIGO", "Ada;Kern;E17"),
     ("Ad;Soyad;SİCİL NO", "Ada;Kern;E17"), ("姓名;工号", "Ada Kern;E17"), ("الاسم;الرقم الوظيفي", "\u200fAda Kern;E17\u200e")],
)  # fmt: skip
def test_headers_in_the_languages_of_the_kiosk(header: str, cells: str) -> None:
    (ada,) = from_csv(f"{header}\n{cells}\n", ["p/E17.jpg"])
    assert (ada.name, ada.code, ada.photos) == ("Ada Kern", "E17", ("p/E17.jpg",))


def test_every_sub_folder_gets_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_enrolment, "IMAGE_SUFFIXES", IMAGE_SUFFIXES - HEIC_SUFFIXES)  # as without pi-heif
    found = from_folders(["staff/Ada/1.jfif", "staff/Ben/IMG_1.HEIC", "staff/Cem/", "staff/Dora/notes.txt", "staff/readme.md"])
    assert [(one.name, bool(one.problem)) for one in found] == [("Ada", False), ("Ben", True), ("Cem", True), ("Dora", True)]
    assert "IMG_1.HEIC is a HEIC picture" in found[1].problem and "save it as JPEG" in found[1].problem
    assert "empty" in found[2].problem and "notes.txt" in found[3].problem


def test_photos_of_one_person_in_several_rows_or_one_cell() -> None:
    paths = ["s/a1.jpg", "s/a2.jpg", "s/a3.jpg", "s/b1.jpg"]
    ada, ben = from_csv("name,code,photo\nAda,E1,a1.jpg\nBen,,b1.jpg\nAda,E1,a2.jpg;a3.jpg\n", paths)
    assert ada.photos == tuple(paths[:3]) and ben.photos == ("s/b1.jpg",) and not ada.problem


def test_codes_of_others_are_seen_before_anything_is_stored(tmp_path: Path) -> None:
    with Store.open(tmp_path / "bulk.db") as store:
        store.add_person("Ada", "E1")
        store.deactivate(store.add_person("Cem", "E3").id)
        rows = ("Ada,e1,1.jpg", "Ben,E1,1.jpg", "Cem,E3,1.jpg")
        one, two, three = (bulk_enrolment.against(store, from_csv(f"name,code,photo\n{row}\n", PATHS))[0] for row in rows)
    assert (one.problem, two.problem, three.problem) == ("", "the code E1 belongs to Ada", "not active")


def test_people_with_photos_of_one_name_keep_their_own() -> None:
    """Each photo in the list is the path of one file; its folder counts."""
    paths = ["staff/Ada/front.jpg", "staff/Ben/front.jpg"]
    for listed in ("Ada/front.jpg", "staff/Ada/front.jpg", "ada/FRONT.JPG", "Ada\\front.jpg", "./Ada/front.jpg", "C:\\HR\\staff\\Ada\\front.jpg"):
        ada, ben = from_csv(f"name,code,photo\nAda,E1,{listed}\nBen,E2,{listed.replace('Ada', 'Ben').replace('ada', 'ben')}\n", paths)
        assert (ada.photos, ben.photos) == (("staff/Ada/front.jpg",), ("staff/Ben/front.jpg",)), listed
        assert not ada.problem and not ben.problem, listed


def test_a_name_that_fits_several_photos_is_told() -> None:
    paths = ["staff/Ada/front.jpg", "staff/Ben/front.jpg", "staff/Ben/side.jpg"]
    ada, ben = from_csv("name,code,photo\nAda,E1,front.jpg\nBen,E2,side.jpg|Cem/front.jpg\n", paths)
    assert ada.photos == () and "front.jpg is not clear" in ada.problem and "staff/Ada/front.jpg, staff/Ben/front.jpg" in ada.problem
    assert ben.problem == "not in the folder: Cem/front.jpg"


def test_accents_are_found_however_they_are_composed() -> None:
    composed, decomposed = "Zo\u00eb", "Zoe\u0308"
    for stored, listed in ((composed, decomposed), (decomposed, composed)):
        (zoe,) = from_csv(f"name,code,photo\nZ,E1,{listed}/1.jpg\n", [f"staff/{stored}/1.jpg", "staff/Zoe/1.jpg"])
        assert zoe.photos == (f"staff/{stored}/1.jpg",) and not zoe.problem
        (zoe,) = from_csv(f"name\n{listed}\n", [f"staff/{stored}/1.jpg", "staff/Zoe/1.jpg"])
        assert zoe.photos == (f"staff/{stored}/1.jpg",) and not zoe.problem


def test_folders_of_one_name_in_two_departments_are_two_people() -> None:
    paths = ["staff/Sales/Ada/1.jpg", "staff/Sales/Ada/2.jpg", "staff/IT/Ada/1.jpg"]
    assert [(entry.name, entry.photos, entry.problem) for entry in from_folders(paths)] == [
        ("Ada", ("staff/IT/Ada/1.jpg",), ""),
        ("Ada", ("staff/Sales/Ada/1.jpg", "staff/Sales/Ada/2.jpg"), ""),
    ]
    both = from_folders([path.replace("Ada", "Ada (E1)") for path in paths])
    assert [entry.problem for entry in both] == ["the code E1 stands there twice"] * 2
    (ada,) = from_csv("name\nAda\n", paths)
    assert "staff/IT/Ada" in ada.problem and "staff/Sales/Ada" in ada.problem
    one, other = from_csv("name,photo\nAda,IT/Ada/1.jpg\nAda,Sales/Ada/1.jpg|Sales/Ada/2.jpg\n", paths)
    assert one.photos == tuple(paths[2:]) and other.photos == tuple(paths[:2]) and not one.problem and not other.problem


def test_mistakes_are_named() -> None:
    twice = from_csv("name,code,photo\nA,E1,1.jpg\nB,e1,x.webp\n", PATHS)
    assert [entry.problem for entry in twice] == ["the code E1 stands there twice", "the code e1 stands there twice"]
    shared = from_csv("name,code,photo\nA,E1,1.jpg\nB,E2,1.jpg\n", PATHS)
    assert all("belongs to somebody else" in entry.problem for entry in shared)
    many = from_folders([f"s/A/{i}.jpg" for i in range(bulk_enrolment.MOST_PHOTOS + 1)])
    assert "at most" in many[0].problem
    assert "format Text" in from_csv('name;code;photo\nA;"1,00E+05";1.jpg\n', PATHS)[0].problem
    assert "control character" in from_csv('name,code,photo\n"A\x07",E1,1.jpg\n', PATHS)[0].problem
    for text in ("Ada;E17;1.jpg\n", "", "\n\n", "x" * 100):
        with refused("list.no_column"):
            from_csv(text, PATHS)
    with refused("bulk.too_many", "5000"):
        from_csv("name\n" + "A\n" * 5001, PATHS)


@given(st.text(max_size=300), st.lists(st.text(max_size=40), max_size=8))
def test_whatever_comes_is_a_plan_or_words(text: str, paths: list[str]) -> None:
    from_folders(paths)
    for listed in (text, f"name,code,photo\n{text}"):
        try:
            entries = from_csv(listed, paths)
        except (BulkError, ListError):
            continue
        assert all(set(entry.photos) <= set(paths) for entry in entries)


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    try:
        return Recogniser(Settings())
    except ModelError as error:
        pytest.skip(f"models not pulled: {error}")


def test_real_photos_are_enrolled_poor_ones_left_out_and_nobody_twice(recogniser: Recogniser, shared: Path, tmp_path: Path) -> None:
    people = sorted(path for path in (shared / "faces/dev").iterdir() if path.is_dir())[:2]
    first, second = ({photo.name: photo.read_bytes() for photo in sorted(person.iterdir())[:3]} for person in people)
    with Store.open(tmp_path / "bulk.db") as store:
        photos = {**first, "cut.jpg": next(iter(first.values()))[:2000], "text.jpg": b"no picture"}
        done = bulk_enrolment.enrol_one(store, recogniser, "A", "E1", photos, CONSENT)
        assert 1 <= done.templates <= 3 and done.templates + len(done.left_out) == 5
        with store.reading() as db:
            assert db.execute("SELECT person_id, way, version FROM consents").fetchall() == [(done.person.id, "paper", "2026-11")]
        with refused("enrolment.known_face", "'A'"):
            bulk_enrolment.enrol_one(store, recogniser, "B", "E2", first, CONSENT)
        with refused("enrolment.no_photo", "cut.jpg"):
            bulk_enrolment.enrol_one(store, recogniser, "C", "E3", {"cut.jpg": b"\xff\xd8\xff"}, CONSENT)
        known = store.add_person("D", "E4")
        assert bulk_enrolment.enrol_one(store, recogniser, "D", "e4", second, CONSENT).person.id == known.id
        with refused("enrolment.has_templates"):
            bulk_enrolment.enrol_one(store, recogniser, "D", "E4", second, CONSENT)
        with refused("enrolment.code_taken", "E4"):
            bulk_enrolment.enrol_one(store, recogniser, "X", "E4", second, CONSENT)
        assert [person.name for person in store.people()] == ["A", "D"]
        assert store.verify_chain("audit").ok


def test_a_photo_of_somebody_else_is_left_out_by_name(recogniser: Recogniser, shared: Path, tmp_path: Path) -> None:
    ada, ben = ([photo.read_bytes() for photo in sorted(person.iterdir())] for person in sorted((shared / "faces/dev").iterdir())[8:10])
    with Store.open(tmp_path / "bulk.db") as store:
        mixed = {"a1.jpg": ada[0], "b1.jpg": ben[0], "a2.jpg": ada[1], "b2.jpg": ben[1], "a3.jpg": ada[2]}
        done = bulk_enrolment.enrol_one(store, recogniser, "Ada", "E1", mixed, CONSENT)
        assert done.templates == 3 and [words.partition(":")[0] for words in done.left_out] == ["b1.jpg", "b2.jpg"]
        assert bulk_enrolment.enrol_one(store, recogniser, "Ben", "E2", {"b1.jpg": ben[0], "b2.jpg": ben[1]}, CONSENT).templates == 2
        with refused("enrolment.another_person", "a1.jpg", "b3.jpg", "damaged"):
            bulk_enrolment.enrol_one(store, recogniser, "Both", "E3", {"a1.jpg": ada[0], "b3.jpg": ben[2]}, CONSENT)
        assert [person.name for person in store.people()] == ["Ada", "Ben"]
