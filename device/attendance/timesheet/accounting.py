"""How a site adds days up: pay periods and what follows from their sums. Pure rules; a part of the site's rules (`worksite.Site`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from datetime import date, datetime, time, timedelta, timezone
from typing import Any, Literal

from device.attendance.timesheet.law import LAWS
from device.contract import ClockfaceError, phrase

Length = Literal["month", "week", "fortnight"]
LENGTHS: dict[str, str] = {"month": "a month", "week": "a week", "fortnight": "two weeks"}
PREMIUMS = ("night", "saturday", "sunday", "holiday")
MONDAY = date(2024, 1, 1)
DURATION = re.compile(r"(\d{1,4})(?::([0-5]\d)|[.,](\d{1,2}))?", re.ASCII)
LONGEST_DAYS = 366  # of a period that somebody states by its first and last day
ONE_DAY = timedelta(days=1)


class TimesheetError(ClockfaceError):
    """An invalid rule, plan or day; the message says what is allowed."""

    code = "timesheet"


def day_from(text: str) -> date:
    """ "2026-11-24" -> a day.

    Raises:
        TimesheetError: the text is not a day.
    """
    try:
        return date.fromisoformat(text.strip())
    except ValueError as error:
        raise TimesheetError(phrase("text.day", "{text!a} is not a day; write it as 2026-11-24", text=text[:20]), code="timesheet.text") from error


def number_from(text: str) -> int:
    """A whole number.

    Raises:
        TimesheetError: the text is none.
    """
    if not text.strip().isdecimal() or len(text) > 9:
        raise TimesheetError(phrase("text.number", "expected a whole number, got {text!a}", text=text[:20]), code="timesheet.text")
    return int(text)


def hours_from(text: str) -> int | None:
    """ "40:00", "40", "7.5" or "7,5" -> minutes; nothing -> None.

    Raises:
        TimesheetError: the text is no duration.
    """
    if not text.strip():
        return None
    found = DURATION.fullmatch(text.strip())
    if found is None:
        raise TimesheetError(phrase("text.hours", "{text!a} is not a duration; write it as 40:00 or 7.5", text=text[:20]), code="timesheet.text")
    whole, minutes, share = found.groups()
    return int(whole) * 60 + (int(minutes) if minutes else round(float(f"0.{share}") * 60) if share else 0)


def time_from(text: str) -> time:
    """ "23:00" -> a local time.

    Raises:
        TimesheetError: the text is not a time of day.
    """
    try:
        return datetime.strptime(text.strip(), "%H:%M").time()
    except ValueError as error:
        raise TimesheetError(phrase("text.time", "{text!a} is not a time of day; write it as 08:00", text=text[:20]), code="timesheet.text") from error


def names_from(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _rule(default: Any, words: str, read: Callable[[str], Any], write: Callable[[Any], str] = str, choices: Mapping[str, str] | None = None) -> Any:
    """A rule: what the page and the command line call it, how its text is read and written, and its choices."""
    return field(default=default, metadata={"words": words, "read": read, "write": write, "choices": choices or {}})


def _day_or_none(text: str) -> date | None:
    return day_from(text) if text.strip() else None


def _hours_rule(words: str) -> Any:
    return _rule(None, words, hours_from, lambda minutes: "" if minutes is None else f"{minutes // 60}:{minutes % 60:02}")


@dataclass(frozen=True)
class Accounting:
    """Rules for sums.

    `period`: what is paid at a time. A month begins on `period_day` (26: from the 26th to the 25th), a week or two weeks on `period_anchor`
    and every 7 or 14 days before and after it; all weeks begin on the weekday of that day.
    `overtime_day`, `overtime_week`, `overtime_period`: work beyond so many minutes of a day, of a week, of a pay period is overtime of that kind;
    a minute is overtime of one kind alone, of the day first. None: there is no such overtime.
    `law`: the rule set of working-time law whose flags days show (`law.py`).
    `account_since`: the day on which time accounts begin, empty; somebody with an opening balance has an account from the day of that.
    `premiums`: which work is told apart (`buckets.py`); night is between `night_from` and `night_to`.
    """

    period: Length = _rule("month", "pay period", str, choices=LENGTHS)
    period_day: int = _rule(1, "a month begins on day", number_from)  # 1 to 28
    period_anchor: date = _rule(MONDAY, "a week, or two, begins on", day_from)
    overtime_day: int | None = _hours_rule("overtime beyond, hours of a day")
    overtime_week: int | None = _hours_rule("hours of a week")
    overtime_period: int | None = _hours_rule("hours of a pay period")
    overtime_least: int = _rule(0, "shortest overtime that counts, min", number_from)  # 0 to 240: work beyond what is due by less than this is none
    overtime_approval: str = _rule("no", "overtime counts", str, choices={"no": "as it is worked", "yes": "once it is approved"})
    premiums: tuple[str, ...] = _rule((), "premiums: night, saturday, sunday, holiday", names_from, ", ".join)
    night_from: time = _rule(time(23), "night from", time_from, "{:%H:%M}".format)
    night_to: time = _rule(time(6), "to", time_from, "{:%H:%M}".format)
    law: str = _rule("none", "flags of working-time law", str, choices={"none": "none", **{key: law.name for key, law in LAWS.items()}})
    account_since: date | None = _rule(None, "time accounts begin on", _day_or_none, lambda day: "" if day is None else str(day))

    def __post_init__(self) -> None:
        for rule in fields(self):
            if rule.metadata["choices"] and getattr(self, rule.name) not in rule.metadata["choices"]:
                known, got = ", ".join(rule.metadata["choices"]), str(getattr(self, rule.name))[:40]
                raise _refused(phrase("rule.choice", "site: {key} expected one of {known}, got {got!r}", key=rule.name, known=known, got=got))
        if not 1 <= self.period_day <= 28:
            raise _refused(phrase("rule.period_day", "site: period_day expected 1 to 28, got {got}", got=self.period_day))
        if not 0 <= self.overtime_least <= 240:
            raise _refused(phrase("rule.overtime_least", "site: overtime_least expected 0 to 240 minutes, got {got}", got=self.overtime_least))
        if set(self.premiums) - set(PREMIUMS):
            known, got = ", ".join(PREMIUMS), ", ".join(self.premiums)[:40]
            raise _refused(phrase("rule.premiums", "site: premiums expected some of {known}, got {got!r}", known=known, got=got))

    @property
    def tells_apart(self) -> bool:
        """Whether days have buckets (`buckets.py`)."""
        return bool(self.premiums) or any(rule is not None for rule in (self.overtime_day, self.overtime_week, self.overtime_period))

    @property
    def approves(self) -> bool:
        """Whether overtime counts only once it is approved."""
        return self.overtime_approval == "yes"

    def lead(self, day: date) -> date:
        """The day from which sums have to be known for a day: the first of its week or pay period, where overtime depends on it."""
        first = day if self.overtime_period is None else self.first_of_period(day)
        first = min(first, max(day - ONE_DAY, date.min + ONE_DAY)) if self.law != "none" and day > date.min + ONE_DAY else first
        return first if self.overtime_week is None else self.first_of_week(first)

    @property
    def calendar_months(self) -> bool:
        return self.period == "month" and self.period_day == 1

    def first_of_week(self, day: date) -> date:
        return self._first_of(day, 7)

    def first_of_period(self, day: date) -> date:
        """The first day of the pay period that has a day."""
        if self.period != "month":
            return self._first_of(day, 7 if self.period == "week" else 14)
        if day.day >= self.period_day:
            return day.replace(day=self.period_day)
        first = day.replace(day=1)
        return (first - ONE_DAY).replace(day=self.period_day) if first > date.min else date.min

    def _first_of(self, day: date, length: int) -> date:
        return day - timedelta(days=min((day - self.period_anchor).days % length, (day - date.min).days))

    def period_of(self, day: date) -> list[date]:
        """The days of the pay period that has a day."""
        days = [first := self.first_of_period(day)]
        while days[-1] < date.max and self.first_of_period(days[-1] + ONE_DAY) == first:
            days.append(days[-1] + ONE_DAY)
        return days

    def days(self, text: str) -> list[date]:
        """The days that a text names: "2026-11" a month, "2026-11-24" the pay period that has the day, "2026-10-26..2026-11-25" these days.

        Raises:
            TimesheetError: it names none of these.
        """
        first, dots, last = text.strip().partition("..")
        if dots:
            return _between(day_from(first), day_from(last))
        return month_days(first) if first.count("-") < 2 else self.period_of(day_from(first))


def named(days: list[date], accounting: Accounting) -> str:
    """The text that names these days: the reverse of `Accounting.days`."""
    month = days[0].isoformat()[:7]
    if accounting.calendar_months and days == month_days(month):
        return month
    return days[0].isoformat() if days == accounting.period_of(days[0]) else f"{days[0]}..{days[-1]}"


def beside(days: list[date], accounting: Accounting) -> tuple[str, str]:
    """The texts that name the period before these days and the one after."""
    if days == accounting.period_of(days[0]):
        around = [accounting.period_of(day) for day in (days[0] - ONE_DAY, days[-1] + ONE_DAY)]
        return named(around[0], accounting), named(around[1], accounting)
    length = timedelta(days=len(days))
    return f"{days[0] - length}..{days[-1] - length}", f"{days[0] + length}..{days[-1] + length}"


def month_days(month: str) -> list[date]:
    """The days of "2026-11".

    Raises:
        TimesheetError: the text is not a month.
    """
    try:
        first = datetime.strptime(month, "%Y-%m").replace(tzinfo=timezone.utc).date()
    except ValueError as error:
        raise TimesheetError(phrase("text.month", "{text!a} is not a month; write it as 2026-11", text=month[:20]), code="timesheet.text") from error
    days = [first + timedelta(days=offset) for offset in range(31)]
    return [day for day in days if day.month == first.month]


def _between(first: date, last: date) -> list[date]:
    if not 0 <= (last - first).days < LONGEST_DAYS:
        words = phrase("text.days", "{first} to {last}: expected 1 to {most} days in order", first=first, last=last, most=LONGEST_DAYS)
        raise TimesheetError(words, code="timesheet.text")
    return [first + timedelta(days=offset) for offset in range((last - first).days + 1)]


def _refused(words: str) -> TimesheetError:
    return TimesheetError(words, code="timesheet.site")


def texts(rules: Accounting) -> dict[str, str]:
    """The rules as the page, the command line and the database have them."""
    return {rule.name: rule.metadata["write"](getattr(rules, rule.name)) for rule in fields(rules)}


def from_texts(before: Accounting, given: Mapping[str, str]) -> Accounting:
    """Rules of which some were given as texts.

    Raises:
        TimesheetError: a text cannot be read, or a value is out of range.
    """
    kept = {rule.name: getattr(before, rule.name) for rule in fields(before)}
    return Accounting(**{**kept, **{rule.name: _read(rule, given[rule.name]) for rule in fields(before) if rule.name in given}})


def _read(rule: Field[Any], text: str) -> Any:
    try:
        return rule.metadata["read"](text)
    except TimesheetError as error:
        raise TimesheetError(phrase("rule.text", "{rule}: {why}", rule=rule.metadata["words"], why=error.args[0]), code=error.code) from error
