"""Every error has a code, every code is on the page, read from the syntax trees: nothing needs to be installed for it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BASE = "ClockfaceError"
FORM = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*){0,2}")
ROW = re.compile(r"^\| `([^`]+)` \| (.+) \|$", re.MULTILINE)


@cache
def nodes() -> tuple[ast.AST, ...]:
    files = [path for package in ("device", "export", "training") for path in sorted((ROOT / package).rglob("*.py"))]
    return tuple(node for path in files for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))))


@cache
def classes() -> dict[str, str]:
    """Name of each error class -> its own code, empty where it has none."""
    defined = {node.name: node for node in nodes() if isinstance(node, ast.ClassDef)}
    found = {BASE}
    while more := {name for name, node in defined.items() if {base.id for base in node.bases if isinstance(base, ast.Name)} & found} - found:
        found |= more
    return {name: next(own_code(defined[name]), "") for name in found}


def own_code(node: ast.ClassDef) -> Iterator[str]:
    for line in node.body:
        target = line.targets[0] if isinstance(line, ast.Assign) else line.target if isinstance(line, ast.AnnAssign) else None
        if isinstance(target, ast.Name) and target.id == "code" and isinstance(line.value, ast.Constant):  # type: ignore[attr-defined]
            yield line.value.value  # type: ignore[attr-defined]


def given_codes() -> Iterator[tuple[str, str]]:
    """Code and class of each call that makes an error with a code of its own, also by `partial`."""
    for node in nodes():
        if isinstance(node, ast.Call):
            names = [part.id for part in (node.func, *node.args[:1]) if isinstance(part, ast.Name) and part.id in classes()]
            values = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
            for part in (part for value in values if names for part in ast.walk(value) if isinstance(part, ast.Constant)):
                yield str(part.value), names[0]


@cache
def codes() -> dict[str, set[str]]:
    """Code -> the classes that have it."""
    found: dict[str, set[str]] = {}
    for code, name in [*((code, name) for name, code in classes().items()), *given_codes()]:
        found.setdefault(code, set()).add(name)
    return found


def test_every_class_has_a_code_of_its_own() -> None:
    assert [name for name, code in classes().items() if not code] == []
    assert len(set(classes().values())) == len(classes()) > 40


def test_a_code_belongs_to_one_class() -> None:
    """So a test that compares the code need not name the class as well."""
    assert {code: names for code, names in codes().items() if len(names) > 1} == {}


def test_codes_have_one_form() -> None:
    assert [code for code in codes() if not FORM.fullmatch(code)] == []


def test_the_page_lists_every_code_once_with_its_meaning() -> None:
    rows = ROW.findall((ROOT / "docs" / "errors.md").read_text(encoding="utf-8"))
    listed = [code for code, _ in rows]
    assert sorted(set(codes()) - set(listed)) == [], "not in docs/errors.md"
    assert sorted(set(listed) - set(codes())) == [], "in docs/errors.md, but nothing raises them"
    assert listed == sorted(set(listed)) and all(meaning.strip() for _, meaning in rows)
