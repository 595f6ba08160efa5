"""Settings of the terminal: frozen dataclasses read from TOML, each field with its unit and range.

An unknown key, a wrong type or a value out of range stops the start with the key, the value and what is allowed.
"""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from device.contract import ClockfaceError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")
ROOT = Path(__file__).resolve().parent.parent


class ConfigError(ClockfaceError):
    """A setting that cannot be honoured."""


def ranged(default: T, low: float | None = None, high: float | None = None) -> T:
    """A field with a default and an inclusive range."""
    return field(default=default, metadata={"low": low, "high": high})


def chosen(default: str, *choices: str) -> str:
    """A field with a default out of a few words."""
    return field(default=default, metadata={"choices": choices})


@dataclass(frozen=True)
class CameraSettings:
    width: int = ranged(640, 160, 7680)  # px, asked of a live camera
    height: int = ranged(480, 120, 4320)  # px
    rate: int = ranged(30, 1, 240)  # frames a second


@dataclass(frozen=True)
class DetectorSettings:
    min_eye_distance: int = ranged(24, 8, 400)  # px between the eyes in the frame: the smallest face to be found
    min_score: float = ranged(0.6, 0.05, 0.99)  # YuNet score


@dataclass(frozen=True)
class EmbedderSettings:
    model: str = "sface"  # name in device/models.toml, or a path to an .onnx file
    provider: str = chosen("auto", "auto", "tensorrt", "cuda", "cpu")
    threads: int = ranged(0, 0, 64)  # 0: as many as there are cores, at most 4


@dataclass(frozen=True)
class DecisionSettings:
    fpir: float = ranged(0.01, 0.00001, 0.5)  # target false-positive identification rate, per search


@dataclass(frozen=True)
class AttendanceSettings:
    refractory_seconds: float = ranged(60.0, 0.0, 86400.0)  # after a punch the same person is not recorded again
    direction: str = chosen("alternate", "alternate", "in", "out")


@dataclass(frozen=True)
class StoreSettings:
    path: str = "data/clockface.db"  # relative to the project's root
    busy_timeout_ms: int = ranged(5000, 0, 60000)


@dataclass(frozen=True)
class Settings:
    camera: CameraSettings = CameraSettings()
    detector: DetectorSettings = DetectorSettings()
    embedder: EmbedderSettings = EmbedderSettings()
    decision: DecisionSettings = DecisionSettings()
    attendance: AttendanceSettings = AttendanceSettings()
    store: StoreSettings = StoreSettings()


def load(path: Path | None) -> Settings:
    """Read settings from a TOML file; None gives the defaults.

    Raises:
        ConfigError: the file is missing, is not TOML, or holds a setting that cannot be honoured.
    """
    if path is None:
        return Settings()
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"configuration {path} does not exist; give an existing file to --config") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"configuration {path} cannot be read: {error}") from error
    sections = {f.name: f for f in dataclasses.fields(Settings)}
    known = ", ".join(sections)
    for name, table in tables.items():
        if name not in sections or not isinstance(table, dict):
            raise ConfigError(f"configuration {path}: unknown section [{name}]; known: {known}")
    return Settings(**{name: _section(type(getattr(Settings(), name)), name, table) for name, table in tables.items()})


def _section(kind: type[T], section: str, table: dict[str, Any]) -> T:
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for key, value in table.items():
        if key not in fields:
            raise ConfigError(f"[{section}] {key}: unknown setting; known: {', '.join(fields)}")
        _check(f"[{section}] {key}", value, fields[key])
    return kind(**table)


def _check(name: str, value: Any, spec: dataclasses.Field[Any]) -> None:
    kind = type(spec.default)
    fits = type(value) is kind or (kind is float and type(value) is int)
    if not fits:
        raise ConfigError(f"{name} = {value!r}: expected {kind.__name__}, got {type(value).__name__}")
    choices = spec.metadata.get("choices")
    if choices and value not in choices:
        raise ConfigError(f"{name} = {value!r}: expected one of {', '.join(choices)}")
    low, high = spec.metadata.get("low"), spec.metadata.get("high")
    if (low is not None and value < low) or (high is not None and value > high) or value != value:
        raise ConfigError(f"{name} = {value!r}: allowed range {low} to {high}")
