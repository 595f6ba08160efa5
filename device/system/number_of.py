"""A number of things in English, for lines that commands print: "1 punch", "1,200 punches"."""

from __future__ import annotations

MANY = {"person": "people", "punch": "punches", "day": "days", "database": "databases", "template": "templates"}


def number_of(number: int, what: str) -> str:
    """
    Args:
        what: one of MANY, in the singular.
    """
    return f"{number:,} {what if number == 1 else MANY[what]}"
