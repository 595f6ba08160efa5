"""How a setting is declared: a field of a frozen dataclass with its unit, range and help in the metadata."""

from __future__ import annotations

from dataclasses import field
from typing import TypeVar

from device.contract import ClockfaceError

T = TypeVar("T")


class ConfigError(ClockfaceError):
    """A setting that cannot be honoured."""

    code = "config"


def ranged(default: T, low: float | None = None, high: float | None = None, unit: str = "", help: str = "") -> T:
    """A number. Its unit is what it is counted in, such as "px", "s" or "share"; its range is inclusive."""
    return field(default=default, metadata={"low": low, "high": high, "unit": unit, "help": help})


def chosen(default: str, *choices: str, help: str = "") -> str:
    """One word out of a few, which are its range; its unit is "choice"."""
    return field(default=default, metadata={"choices": choices, "unit": "choice", "help": help})


def switched(default: bool, help: str) -> bool:
    """Yes or no. Its unit is "yes or no"; its range is `true` and `false`."""
    return field(default=default, metadata={"unit": "yes or no", "help": help})


def written(default: str, form: str, help: str) -> str:
    """A text. Its unit is its form, such as "path", "host name" or "times of day" ("text" has none); its range is every text of that form."""
    return field(default=default, metadata={"unit": form, "help": help})


def listed(form: str, help: str) -> tuple[str, ...]:
    """A list of texts of one form, by default an empty one. Unit and range are as in `written`."""
    return field(default=(), metadata={"unit": form, "help": help})


def needed(form: str, help: str) -> str:
    """A text that must be given. Unit and range are as in `written`."""
    return field(default="", metadata={"needed": True, "unit": form, "help": help})


def hidden(help: str, needed: bool = True) -> str:
    """Where a secret is read from, `file:PATH` or `env:NAME`, which is its range; the secret itself never stands in the settings. Its unit is "secret"."""
    return field(default="", metadata={"secret": True, "needed": needed, "unit": "secret", "help": help})
