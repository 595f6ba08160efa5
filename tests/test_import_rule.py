"""export -> training -> device.contract <- export, read from the syntax trees: nothing needs to be installed for it."""

from __future__ import annotations

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("device", "export", "training")
FORBIDDEN = {  # package -> modules that nothing in it may import, not even inside a function
    "device": {"torch", "torchao", "onnx", "onnxscript", "training", "export", "matplotlib", "sklearn", "PIL", "tensorboard"},
    "training": {"export"},
    "export": set(),
}
GROUND = {"contract", "config"}
ROOMS = {  # room of `device/` -> the rooms below it that it may import, beside the ground; docs/architecture.md draws it
    "contract": set(),
    "config": {"contract"},
    "system": GROUND,
    "vision": GROUND | {"system"},
    "storage": GROUND | {"system"},
    "attendance": GROUND | {"system", "storage"},
    "delivery": GROUND | {"system", "storage"},
    "fleet": GROUND | {"system", "storage"},
    "terminal": GROUND | {"system", "storage", "vision", "attendance"},
    "maintenance": GROUND | {"system", "storage", "vision", "delivery"},
    "web": GROUND | {"system", "storage", "vision", "attendance", "delivery", "fleet", "terminal", "maintenance"},
    "commands": GROUND | {"system", "storage", "vision", "attendance", "delivery", "fleet", "terminal", "maintenance", "web"},
    "packaging": set(),
    "__main__": {"contract", "system"},
}  # fmt: skip
LEAF = {"numpy", "cv2"}  # all that the contract stands on, beside the standard library
FROM_DEVICE = {
    "config", "contract", "delivery.connectors", "maintenance.update", "storage.schema", "system.table_file",
    "vision.camera", "vision.catalogue", "vision.cohort", "vision.detector", "vision.downloads", "vision.embedder", "vision.error_rates", "vision.heif",
    "vision.images", "vision.liveness", "vision.trial_files", "vision.upright",
}  # fmt: skip
MEASURES_THE_DEVICE = {  # what it finds is what a terminal would do
    ("export/search.py", "vision.recogniser"), ("export/search.py", "vision.evaluation"), ("export/search.py", "vision.visit_trial"),
    ("export/search.py", "vision.visit_looks"), ("export/choose.py", "vision.visit_trial"),
    ("export/conditions.py", "vision.quality"), ("export/conditions.py", "vision.visit_trial"),
    ("export/liveness_card.py", "vision.det_picture"), ("export/shots.py", "vision.quality"),
}  # fmt: skip
DEPENDENCIES = {
    "aiosmtpd", "argon2", "cryptography", "cv2", "google", "httpx2", "hypothesis", "jinja2", "matplotlib", "mypy", "numpy", "onnx", "onnxruntime",
    "onnxscript", "openpyxl", "picamera2", "PIL", "psycopg", "pytest", "rich",
    "ruff", "scipy", "selenium", "sklearn", "sqlite_utils", "starlette", "tensorboard", "tomli", "torch", "torchao", "uvicorn", "xlsxwriter", "yaml",
}  # fmt: skip


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@cache
def imported(path: Path) -> set[str]:
    """Dotted names of everything imported anywhere in a file; `from a import b` counts as `a.b`."""
    names: set[str] = set()
    here = path.relative_to(ROOT).with_suffix("").parts if path.is_relative_to(ROOT) else (path.stem,)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join([*here[: -node.level], *([node.module] if node.module else [])]) if node.level else node.module or ""
            names |= {f"{base}.{alias.name}" for alias in node.names}
    return names


def module(name: str) -> str:
    """`device.room.module.name` -> `room.module`; `device.contract.name` -> `contract`."""
    parts = name.split(".")[1:]
    return parts[0] if parts[0] in GROUND else ".".join(parts[:2])


def top(name: str) -> str:
    return name.partition(".")[0]


@pytest.mark.parametrize("package", PACKAGES)
def test_no_package_reaches_where_it_must_not(package: str) -> None:
    faults = {f"{path.relative_to(ROOT)}: {name}" for path in modules(package) for name in imported(path) if top(name) in FORBIDDEN[package]}
    assert not faults


def room(path: Path) -> str:
    """The room of a file of `device/`: its folder, or the file itself on the ground floor."""
    return path.relative_to(ROOT / "device").with_suffix("").parts[0]


def test_every_file_of_the_device_is_in_a_room() -> None:
    assert {room(path) for path in modules("device")} - {"__init__"} == set(ROOMS)


@pytest.mark.parametrize("here", ROOMS)
def test_no_room_imports_upward(here: str) -> None:
    used = {(path, name.split(".")[1]) for path in modules("device") if room(path) == here for name in imported(path) if name.startswith("device.")}
    faults = {f"{path.relative_to(ROOT)} imports device.{other}" for path, other in used if other not in ROOMS[here] | {here}}
    assert not faults, f"{here} may import {', '.join(sorted(ROOMS[here])) or 'nothing of ours'}"


def module_of(name: str) -> Path | None:
    """The file of a module that `imported` names, or of the module that a name is taken from."""
    for parts in (name.split("."), name.split(".")[:-1]):
        place = ROOT.joinpath(*parts)
        if (found := next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)) is not None:
            return found
    return None


def circle(arrows: dict[Path, set[Path]]) -> list[Path]:
    """Files that import each other in a loop, in order; empty where there is none."""
    done: set[Path] = set()

    def walk(path: Path, trail: list[Path]) -> list[Path]:
        if path in trail:
            return trail[trail.index(path) :]
        if path in done:
            return []
        found = next((loop for other in sorted(arrows.get(path, ())) if (loop := walk(other, [*trail, path]))), [])
        done.add(path)
        return found

    return next((loop for path in sorted(arrows) if (loop := walk(path, []))), [])


@pytest.mark.parametrize("package", PACKAGES)
def test_no_files_import_each_other_in_a_circle(package: str) -> None:
    arrows = {path: {found for name in imported(path) if (found := module_of(name)) and found != path} for path in modules(package)}
    assert [path.relative_to(ROOT).as_posix() for path in circle(arrows)] == []


def test_a_circle_is_found() -> None:
    a, b, c, d = (Path(name) for name in "abcd")
    assert circle({a: {b}, b: {c}, c: {b, d}, d: set()}) == [b, c]
    assert circle({a: {b, c}, b: {d}, c: {d}, d: set()}) == []


def test_the_contract_is_a_leaf() -> None:
    used = {top(name) for name in imported(ROOT / "device" / "contract.py")} - {"__future__"}
    assert used - LEAF <= set(sys.stdlib_module_names)


@pytest.mark.parametrize("package", ["device", "export"])
def test_the_toml_library_is_chosen_in_one_place(package: str) -> None:
    users = {path.relative_to(ROOT).as_posix() for path in modules(package) for name in imported(path) if top(name) in ("tomllib", "tomli")}
    assert users <= {"device/config/loader.py"}


@pytest.mark.parametrize("package", ["training", "export"])
def test_the_workstation_uses_little_of_the_board(package: str) -> None:
    used = {(path.relative_to(ROOT).as_posix(), module(name)) for path in modules(package) for name in imported(path) if name.startswith("device.")}
    assert {(file, module) for file, module in used if module not in FROM_DEVICE} - MEASURES_THE_DEVICE == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_is_named_like_another_one(package: str) -> None:
    """A `queue.py` of ours, run by its path or by an editor with a wrong root, would be imported in place of theirs.

    Only what is imported by its bare name can be shadowed, so `__init__` and `__main__` do not count.
    """
    taken = DEPENDENCIES | set(sys.stdlib_module_names)
    faults = {path.relative_to(ROOT).as_posix() for path in modules(package) if path.stem in taken and not path.stem.startswith("__")}
    folders = {path.parent.relative_to(ROOT).as_posix() for path in modules(package) if path.parent.name in taken}
    assert not faults | folders


def test_the_reader_of_imports_sees_every_form(tmp_path: Path) -> None:
    file = tmp_path / "sample.py"
    file.write_text("import torch.nn as nn\nfrom onnx import helper\ndef f():\n    import export.build\nif True:\n    from training import a, b\n")
    assert imported(file) == {"torch.nn", "onnx.helper", "export.build", "training.a", "training.b"}


def test_relative_imports_are_resolved() -> None:
    names = {name for package in PACKAGES for path in modules(package) for name in imported(path)}
    assert all(name and not name.startswith(".") for name in names)
    assert "device.contract.ClockfaceError" in names
