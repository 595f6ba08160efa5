"""What a day of a timesheet says, in the language of the page. Computed days and locked sheets have the English words, as exports do."""

from __future__ import annotations

import re
from dataclasses import dataclass

from device.attendance.timesheet.buckets import LABELS, Buckets
from device.attendance.timesheet.sheet import hours
from device.attendance.timesheet.workday import KeptTimes, WorkDay
from device.web.messages import Messages


@dataclass(frozen=True)
class DayWords:
    """The words of days; `kinds`: whether the reader may know why somebody is absent."""

    messages: Messages

    def planned(self, day: WorkDay, kinds: bool) -> str:
        """Shifts, holiday, or absence."""
        if day.planned.kind != "absence":
            return day.planned.title
        return ", ".join(self.kind(name) for name in day.planned.title.split(", ")) if kinds else self._text("sheets.absence")

    def off(self, day: WorkDay, kinds: bool) -> list[str]:
        """What absences take of a day of work."""
        if day.planned.kind != "work":
            return []
        return [f"{self.kind(one.kind) if kinds else self._text('sheets.absence')}, {self.when(one.when)}" for one in day.planned.off]

    def kind(self, name: str) -> str:
        return self._text(f"day.absence_{name}")

    def when(self, when: str) -> str:
        """Which part of its day an absence has."""
        half = {"first half": "day.half_first", "second half": "day.half_second"}.get(when)
        return self._text(half) if half else when.replace("-", "–")

    def missing(self, day: WorkDay) -> str:
        return self.messages.names_of("fault", day.faults) or (self._text("sheets.absent") if day.absent else "")

    def flags(self, day: WorkDay) -> str:
        return ", ".join(map(self.flag, day.flags))

    def flag(self, name: str) -> str:
        """Such as "core time", or "rest below 11 h" with the hours of the law."""
        hours = re.search(r"\d+", name)
        key = re.sub(r"[^a-z]+", "_", name.lower().replace(hours[0], "") if hours else name.lower()).strip("_")
        return self._text(f"day.flag_{key}", **({"hours": hours[0]} if hours else {}))

    def shifts(self, day: WorkDay) -> list[str]:
        """How each shift of a day with several was kept."""
        return [
            " ".join([part.title, "–".join(f"{day.site.local(moment):%H:%M}" for moment in part.span or ()), ", ".join(self._kept(kept))]).strip()
            for part, kept in zip(day.planned.parts, day.kept, strict=True)
        ]

    def _kept(self, kept: KeptTimes) -> list[str]:
        if kept.missed:
            return [self._text("day.kept_missed")]
        named = (("day.kept_late", kept.late_minutes), ("day.kept_early", kept.early_minutes))
        return [self._text(key, minutes=minutes) for key, minutes in named if minutes]

    def remarks(self, day: WorkDay) -> str:
        """All that is to be said of a day, in a row."""
        half = self._text("sheets.half_day") if day.attendance == "half day" else ""
        corrected = self._text("sheets.corrected") if day.corrected else ""
        credited = day.planned.credited_minutes
        paid = self._text("sheets.credited_hours", hours=hours(credited)) if credited else ""
        return ", ".join(filter(None, (self.missing(day), self.flags(day), half, corrected, paid)))

    def apart(self, buckets: Buckets) -> list[tuple[str, int]]:
        """(name, minutes) of the buckets that have some."""
        return [(self._text(f"day.bucket_{name}"), minutes) for name in LABELS if (minutes := getattr(buckets, name))]

    def _text(self, key: str, **values: object) -> str:
        return self.messages.text(key, **values)
