"""The texts of kiosk and desk: one folder per language in `messages/`, one table per area, plural forms by CLDR category.

    [own]
    wrong = "Something is wrong"
    waiting = { one = "{count} request waits for HR", other = "{count} requests wait for HR" }

Every language has the kiosk's texts (`kiosk.toml`); the languages of the desk have the other files of the English folder as well.
docs/languages.md says how to add a text or a language.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

from device.config import DESK_LANGUAGES, LANGUAGES
from device.config.loader import tomllib
from device.contract import ClockfaceError, Phrase
from device.web import plurals

FOLDER = Path(__file__).resolve().parent / "messages"
KIOSK = "kiosk.toml"
RIGHT_TO_LEFT = ("ar",)
TAGS = {"zh": "zh-Hans"}  # BCP 47, where it says more than our name of the language

Text = str | dict[str, str]  # with a count: one text per plural category


class MessageError(ClockfaceError):
    """A message file or a message is missing."""

    code = "message"


@dataclass(frozen=True)
class Messages:
    """The texts of one language, by keys such as "kiosk.looking"."""

    language: str
    texts: dict[str, Text]

    @staticmethod
    @cache
    def load(language: str) -> Messages:
        """Raises:
        MessageError: no such language, or one of its files is no table of tables of texts.
        """
        if language not in LANGUAGES or not (FOLDER / language / KIOSK).is_file():
            known = ", ".join(LANGUAGES)
            raise MessageError(f"language {language!r}: expected one of {known}, with one folder for each in {FOLDER}", code="message.language")
        texts: dict[str, Text] = {}
        for path in sorted((FOLDER / language).glob("*.toml")):
            read = _read(path)
            if twice := texts.keys() & read.keys():
                raise MessageError(f"{path}: {', '.join(sorted(twice))} stand in another file of the language, too")
            texts |= read
        return Messages(language, texts)

    def text(self, key: str, /, **values: object) -> str:
        """A text with its {values} filled in; of one with plural forms, the form for the value `count`.

        Raises:
            MessageError: no such key, or a text with plural forms and no count.
        """
        if key not in self.texts:
            raise MessageError(f"message {key!r} is missing in {self.language}", code="message.missing")
        found = self.texts[key]
        if isinstance(found, dict):
            count = values.get("count")
            if not isinstance(count, int):
                raise MessageError(f"message {key!r} needs a count", code="message.count")
            found = found[plurals.category(self.language, count)]
        if self.direction == "rtl":  # names and times of the other direction keep their order (Unicode TR 9, isolates)
            values = {name: f"\u2068{value}\u2069" if isinstance(value, str) else value for name, value in values.items()}
        return found.format(**values) if values else found

    def said(self, words: str) -> str:
        """What another room says, in this language if it has the phrase; else as it is, in English."""
        if not isinstance(words, Phrase):
            return words
        if words.parts:
            return self.said(words.separator).join(map(self.said, words.parts))
        key = f"phrases.{words.key}"
        if not self.has(key):
            return str(words)
        values = {name: value if name == "count" else self._value(value) for name, value in words.values.items()}
        return self.text(key, **values)

    def refusal(self, error: ClockfaceError) -> tuple[str, str]:
        """What went wrong in this language, and beside it the English where that says more: the language has words for the code alone, without values."""
        english, said, key = str(error), self.said(error.message), f"errors.{error.code}"
        if said == english:
            return (self.text(key), english) if self.has(key) else (english, "")
        return f"{said[:1].upper()}{said[1:]}", ""

    def _value(self, value: object) -> object:
        if isinstance(value, str):
            return self.said(value)
        if isinstance(value, date):
            return self.moment(value) if isinstance(value, datetime) else self.numeric_day(value)
        return _Number(value, self) if isinstance(value, (int, float)) else value

    def has(self, key: str) -> bool:
        return key in self.texts

    def within(self, area: str) -> Callable[..., str]:
        """Gives the texts of one table by its own keys."""
        return lambda key, **values: self.text(f"{area}.{key}", **values)

    def of_code(self, area: str, english: str, key: str = "") -> str:
        """The words for what the code has in English, such as an action of the audit: those of this language if it has them."""
        name = f"{area}.{key or english}"
        return self.text(name) if self.has(name) else english

    def role_needed(self, role: str, needed: str) -> str:
        """What is said where a role does not suffice."""
        own, other = (self.of_code("menu", name, f"role_{name}") for name in (role, needed))
        return self.text("problem.role", role=own, needed=other)

    def area(self, name: str) -> dict[str, Text]:
        """The texts of one table, by key, as a page passes them to its script."""
        return {key.partition(".")[2]: text for key, text in self.texts.items() if key.startswith(f"{name}.")}

    @property
    def tag(self) -> str:
        """The language as the attribute `lang` has it."""
        return TAGS.get(self.language, self.language)

    @property
    def direction(self) -> str:
        return "rtl" if self.language in RIGHT_TO_LEFT else "ltr"

    @property
    def name(self) -> str:
        """The language's name in itself."""
        return self.text("format.name")

    def weekday(self, day: date) -> str:
        """The short name of a day of the week."""
        return self.text("format.weekdays").split()[day.weekday()]

    def day(self, day: date) -> str:
        """A day of the last weeks: "Mon 29 Nov"."""
        month = self.text("format.months").split()[day.month - 1]
        return self.text("format.day", weekday=self.weekday(day), day=day.day, month=month)

    def long_day(self, day: date) -> str:
        """A day at the desk: "Sunday, 29 November 2026"."""
        return self._dated("long", day)

    def medium_day(self, day: date) -> str:
        """The same without the year."""
        return self._dated("medium", day)

    def short_day(self, day: date) -> str:
        """Day and short month: "29 Nov"."""
        return self.text("dates.short", day=day.day, month=self.text("format.months").split()[day.month - 1])

    def in_month(self, day: date) -> str:
        """A day of a page about one month: "Sun 29"."""
        return self.text("dates.in_month", weekday=self.weekday(day), day=day.day)

    def numeric_day(self, day: date | str) -> str:
        """A day in digits: "2026-11-29"; it may be given in that form."""
        day = date.fromisoformat(day) if isinstance(day, str) else day
        return self.text("dates.numeric", year=day.year, month=day.month, day=day.day)

    def moment(self, local: datetime) -> str:
        """Day and time in digits: "2026-11-29 14:20"."""
        return f"{self.numeric_day(local)} {local:%H:%M}"

    def period(self, days: Sequence[date]) -> str:
        """Consecutive days: "November 2026", "26 October to 25 November 2026"."""
        first, last = days[0], days[-1]
        if (first.day, last) == (1, first.replace(day=monthrange(first.year, first.month)[1])):
            return self.text("dates.month", month=self._month(first), year=first.year)
        if first == last:
            return self.long_day(first)
        end = self.text("dates.end", day=last.day, month=self._month(last), year=last.year)
        begin = self.text("dates.begin", day=first.day, month=self._month(first))
        if first.year != last.year:
            begin = self.text("dates.end", day=first.day, month=self._month(first), year=first.year)
        return self.text("dates.span", first=begin, last=end)

    def _month(self, day: date) -> str:
        return self.text("dates.months").split()[day.month - 1]

    def _dated(self, form: str, day: date) -> str:
        weekday, month = self.text("dates.weekdays").split()[day.weekday()], self._month(day)
        values = {"weekday": weekday, "day": day.day, "month": month}
        return self.text(f"dates.{form}", **values, **({"year": day.year} if form == "long" else {}))

    def count(self, number: int) -> str:
        """A whole number with the language's mark between thousands."""
        return f"{number:,}".replace(",", self.text("dates.thousands"))

    def days(self, hundredths: int) -> str:
        """Hundredths of a day as days: 1250 -> "12.5"."""
        return f"{hundredths / 100:g}".replace(".", self.text("format.decimal"))

    def named(self, area: str, names: Iterable[str], prefix: str = "") -> dict[str, str]:
        """Names that the program uses -> their words."""
        return {name: self.text(f"{area}.{prefix}{name}") for name in names}

    def names_of(self, kind: str, names: Iterable[str]) -> str:
        """The words of several names, such as the faults of a day, in a row."""
        return ", ".join(self.text(f"words.{kind}_{name.replace(' ', '_')}") for name in names)

    def number(self, value: float, digits: int) -> str:
        """A number with so many digits after the language's decimal separator."""
        return f"{value:.{digits}f}".replace(".", self.text("format.decimal"))


@dataclass(frozen=True)
class _Number:
    """A number in a text, whose {number:,.1f} has the language's separators."""

    value: float
    messages: Messages

    def __format__(self, form: str) -> str:
        return format(self.value, form).translate({ord(","): self.messages.text("dates.thousands"), ord("."): self.messages.text("format.decimal")})


def _read(path: Path) -> dict[str, Text]:
    tables: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    if wrong := [area for area, table in tables.items() if not isinstance(table, dict)]:
        raise MessageError(f"{path}: {', '.join(wrong)} expected tables")
    texts = {f"{area}.{key}": text for area, table in tables.items() for key, text in table.items()}
    if wrong := [key for key, text in texts.items() if not all(isinstance(form, str) for form in forms(text))]:
        raise MessageError(f"{path}: {', '.join(wrong)} expected texts")
    return texts


def forms(text: Text) -> Iterable[str]:
    """Every form of a text: one, or one per plural category."""
    return text.values() if isinstance(text, dict) else (text,)


def preferred(accept: str, known: Iterable[str] = DESK_LANGUAGES) -> str | None:
    """The first known language that a browser asks for (RFC 9110, 12.5.4: by weight), or None."""
    wanted = []
    for part in accept.split(","):
        name, _, weight = part.partition(";q=")
        try:
            wanted.append((-float(weight or 1), name.strip().lower().split("-")[0]))
        except ValueError:
            continue
    return next((name for weight, name in sorted(wanted, key=lambda pair: pair[0]) if name in tuple(known) and weight < 0), None)
