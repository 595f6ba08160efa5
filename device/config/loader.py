"""Settings in force: the TOML file, with what was set on the web pages and what a fleet sets.

An unknown key, a wrong type or a value out of range stops the start with the key, the value and what is allowed.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from device.config import ConnectorTable, Settings
from device.config.fields import ConfigError
from device.config.places import HOME, ROOT, installed_file
from device.contract import phrase

if sys.version_info >= (3, 11):
    import tomllib as tomllib  # from here for everybody: one place chooses it
else:
    import tomli as tomllib


T = TypeVar("T")


def load(path: Path | None, stored: Mapping[str, Mapping[str, Any]] | None = None, above: Mapping[str, Any] | None = None) -> Settings:
    """Read settings from a TOML file. None: in an installation its clockface.toml, else the release's, else the defaults.

    Args:
        stored: section -> key -> value of what was set on the web pages (`device.storage.settings`). It fills in what the
            file leaves open; a key that stands in both with different values is an error, so nothing is silently ignored.
        above: "attendance.direction" -> value, of what a fleet sets for this terminal; it counts instead of both.

    Raises:
        ConfigError: the file is missing, is not TOML, or holds a setting that cannot be honoured.
    """
    tables = file_tables(path)
    for section, values in (stored or {}).items():
        if section not in {f.name for f in dataclasses.fields(Settings)}:
            raise ConfigError(
                f"[{section}] was set on the settings page and is unknown; `python -m device settings unset {section}.{next(iter(values))}`",
                code="config.unknown",
            )
        given = tables.setdefault(section, {})
        for key, value in values.items():
            if given.setdefault(key, value) != value and f"{section}.{key}" not in (above or {}):
                both = f"[{section}] {key} is {given[key]!r} in the configuration file and {value!r} on the settings page"
                raise ConfigError(f"{both}; take it out of the file, or `python -m device settings unset {section}.{key}`", code="config.set_twice")
    for name, value in (above or {}).items():
        section, _, key = name.partition(".")
        tables.setdefault(section, {})[key] = value
    targets = tuple(ConnectorTable(name, table) for name, table in tables.pop("connectors", {}).items())
    return Settings(connectors=targets, **{name: read_section(type(getattr(Settings(), name)), name, table) for name, table in tables.items()})


def file_tables(path: Path | None) -> dict[str, dict[str, Any]]:
    """The tables of the file as they stand there; for None see `load`."""
    if path is None:
        path = installed_file(HOME, ROOT)
    if path is None:
        return {}
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"configuration {path} does not exist; give an existing file to --config", code="config.no_file") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"configuration {path} cannot be read: {error}", code="config.unreadable") from error
    sections = {f.name: f for f in dataclasses.fields(Settings)}
    known = ", ".join(sections)
    for name, table in tables.items():
        if name not in sections or not isinstance(table, dict):
            raise ConfigError(f"configuration {path}: unknown section [{name}]; known: {known}", code="config.unknown")
    return tables


def read_section(form: type[T], section: str, table: Mapping[str, Any], **given: Any) -> T:
    """One table of the file as frozen settings; `given` are fields that are no keys of the table."""
    fields = {f.name: f for f in dataclasses.fields(form) if f.name not in given}  # type: ignore[arg-type]
    for key, value in table.items():
        if key not in fields:
            raise ConfigError(f"[{section}] {key}: unknown setting; known: {', '.join(fields)}", code="config.unknown")
        _check(f"[{section}] {key}", value, fields[key])
    for key, spec in fields.items():
        if spec.metadata.get("needed") and not table.get(key):
            raise ConfigError(f"[{section}] {key} is missing; docs/connectors.md says what it is", code="config.missing")
    return form(**given, **{key: tuple(value) if isinstance(value, list) else value for key, value in table.items()})


def _check(name: str, value: Any, spec: dataclasses.Field[Any]) -> None:
    if spec.metadata.get("secret") and value != "" and not (isinstance(value, str) and value.startswith(("file:", "env:"))):
        raise ConfigError(f"{name}: expected file:PATH or env:NAME; a secret does not stand in the configuration", code="config.secret")
    if isinstance(spec.default, tuple):
        if not (isinstance(value, list) and all(isinstance(item, str) and item for item in value)):
            raise ConfigError(f"{name} = {value!r}: expected a list of texts", code="config.type")
        return
    kind = type(spec.default)
    if not (type(value) is kind or (kind is float and type(value) is int)):
        raise ConfigError(f"{name} = {value!r}: expected {kind.__name__}, got {type(value).__name__}", code="config.type")
    choices = spec.metadata.get("choices")
    if choices and value not in choices:
        words, known = "{name} = {value!r}: expected one of {known}", ", ".join(choices)
        raise ConfigError(phrase("config.choice", words, name=name, value=value, known=known), code="config.choice")
    low, high = spec.metadata.get("low"), spec.metadata.get("high")
    if (low is not None and value < low) or (high is not None and value > high) or value != value:
        words = phrase("config.range", "{name} = {value!r}: allowed range {low} to {high}", name=name, value=value, low=low, high=high)
        raise ConfigError(words, code="config.range")
