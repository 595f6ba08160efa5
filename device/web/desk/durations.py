"""Lengths of time as people type them: 7:30, 7.5 or 8 hours. They are no times of day."""

from __future__ import annotations

import re

from device.attendance.timesheet.sheet import hours
from device.contract import phrase
from device.web.call import Call, Problem

FORM = re.compile(r"(\d{1,3})(?::([0-5]\d)|[.,](\d{1,2}))?\s*h?")
BREAK_ROWS = 4  # of the breaks due


def minutes_of(text: str) -> int:
    """`7:30`, `7.5`, `7,5` and `8` -> minutes.

    Raises:
        Problem: it is no length of time.
    """
    found = FORM.fullmatch(text.strip())
    if found is None:
        raise Problem(phrase("form.hours", "{text!r} is no length of time; write hours as 7:30 or 7.5", text=text.strip()[:20]))
    whole, minutes, share = found.groups()
    return int(whole) * 60 + (int(minutes) if minutes else round(float(f"0.{share}") * 60) if share else 0)


def break_rows(breaks: tuple[tuple[int, int], ...]) -> list[tuple[str, str]]:
    """The breaks due as rows of the form: (hours of work, minutes of break), and empty ones."""
    rows = [(hours(after), str(length)) for after, length in breaks]
    return rows + [("", "")] * max(1, BREAK_ROWS - len(rows))


def typed_breaks(call: Call) -> tuple[tuple[int, int], ...] | None:
    """The rows as they were typed, in order of the hours; None where the form has none.

    Raises:
        Problem: a row is half filled, or holds something else.
    """
    if not any(name.startswith("break_after_") for name in call.form):
        return None
    found = []
    for number in range(100):
        after, length = (call.field(f"break_{what}_{number}", "").strip() for what in ("after", "length"))
        if after and length.isdecimal():
            found.append((minutes_of(after), int(length)))
        elif after or length:
            raise Problem(call.texts.text("schedule.half_row"))
    return tuple(sorted(found))
