"""Everybody's hours as a table: which people, in which order, on which page, and what they add up to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from device.attendance.timesheet.sheet import Sheet, Totals
from device.storage.records import Person
from device.web import parameters
from device.web.call import Call

PAGE = 40  # people on one page
ADDED = 200  # up to so many people are computed together: added up, sorted by any column, and shown on one page where that is wanted

COLUMNS: dict[str, Callable[[Totals], int]] = {  # that can be sorted by, and are added up
    "due": lambda t: t.due, "worked": lambda t: t.worked, "credited": lambda t: t.credited, "breaks": lambda t: t.breaks, "late": lambda t: t.late,
    "early": lambda t: t.early, "overtime": lambda t: t.overtime, "balance": lambda t: t.balance,
    "missing": lambda t: t.absent_days + t.days_with_faults + t.days_with_flags,
}  # fmt: skip


@dataclass(frozen=True)
class MonthTable:
    """One page of the table."""

    people: Sequence[Person]
    sheets: Mapping[int, Sheet]
    number: int  # of the page
    pages: int
    total: int  # people
    sort: str  # a column, with - in front from the largest; "" where there are too many people to sort them
    sums: Mapping[str, int]  # of all pages; of this one where there are too many people

    @property
    def added(self) -> bool:
        """Whether all people are computed."""
        return self.total <= ADDED


def of_all(call: Call, people: Sequence[Person], sheets: Mapping[int, Sheet]) -> MonthTable:
    """The page that the address asks for, of people who are all computed: `sort`, `page`, and `rows=all` for one page."""
    sort = call.query.get("sort", "name")
    sort = sort if sort.removeprefix("-") in ("name", *COLUMNS) else "name"
    size = ADDED if call.query.get("rows") == "all" else PAGE
    pages = max(1, -(-len(people) // size))
    number = min(parameters.page(call), pages)
    shown = ordered(people, sheets, sort)[(number - 1) * size : number * size]
    return MonthTable(shown, sheets, number, pages, len(people), sort, sums(people, sheets))


def sums(people: Sequence[Person], sheets: Mapping[int, Sheet]) -> dict[str, int]:
    totals = [sheets[person.id].totals for person in people]
    return {name: sum(map(of, totals)) for name, of in COLUMNS.items()}


def ordered(people: Sequence[Person], sheets: Mapping[int, Sheet], sort: str) -> list[Person]:
    """By the column, then by name."""
    column, sign = COLUMNS.get(sort.removeprefix("-")), -1 if sort.startswith("-") else 1
    by_name = sorted(people, key=lambda person: (person.name.casefold(), person.id), reverse=column is None and sign < 0)
    return by_name if column is None else sorted(by_name, key=lambda person: sign * column(sheets[person.id].totals))
