"""Checks of a loss's options, made when it is built."""

from __future__ import annotations

from collections.abc import Collection

from device.contract import ClockfaceError


class LossError(ClockfaceError):
    """The name, an option or a value of a loss is not allowed."""

    code = "loss"


def check_range(name: str, value: float, low: float, high: float) -> float:
    """Return `value` if low <= value <= high, else raise LossError with the name and the range."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise LossError(f"loss option {name} = {value!r}: allowed range {low:g} to {high:g}")
    return value


def check_choice(name: str, value: str, choices: Collection[str]) -> str:
    """Return `value` if it is one of `choices`, else raise LossError with the choices."""
    if value not in choices:
        raise LossError(f"loss option {name} = {value!r}: expected one of {', '.join(choices)}")
    return value
