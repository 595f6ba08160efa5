"""One class name, one meaning: over `device/`, `export/` and `training/` no public class shares its name with another."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONNECTORS = "device/delivery/connectors/"
AT_LEAST = {"device": 200, "export": 20, "training": 60}  # classes of each package, so that the test cannot pass on nothing
PLUG_IN = {"Settings", "Target"}  # the form of a connector: each module there has its own of these names


def public_classes(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]


def twice(names: list[tuple[str, str]]) -> dict[str, list[str]]:
    """Class name -> files that define it, where there are several; (file, name) each."""
    found: dict[str, list[str]] = defaultdict(list)
    for file, name in names:
        if not (name in PLUG_IN and file.startswith(CONNECTORS)):
            found[name].append(file)
    return {name: files for name, files in found.items() if len(files) > 1}


def names_of(package: str) -> list[tuple[str, str]]:
    """(file, name) of every public class of a package."""
    return [(path.relative_to(ROOT).as_posix(), name) for path in sorted((ROOT / package).rglob("*.py")) for name in public_classes(path)]


def test_no_public_class_is_defined_twice() -> None:
    names = {package: names_of(package) for package in AT_LEAST}
    assert {package: len(names[package]) >= least for package, least in AT_LEAST.items()} == dict.fromkeys(AT_LEAST, True)
    assert twice([pair for package in names.values() for pair in package]) == {}


def test_a_name_that_stands_twice_is_found() -> None:
    assert twice([("device/a.py", "Trial"), ("device/b.py", "Trial"), ("device/b.py", "Other")]) == {"Trial": ["device/a.py", "device/b.py"]}
    assert twice([(f"{CONNECTORS}a.py", "Target"), (f"{CONNECTORS}b.py", "Target"), ("device/config/__init__.py", "Settings")]) == {}
    assert twice([(f"{CONNECTORS}a.py", "Answer"), (f"{CONNECTORS}b.py", "Answer")]).keys() == {"Answer"}


def test_classes_are_read_from_the_whole_file(tmp_path: Path) -> None:
    file = tmp_path / "sample.py"
    file.write_text("class A:\n    class B: ...\nclass _C: ...\nif True:\n    class D: ...\n")
    assert sorted(public_classes(file)) == ["A", "B", "D"]
