"""Which file a name in a list means: worked examples, and a slow comparison of whole paths."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.terminal.photo_names import PhotoNames, unclear

PATHS = ["staff/Ada/front.jpg", "staff/Ben/front.jpg", "staff/Ben/Side.jpg", "staff/old/Ada/front.jpg", "staff/cem.jpg", "staff/x/Cem.jpg", "staff/CEM.jpg"]


@pytest.mark.parametrize(
    ("listed", "found"),
    [
        ("Ada/front.jpg", [0]),  # from inside the chosen folder, although old/Ada/front.jpg ends with it as well
        ("ada\\Front.JPG", [0]),
        ("old/Ada/front.jpg", [3]),
        ("side.jpg", [2]),
        ("front.jpg", [0, 1, 3]),
        ("cem.jpg", [4]),  # letter by letter
        ("Cem.JPG", [4, 6]),  # files that differ in case only
        ("x/cem.jpg", [5]),
        ("D:/photos/staff/Ben/front.jpg", [1]),
        ("Dora/front.jpg", []),  # the file's name alone is not enough
        ("/home/hr/Side.jpg", []),
        ("", []),
        ("/", []),
        ("staff", []),
    ],
)
def test_worked_examples(listed: str, found: list[int]) -> None:
    assert PhotoNames(PATHS).find(listed) == [PATHS[index] for index in found]


NAMES = st.sampled_from(["a", "A", "b", "\u00eb", "e\u0308", "E\u0308"])


@given(st.lists(st.lists(NAMES, min_size=2, max_size=4).map("/".join), max_size=8, unique=True), st.lists(NAMES, min_size=1, max_size=4).map("/".join))
def test_nothing_is_found_that_does_not_end_alike(paths: list[str], listed: str) -> None:
    def same(name: str) -> str:
        return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).lower())

    found = PhotoNames(paths).find(listed)
    fits = [path for path in paths if f"/{same(path)}".endswith(f"/{same(listed)}") or f"/{same(listed)}".endswith(f"/{same(path)}")]
    assert set(found) <= set(fits)
    assert found or not fits
    if listed in paths:
        assert listed in found


def test_several_are_shown_by_name() -> None:
    assert unclear("1.jpg", ["b/1.jpg", "a/1.jpg"]) == "1.jpg is not clear: a/1.jpg, b/1.jpg; give the path from the chosen folder"
    assert "and 7 more" in unclear("1.jpg", [f"{index}/1.jpg" for index in range(10)])


def test_as_many_files_as_a_page_takes_are_looked_up_quickly() -> None:
    paths = [f"staff/{index % 50}/{index}/front.jpg" for index in range(20_000)] + ["a/" * 10_000 + "b.jpg"]
    began = time.process_time()
    names = PhotoNames(paths)
    assert all(names.find(f"{index % 50}/{index}/FRONT.jpg") == [paths[index]] for index in range(5000))
    assert len(names.of_person("7", "")[0]) == 1
    assert time.process_time() - began < 10
