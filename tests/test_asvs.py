"""The table of docs/security.md: every requirement of ASVS 5.0 up to level 2 once, and the tests that it names exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs/security.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (\d+\.\d+)\.(\d+)(?: to \d+\.\d+\.(\d+))? \| (met|\*\*open\*\*|not applicable) \| (.+) \|$", re.MULTILINE)
SECTIONS = {  # section -> how many requirements of levels 1 and 2 it has; they come first in each
    "1.1": 2, "1.2": 9, "1.3": 11, "1.4": 3, "1.5": 2, "2.1": 3, "2.2": 3, "2.3": 4, "2.4": 1, "3.2": 2, "3.3": 4, "3.4": 6,
    "3.5": 5, "3.7": 2, "4.1": 3, "4.2": 1, "4.3": 2, "4.4": 4, "5.1": 1, "5.2": 3, "5.3": 2, "5.4": 3, "6.1": 3, "6.2": 12,
    "6.3": 4, "6.4": 4, "6.5": 5, "6.6": 3, "6.8": 4, "7.1": 3, "7.2": 4, "7.3": 2, "7.4": 5, "7.5": 2, "7.6": 2, "8.1": 2,
    "8.2": 3, "8.3": 1, "8.4": 1, "9.1": 3, "9.2": 4, "10.1": 2, "10.2": 2, "10.3": 4, "10.4": 11, "10.5": 5, "10.6": 2, "10.7": 3,
    "11.1": 2, "11.2": 3, "11.3": 3, "11.4": 4, "11.5": 1, "11.6": 1, "12.1": 3, "12.2": 2, "12.3": 4, "13.1": 1, "13.2": 5, "13.3": 2,
    "13.4": 5, "14.1": 2, "14.2": 4, "14.3": 3, "15.1": 3, "15.2": 3, "15.3": 7, "16.1": 1, "16.2": 5, "16.3": 4, "16.4": 3, "16.5": 3,
    "17.1": 1, "17.2": 4, "17.3": 2,
}  # fmt: skip


def rows() -> list[tuple[str, str]]:
    """(requirement, what the page says of it)."""
    return [(f"{section}.{number}", state) for section, first, last, state, _ in ROW.findall(PAGE) for number in range(int(first), int(last or first) + 1)]


def test_every_requirement_stands_there_once() -> None:
    wanted = [f"{section}.{number}" for section, count in SECTIONS.items() for number in range(1, count + 1)]
    assert sorted(name for name, _ in rows()) == sorted(wanted) and len(wanted) == 253


def test_the_sums_are_those_of_the_rows() -> None:
    states = [state for _, state in rows()]
    said = re.search(r"(\d+) of (\d+) requirements of levels 1 and 2 are met, (\d+) do not apply, (\d+) are open", PAGE)
    assert said is not None
    assert [int(number) for number in said.groups()] == [states.count("met"), len(states), states.count("not applicable"), states.count("**open**")]


def test_the_tests_that_it_names_exist() -> None:
    named = set(re.findall(r"`((?:tests|device)/[\w/.]+)`", PAGE))
    assert len(named) > 30 and sorted(name for name in named if not (ROOT / name).exists()) == []
