"""The small language in which docs/timesheets.md and the oracle write a situation: a site, a plan, punches and corrections."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from device.attendance.timesheet.absences import ABSENCES, Absence, Employment
from device.attendance.timesheet.accounting import Accounting
from device.attendance.timesheet.shifts import Assignment, DayShifts, Schedule, Shift
from device.attendance.timesheet.worksite import ROUNDING_MODES, Site
from device.storage.effective import Correction, Entry, Recorded, effective, in_order, struck
from device.storage.records import Direction

DAYS = {"prev": -1, "next": 1}


def minutes(text: str) -> int:
    """ "8:30" -> 510."""
    sign = -1 if text.startswith("-") else 1
    whole, part = text.lstrip("-").split(":")
    return sign * (int(whole) * 60 + int(part))


def site_of(text: str) -> Site:
    """ "Europe/Berlin start 04:00 rounding 15 outward day breaks 30 after 6:00 and 45 after 9:00 rest 13 longest 16 part 15 first_last gone 20:00"."""
    options = dict(re.findall(r"(start|rounding|rest|longest|part|gone|least) (\S+)", text))
    return Site(
        text.split()[0].rstrip(","),
        time.fromisoformat(options.get("start", "00:00").rstrip(",")),
        int(options.get("longest", 16)),
        rounding_minutes=int(options.get("rounding", "1").rstrip(",")),
        minimum_breaks=tuple((minutes(after), int(length)) for length, after in re.findall(r"(\d+) after ([\d:]+)", text)),
        rest_hours=int(options.get("rest", 13)),
        pairing="first_last" if "first_last" in text else "every",
        minimum_break_part=int(options.get("part", 15)),
        accounting=Accounting(overtime_least=int(options.get("least", 0))),
        rounding=next((mode for mode in ROUNDING_MODES if mode in text.split()), "nearest"),
        rounding_of="day" if "day" in text.split() else "punch",
        check_out=time.fromisoformat(options["gone"]) if "gone" in options else None,
    )


def shift_of(text: str) -> Shift | None:
    """ "08:00-17:00 break 60 between 12:00-13:00 punched paid grace 5", "8:00 flexible core 10:00-15:00", "free".

    Further: "leave 10" (grace to leave), "before 15", "after 15", "gone 20:00", "half 240", "absent 60".
    """
    words = text.split()
    if not words or words[0] == "free":
        return None
    numbers = {word: int(value) for word, value in re.findall(r"(break|grace|leave|before|after|half|absent) (\d+)", text)}
    between = re.findall(r"between (\d\d:\d\d)-(\d\d:\d\d)", text)
    spans = re.findall(r"(\d\d:\d\d)-(\d\d:\d\d)", text.partition("between")[0])
    start, end = (time.fromisoformat(part) for part in spans[0]) if spans else (None, None)
    window = (time.fromisoformat(part) for part in between[0]) if between else (None, None)
    flexible = minutes(words[0]) if "flexible" in words else None
    gone = re.findall(r"gone (\d\d:\d\d)", text)
    return Shift(
        "shift", start, end, numbers.get("break", 0), flexible, numbers.get("grace", 0), "punched" not in words, "paid" in words, *window,
        numbers.get("leave"), numbers.get("before", 0), numbers.get("after", 0), time.fromisoformat(gone[0]) if gone else None,
        numbers.get("half", 0), numbers.get("absent", 0),
    )  # fmt: skip


def shifts_of(text: str) -> DayShifts:
    """ "08:00-12:00 & 16:00-20:00" are two shifts of one day, "first" and "second"."""
    if "&" not in text:
        return shift_of(text)
    return tuple(replace(shift, name=name) for name, part in zip(("first", "second", "third"), text.split(" & "), strict=False) if (shift := shift_of(part)))


def schedule_of(text: str, day: date) -> Schedule:
    """The shifts of each day, "prev 22:00-06:00 / 14:00-22:00 / next free"; then absences, `holiday`, `first_last`, `until prev`."""
    if text.startswith("no plan"):
        return Schedule([], {}, _absences(text, day), _employment(text, day))
    cycle: list[DayShifts] = [None] * 41
    for part in text.split(" / "):
        words = part.split()
        cycle[DAYS.get(words[0], 0)] = shifts_of(" ".join(words[words[0] in DAYS :]))
    holidays = {day: "holiday"} if "holiday" in text else {}
    pairing = "first_last" if "first_last" in text else None
    return Schedule([Assignment(day - timedelta(days=10), tuple(cycle), day, pairing)], holidays, _absences(text, day), _employment(text, day))


def _absences(text: str, day: date) -> list[Absence]:
    """ "vacation", "sick:first" and "sick:second" for half a day, "training:14:00-16:00"."""
    found = []
    for word in text.split():
        kind, _, part = word.partition(":")
        if kind in ABSENCES:
            times = (time.fromisoformat(at) for at in part.split("-")) if "-" in part else (None, None)
            found.append(Absence(day, day, kind, part if part in ("first", "second") else None, *times))  # type: ignore[arg-type]
    return found


def _employment(text: str, day: date) -> list[Employment]:
    return [Employment(last=day - timedelta(days=1))] if "until prev" in text else [Employment(last=day)] if "until today" in text else []


def moment(words: list[str], day: date, site: Site) -> tuple[float, Direction]:
    """["next", "out", "06:00"] -> s since the epoch, direction."""
    *_, direction, at = words
    clock = datetime.fromisoformat(f"{day + timedelta(days=DAYS.get(words[0], 0))}T{at}")
    aware = clock if clock.tzinfo else clock.replace(tzinfo=ZoneInfo(site.zone))
    return aware.timestamp(), direction  # type: ignore[return-value]


def recorded(text: str, day: date, site: Site) -> tuple[list[Recorded], list[Correction]]:
    punches, *changes = text.split("; ")
    first = [Recorded(number, *moment(part.split(), day, site)) for number, part in enumerate(filter(None, punches.split(", ")), 1)]
    corrections = []
    for number, change in enumerate(changes, 1):
        words = change.split()
        if words[0] == "removes":
            corrections.append(Correction(number, int(words[1]), None, None, None))
        elif words[0] == "moves":
            corrections.append(Correction(number, int(words[1]), None, *moment(words[3:], day, site)))
        else:
            corrections.append(Correction(number, None, None, *moment(words[1:], day, site)))
    return first, corrections


def entries_of(text: str, day: date, site: Site) -> list[Entry]:
    """ "in 08:00, out 17:00; moves 2 to out 16:00" -> the punches, those struck out included."""
    what = recorded(text, day, site)
    return in_order([*effective(*what), *struck(*what)])
