"""Finding people by what is typed: without accents and case, in a company of 5,000."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from device.storage.people_search import MOST, chosen_text, search
from device.storage.person_match import fold, person_rank
from device.storage.store import Store
from tests.refused import refused

NAMES = {
    "Jörg Müller": "E17", "Anna Groß": "E18", "Łukasz Żółć": "E19", "Ana-María Peña": None, "İpek Işık": "E20", "Søren Ærø": "E21", "王小明": "E22",
    "محمد علي": "E23", "Zoë O'Brien": "M-7", "Mueller, Eva": "E24",
}  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "people.db") as store:
        for name, code in NAMES.items():
            store.add_person(name, code)
        yield store


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("muller", {"Jörg Müller"}), ("MÜLL", {"Jörg Müller", "Mueller, Eva"}), ("mueller", {"Jörg Müller", "Mueller, Eva"}), ("ss", {"Anna Groß"}),
        ("GROSS", {"Anna Groß"}), ("groß", {"Anna Groß"}), ("zolc", {"Łukasz Żółć"}), ("maria", {"Ana-María Peña"}), ("pena ana", {"Ana-María Peña"}),
        ("isik", {"İpek Işık"}), ("ipek", {"İpek Işık"}), ("soren", {"Søren Ærø"}), ("aero", {"Søren Ærø"}), ("小明", {"王小明"}), ("محمد", {"محمد علي"}),
        ("zoe", {"Zoë O'Brien"}), ("m-7", {"Zoë O'Brien"}), ("e2 ipek", {"İpek Işık"}), ("nobody", set()), ("%", set()), ("muller x", set()),
    ],
)  # fmt: skip
def test_without_accents_and_case(store: Store, typed: str, found: set[str]) -> None:
    with store.reading() as db:
        assert {person.name for person in search(db, typed)} == found


def test_a_text_is_found_however_its_accents_are_composed() -> None:
    assert fold("Mu\u0308ller") == fold("M\u00fcller") == "muller" and person_rank("Mu\u0308ller", "M\u00fcller", None) is not None


def test_the_best_come_first_and_few(tmp_path: Path) -> None:
    with Store.open(tmp_path / "many.db") as store:
        for name, code in (("Maria Anders", "7"), ("Anders Berg", "8"), ("Hanna Landers", "9"), ("Berta", "anders"), ("Anders Alt", "10")):
            store.add_person(name, code)
        store.deactivate(2)
        with store.reading() as db:
            assert [person.code for person in search(db, "anders")] == ["anders", "10", "7", "9", "8"]
            assert [person.code for person in search(db, "anders", 2)] == ["anders", "10"]
        store.erase(5)
        with store.reading() as db:
            assert "10" not in [person.code for person in search(db, "anders")] and search(db, "erased") == []


def test_five_thousand_are_searched_while_somebody_types(tmp_path: Path) -> None:
    with Store.open(tmp_path / "company.db") as store:
        with store.transaction() as db:
            rows = ((f"Person {'äöüß'[n % 4]}{n} Müller", f"C{n}", 0) for n in range(5000))
            db.conn.executemany("INSERT INTO people (name, code, created_at) VALUES (?, ?, ?)", rows)
        with store.reading() as db:
            search(db, "x")
            begin = time.process_time()
            assert len(search(db, "muller")) == MOST and [person.code for person in search(db, "c4711")] == ["C4711"]
            assert time.process_time() - begin < 0.5, "two searches; about 0.05 s on one core of a desktop"


def test_what_a_form_says_of_a_chosen_person_is_that_person(store: Store) -> None:
    for person in store.people():
        assert store.person(chosen_text(person)) == person
    with refused("store.nobody", "Jörg Müller (E17)"):
        store.person("muller")
    with refused("store.nobody"):
        store.person("Anna Groß (E17)")  # somebody else's code
    with refused("store.nobody", "people list"):
        store.person("quite another")
