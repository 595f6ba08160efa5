"""Somebody who comes back: recognised again only as the one person they are, and with new pictures under the same record."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from device.__main__ import main
from device.config import Settings
from device.storage import consents
from device.storage.store import Store
from device.vision import catalogue
from device.vision.catalogue import ModelError


@pytest.fixture(scope="module", autouse=True)
def models() -> None:
    try:
        catalogue.path("yunet"), catalogue.path(Settings().embedder.model)
    except ModelError as error:
        pytest.skip(f"models not pulled: {error}")


@pytest.fixture
def photos(shared: Path) -> dict[str, list[str]]:
    """Four photos of each of two people."""
    people = sorted(path for path in (shared / "faces/dev").iterdir() if path.is_dir())[8:10]
    return {name: [str(photo) for photo in sorted(person.iterdir())[:4]] for name, person in zip(("ada", "ben"), people, strict=True)}


@pytest.fixture
def database(tmp_path: Path, photos: dict[str, list[str]]) -> str:
    """Ada, enrolled as E17 and Ben."""
    path = str(tmp_path / "clockface.db")
    assert main(["enroll", "Ada", "--code", "E17", *photos["ada"][:2], "--db", path]) == 0
    assert main(["enroll", "Ben", "--code", "E20", *photos["ben"][:2], "--db", path]) == 0
    return path


def said(capsys: pytest.CaptureFixture[str]) -> str:
    found = capsys.readouterr()
    return found.out + found.err


def test_who_was_enrolled_anew_meanwhile_is_not_activated_but_merged(database: str, photos: dict[str, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["people", "deactivate", "E17", "--db", database]) == 0
    assert main(["enroll", "Ada", "--code", "E99", *photos["ada"][2:], "--db", database]) == 0
    capsys.readouterr()
    assert main(["people", "activate", "E17", "--db", database, "--json"]) == 1
    failure = json.loads(capsys.readouterr().out)["error"]
    assert failure["code"] == "enrolment.known_face" and "people merge id:3 id:1" in failure["message"]
    assert main(["people", "merge", "E99", "E17", "--db", database]) == 0
    with Store.open(Path(database)) as store:
        assert [person.active for person in store.people()] == [False, True, True]
        assert store.template_counts_by_person().keys() == {2, 3}
    assert main(["people", "merge", "E99", "--undo", "--db", database]) == 0
    assert main(["people", "activate", "E20", "--db", database]) == 0  # nothing to do, nothing refused


def test_two_people_are_not_merged_by_mistake(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["people", "merge", "E17", "E20", "--db", database]) == 1
    assert "are not alike" in said(capsys)
    assert main(["people", "merge", "E17", "E20", "--anyway", "--db", database]) == 0


def test_new_pictures_of_the_same_person(database: str, photos: dict[str, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["enroll", "--again", "E17", photos["ada"][2], "--db", database]) == 0
    with Store.open(Path(database)) as store:
        assert sum(store.template_counts_by_person()[1].values()) == 3
        with store.reading() as db:
            assert len(consents.of(db, 1)) == 1  # the wording is the same: it is not asked again
        with store.transaction() as db:
            db.execute("UPDATE consents SET wording = 'an older one' WHERE person_id = 1")
    assert main(["enroll", "--again", "E17", "--replace", *photos["ada"][2:], "--db", database]) == 0
    with Store.open(Path(database)) as store:
        assert sum(store.template_counts_by_person()[1].values()) == 2
        assert [person.name for person in store.people()] == ["Ada", "Ben"]
        with store.reading() as db:
            assert len(consents.of(db, 1)) == 2
        assert store.verify_chain("audit").ok


def test_new_pictures_are_not_those_of_somebody_else(database: str, photos: dict[str, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    for more in ([], ["--replace"]):
        assert main(["enroll", "--again", "E17", *more, photos["ben"][3], "--db", database]) == 1
        assert "is enrolled as 'Ben'" in said(capsys)
    assert main(["people", "erase", "E20", "--yes", "--db", database]) == 0
    assert main(["enroll", "--again", "E17", photos["ben"][3], "--db", database]) == 1
    assert "do not look like the earlier ones of Ada" in said(capsys)
    assert main(["enroll", "--again", "E17", "--replace", photos["ben"][3], "--db", database]) == 0  # whoever replaces, decides
