"""What docs, docstrings and comments name is there: paths, commands, names; the picture and the table of rooms are those of the import rule."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from export.bundle import IN_A_RELEASE, PACKAGING
from tests.test_import_rule import PACKAGES, ROOMS, ROOT

ARCHITECTURE = ROOT / "docs" / "architecture.md"
PICTURE = ROOT / "docs" / "pictures" / "rooms.svg"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
SOURCES = sorted(path for folder in (*PACKAGES, "tests") for path in (ROOT / folder).rglob("*.py"))
OTHERS = [path for folder in (*PACKAGES, "tests") for path in sorted((ROOT / folder).rglob("*")) if path.suffix in (".sh", ".toml", ".service")]
SCRIPTS = [ROOT / "Makefile", ROOT / ".ci" / "run", *OTHERS]
A_PATH = re.compile(r"(?<![\w/.-])(?:device|docs|export|tests|training)/[\w./*-]*")
A_PYTHON_FILE = re.compile(r"`([\w/.-]+\.py)`")
A_COMMAND = re.compile(r"python -m ((?:device|export|tests|training)[\w.]*)(?: ([a-z][\w-]*))?")
A_NAME = re.compile(r"`([\w/]+\.py)`: (`[\w.]+`(?:, `[\w.]+`)*)")
A_LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)")
PLACEHOLDER = re.compile(r"(^|[^a-z])[A-Z]{3,}")
QUESTIONS = (
    "Where is the threshold used?",
    "Who writes a punch?",
    "What happens when the camera freezes?",
    "How do I add a connector?",
    "How do I add a page?",
)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def is_there(named: str) -> bool:
    """A path from the root; of one with a placeholder, such as `device/commands/NAME.py`, the folder."""
    path = ROOT / named.rstrip(".").replace(IN_A_RELEASE, PACKAGING)
    if PLACEHOLDER.search(path.name):
        path = path.parent
    return any(path.parent.glob(path.name)) if "*" in path.name else path.exists()


def missing(text: str) -> set[str]:
    return {named for named in {*A_PATH.findall(text), *A_PYTHON_FILE.findall(text)} if not is_there(named)}


def wrong_commands(text: str) -> set[str]:
    """`python -m PACKAGE COMMAND` that no package has, a module of the tests that is no file."""
    found = set()
    for module, word in A_COMMAND.findall(text):
        place = ROOT.joinpath(*module.rstrip(".").split("."))
        if not (place.with_suffix(".py").is_file() or (place / "__main__.py").is_file()):
            found.add(module)
        elif word and module in PACKAGES and word not in importlib.import_module(f"{module}.__main__").COMMANDS:
            found.add(f"{module} {word}")
    return found


def prose(path: Path) -> str:
    """Comments of a file, and the docstrings of a Python file."""
    text = path.read_text(encoding="utf-8")
    nodes = ast.walk(ast.parse(text)) if path.suffix == ".py" else ()
    documented = [node for node in nodes if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)]
    return "\n".join([*re.findall("#.*", text), *(ast.get_docstring(node) or "" for node in documented)])


def section(page: Path, heading: str) -> str:
    return page.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def rows(text: str) -> Iterator[list[str]]:
    """The cells of each row of the tables in a text, without heads and rules."""
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        for line in table.splitlines()[2:]:
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_path_in_the_docs_is_there(page: Path) -> None:
    assert missing(page.read_text(encoding="utf-8")) == set()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_in_the_docs_is_there(page: Path) -> None:
    assert wrong_commands(page.read_text(encoding="utf-8")) == set()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_to_a_file(page: Path) -> None:
    links = set(A_LINK.findall(re.sub(r"(?ms)^ *```.*?^ *```", "", page.read_text(encoding="utf-8"))))
    assert {link for link in links if not (page.parent / link).exists()} == set()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_name_behind_a_path_is_defined_there(page: Path) -> None:
    faults = set()
    for file, names in A_NAME.findall(page.read_text(encoding="utf-8")):
        text = (ROOT / file).read_text(encoding="utf-8")
        parts = {part for name in re.findall(r"`([\w.]+)`", names) for part in name.split(".")}
        faults |= {f"{file}: {part}" for part in parts if not re.search(rf"^\s*(class|def) {part}\b|^{part}\b.*=", text, re.MULTILINE)}
    assert faults == set()


def test_docstrings_and_comments_name_what_is_there() -> None:
    texts = {name_of(path): prose(path) for path in [*SOURCES, *SCRIPTS]}
    assert {file: found for file, text in texts.items() if (found := {named for named in A_PATH.findall(text) if not is_there(named)})} == {}
    assert {file: found for file, text in texts.items() if (found := wrong_commands(text))} == {}


def test_messages_name_pages_that_are_there() -> None:
    sources = [path for path in SOURCES if path.relative_to(ROOT).parts[0] != "tests"]
    texts = {path: re.findall(r"docs/[\w/-]+\.(?:md|html)", path.read_text(encoding="utf-8")) for path in sources}
    assert any(texts.values())
    assert {name_of(path): found for path, pages in texts.items() if (found := {page for page in pages if not (ROOT / page).is_file()})} == {}


def test_the_table_of_rooms_is_that_of_the_import_rule() -> None:
    table = {cells[0].strip("`"): set(re.findall("`([a-z]+)`", cells[2])) for cells in rows(section(ARCHITECTURE, "The rooms of the device"))}
    assert table == {room: below for room, below in ROOMS.items() if room not in ("packaging", "__main__")}


def test_the_picture_of_rooms_shows_the_import_rule() -> None:
    """A room may import every room that a path of arrows leads to."""
    arrows = re.findall('data-from="([a-z]+)" data-to="([a-z]+)"', PICTURE.read_text(encoding="utf-8"))
    reached: dict[str, set[str]] = {room: set() for room in ROOMS if room not in ("packaging", "__main__")}
    for _ in reached:
        for start, end in arrows:
            reached[start] |= {end} | reached[end]
    assert reached == {room: ROOMS[room] for room in reached}


def test_the_picture_of_rooms_names_each_room() -> None:
    names = re.findall('class="name"[^>]*>([a-z]+)<', PICTURE.read_text(encoding="utf-8"))
    assert sorted(names) == sorted(room for room in ROOMS if room not in ("packaging", "__main__"))


def test_five_questions_are_answered_in_one_hop() -> None:
    answers = dict(rows(section(ARCHITECTURE, "Five questions of a new engineer")))
    assert tuple(answers) == QUESTIONS
    assert all(A_PYTHON_FILE.search(answer) for answer in answers.values())


def test_what_is_not_there_is_found() -> None:
    named = "`device/contract.py` and `nothing.py`, device/nowhere/; `device/commands/NAME.py`, /opt/x/device/gone.sh"
    assert missing(named) == {"nothing.py", "device/nowhere/"}
    assert wrong_commands("python -m device doctor; python -m device fly; python -m tests.device.nothing") == {"device fly", "tests.device.nothing"}
