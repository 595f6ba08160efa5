"""Public holidays of a country or a part of it, from the library `holidays` (https://github.com/vacanza/holidays); what is entered can be changed afterwards.

The library is loaded when it is asked: it takes memory that a terminal does not need from day to day.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from functools import cache
from typing import TYPE_CHECKING

from device.attendance import calendars
from device.contract import ClockfaceError
from device.storage.store import Store

if TYPE_CHECKING:
    from holidays import HolidayBase

EUROPEAN_UNION = frozenset(  # ISO 3166-1
    (
        "AT", "BE", "BG", "HR", "CY", "CZ", "DK", "EE", "FI", "FR", "DE", "GR", "HU", "IE", "IT", "LV", "LT", "LU", "MT", "NL", "PL", "PT", "RO", "SK", "SI",
        "ES", "SE",
    )
)  # fmt: skip
WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])")


class HolidayError(ClockfaceError):
    """A country or a part of one that is not known."""

    code = "holidays"


@cache
def countries() -> Mapping[str, str]:
    """Code (ISO 3166-1) -> English name, by name; only those of which the library knows holidays."""
    from holidays.registry import COUNTRIES

    named = {code: WORDS.sub(" ", name) for name, code, *_ in COUNTRIES.values()}
    return dict(sorted(named.items(), key=lambda pair: pair[1]))


@cache
def parts(country: str) -> Mapping[str, str]:
    """Code of a part, such as a state -> its name, by name; empty where the whole country has the same holidays.

    Raises:
        HolidayError: no such country.
    """
    found = _of(country, "")
    names = {code: name for name, code in getattr(found, "subdivisions_aliases", {}).items()}
    return dict(sorted(((code, names.get(code, code)) for code in found.subdivisions), key=lambda pair: pair[1]))


def days(country: str, part: str, first: date, language: str = "") -> dict[date, str]:
    """Holidays from a day until the end of the following year, by day, named in a language, or in the country's own where it has no other.

    Raises:
        HolidayError: no such country, or no such part.
    """
    found = _of(country, part, tuple(range(first.year, first.year + 2)), language)
    return {day: name for day, name in sorted(found.items()) if day >= first}


def enter(store: Store, found: Mapping[date, str], by: str) -> int:
    """Enter them into the site's own calendar; returns how many. A day that is there already gets the new name. `Store.together` makes it all or none.

    Raises:
        StoreError: a day is locked.
    """
    for day, name in found.items():
        calendars.set_day(store, day, name[: calendars.LONGEST], "", by)
    return len(found)


def law_of(country: str) -> str:
    """The rule set of working-time law that is most likely meant (`device/attendance/timesheet/law.py`)."""
    return "de" if country == "DE" else "eu" if country in EUROPEAN_UNION else "none"


def _of(country: str, part: str, years: tuple[int, ...] = (), language: str = "") -> HolidayBase:
    import holidays

    if country not in countries():
        raise HolidayError(f"{country[:20]!r} is no country whose holidays are known: give its code, such as DE", code="holidays.country")
    whole = holidays.country_holidays(country)
    if part and part not in whole.subdivisions:
        raise HolidayError(f"{country} has no part {part[:20]!r}; known: {', '.join(whole.subdivisions)}", code="holidays.part")
    spoken = next((name for name in whole.supported_languages if name.partition("_")[0] == language), whole.default_language)
    return holidays.country_holidays(country, subdiv=part or None, years=years or None, language=spoken)
