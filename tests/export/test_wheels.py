"""The pins of each board fit the device's requirements, and only the pinned bytes are packed."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from device.maintenance.update.manifest import TARGETS
from device.vision.catalogue import sha256
from export.wheels import PYTHONS, REQUIREMENTS, Platform, at_odds, fetch, missing_in, name_of, pinned, platforms, required, unpinned
from tests.refused import refused

ALL = sorted({platform for target in PYTHONS for platform in platforms(target, TARGETS[target])}, key=str)


@pytest.mark.parametrize("platform", ALL, ids=str)
def test_every_requirement_is_pinned(platform: Platform) -> None:
    lines = platform.pins.read_text().splitlines()
    assert unpinned(lines, platform) == [], "run `python -m export wheels` and commit export/pins"
    assert all(len(line.rpartition("--hash=sha256:")[2]) == 64 for line in lines[1:])
    assert any(line.startswith("pip==") for line in lines)  # a board may have no ensurepip


def wheel(folder: Path, name: str, *requires: str) -> Path:
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\n" + "".join(f"Requires-Dist: {one}\n" for one in requires))
        archive.writestr(f"{name}/vendored-0.1.dist-info/METADATA", "Requires-Dist: never\n")
    return path


def test_conditions_are_evaluated_for_the_board(tmp_path: Path) -> None:
    lines = ['a>=1; python_version < "3.11"', 'b; platform_machine == "aarch64"', "c # why", "# none", "", 'd; extra == "docs"', 'e; sys_platform == "win32"']
    assert [one.name for one in required(lines, Platform("aarch64", "3.10"))] == ["a", "b", "c"]
    assert [one.name for one in required(lines, Platform("x86_64", "3.13"))] == ["c"]
    first = wheel(tmp_path, "first", 'second>=2; python_version < "3.11"', "third[x]==1", 'fourth; extra == "y"')
    assert missing_in([first, wheel(tmp_path, "third")], Platform("x86_64", "3.10")) == ["second>=2"]
    assert missing_in([first], Platform("x86_64", "3.12")) == ["third[x]==1"]


def test_pins_have_the_format_of_pip(tmp_path: Path) -> None:
    path = wheel(tmp_path, "some_thing")
    assert pinned([path]).splitlines()[1] == f"some-thing==1.0 --hash=sha256:{sha256(path)}"
    assert name_of(path) == "some-thing"


def test_missing_or_outdated_pins_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from export import wheels

    monkeypatch.setattr(wheels, "PINS", tmp_path)
    with refused("wheels.no_pins", "x86_64", "3.11"):
        fetch(Platform("x86_64", "3.11"), tmp_path / "kept")
    lines = [f"{one.name.lower()}==0.0.1 --hash=sha256:{'0' * 64}" for one in required(REQUIREMENTS.read_text().splitlines(), Platform("x86_64", "3.11"))]
    (tmp_path / "x86_64-3.11.txt").write_text("\n".join(lines))
    with refused("wheels.outdated", "numpy", "python -m export wheels"):
        fetch(Platform("x86_64", "3.11"), tmp_path / "kept")


def test_wheels_that_exclude_each_other_are_not_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip on the board resolves the requirements once more, without a network, and would install nothing."""
    from export import wheels

    platform = Platform("x86_64", "3.11")
    dates = wheel(tmp_path, "dates", "moments<1,>=0.9", 'clock<1; python_version < "3.10"', "Some.Thing")
    set_of = [dates, wheel(tmp_path, "moments"), wheel(tmp_path, "clock")]
    assert at_odds(set_of, platform) == ["dates needs moments<1,>=0.9, not 1.0"] and at_odds(set_of[1:], platform) == []
    monkeypatch.setattr(wheels, "PINS", tmp_path)
    monkeypatch.setattr(wheels, "unpinned", lambda lines, platform: [])
    monkeypatch.setattr(wheels, "pip_download", lambda arguments, folder: None)
    platform.pins.write_text(pinned(set_of))
    with refused("wheels.at_odds", "dates needs moments<1,>=0.9", "Some.Thing is missing", "python -m export wheels"):
        fetch(platform, tmp_path)
