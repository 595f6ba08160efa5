"""Settings: the defaults are in their own ranges, and whatever cannot be honoured stops the start by name."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from device.config import Settings
from device.config.loader import load
from tests.refused import refused


def loaded(folder: Path, text: str) -> Settings:
    path = folder / "clockface.toml"
    path.write_text(text, encoding="utf-8")
    return load(path)


def fields() -> list[tuple[str, dataclasses.Field[Any]]]:
    sections = [section for section in dataclasses.fields(Settings) if section.name != "connectors"]
    return [(section.name, field) for section in sections for field in dataclasses.fields(section.default)]  # type: ignore[arg-type]


def test_no_file_gives_the_defaults(tmp_path: Path) -> None:
    assert load(None) == Settings() == loaded(tmp_path, "")


def test_a_challenge_without_enforcement_is_refused(tmp_path: Path) -> None:
    with refused("config.together", "[liveness] challenge", '"observe"'):
        loaded(tmp_path, '[liveness]\nmode = "observe"\nchallenge = "turn"\n')
    assert loaded(tmp_path, '[liveness]\nmode = "enforce"\nchallenge = "turn"\n').liveness.challenge == "turn"


def test_values_are_taken(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "[camera]\nwidth = 1280\nheight = 720\n[attendance]\nrefractory_seconds = 5\n")
    assert (settings.camera.width, settings.camera.height, settings.camera.rate) == (1280, 720, Settings().camera.rate)
    assert settings.attendance.refractory_seconds == 5.0
    assert settings.decision == Settings().decision


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().camera.width = 3  # type: ignore[misc]


@pytest.mark.parametrize(("section", "field"), fields(), ids=lambda value: value if isinstance(value, str) else value.name)
def test_every_default_is_allowed(section: str, field: dataclasses.Field[Any], tmp_path: Path) -> None:
    text = {bool: str(field.default).lower(), str: f"'{field.default}'"}.get(type(field.default), str(field.default))
    assert getattr(getattr(loaded(tmp_path, f"[{section}]\n{field.name} = {text}\n"), section), field.name) == field.default


@pytest.mark.parametrize(("section", "field"), [(s, f) for s, f in fields() if "low" in f.metadata], ids=lambda v: v if isinstance(v, str) else v.name)
def test_every_range_is_kept(section: str, field: dataclasses.Field[Any], tmp_path: Path) -> None:
    low, high = field.metadata["low"], field.metadata["high"]
    step = 1 if isinstance(field.default, int) else 0.001
    other = {"agree": "window = 50\n", "window": "agree = 1\n"}.get(field.name, "")  # the two limit each other
    for value in (bound for bound in (low, high) if bound is not None):
        assert getattr(getattr(loaded(tmp_path, f"[{section}]\n{field.name} = {value}\n{other}"), section), field.name) == value
    for value in [low - step] * (low is not None) + [high + step] * (high is not None):
        with refused("config.range", f"[{section}] {field.name} = "):
            loaded(tmp_path, f"[{section}]\n{field.name} = {value}\n{other}")


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("[camra]\nwidth = 3\n", "unknown", ["[camra]", "known: camera"]),
        ("camera = 3\n", "unknown", ["[camera]"]),
        ("[camera]\nwitdh = 640\n", "unknown", ["[camera] witdh", "known: width"]),
        ("[camera]\nwidth = '640'\n", "type", ["expected int, got str"]),
        ("[camera]\nwidth = 640.0\n", "type", ["expected int, got float"]),
        ("[camera]\nwidth = true\n", "type", ["expected int, got bool"]),
        ("[camera]\nwidth = [640]\n", "type", ["expected int, got list"]),
        ("[camera]\nstall_seconds = nan\n", "range", ["stall_seconds = nan"]),
        ("[camera]\nstall_seconds = inf\n", "range", ["stall_seconds = inf"]),
        ("[attendance]\ndirection = 'sideways'\n", "choice", ["alternate, in, out"]),
        ("[camera\n", "unreadable", []),
    ],
)
def test_what_cannot_be_honoured_stops_the_start(tmp_path: Path, text: str, code: str, words: list[str]) -> None:
    with refused(f"config.{code}", *words):
        loaded(tmp_path, text)


def test_unreadable_files(tmp_path: Path) -> None:
    with refused("config.no_file", "nothing.toml"):
        load(tmp_path / "nothing.toml")
    with refused("config.unreadable"):
        load(tmp_path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with refused("config.unreadable", "binary.toml"):
        load(tmp_path / "binary.toml")


def test_more_pictures_than_the_window_holds_cannot_agree(tmp_path: Path) -> None:
    with refused("config.range", "agree = 7", "window = 6"):
        loaded(tmp_path, "[decision]\nagree = 7\n")
