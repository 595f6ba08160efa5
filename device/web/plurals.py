"""Plural categories of whole numbers, as the Unicode CLDR defines them (supplemental/plurals.xml); browsers have the same as `Intl.PluralRules`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

Category = Literal["zero", "one", "two", "few", "many", "other"]
MILLION = 1_000_000


def _one(n: int) -> Category:
    return "one" if n == 1 else "other"


def _spanish(n: int) -> Category:
    return "one" if n == 1 else "many" if n and n % MILLION == 0 else "other"


def _french(n: int) -> Category:
    return "one" if n < 2 else "many" if n % MILLION == 0 else "other"


def _arabic(n: int) -> Category:
    exact: dict[int, Category] = {0: "zero", 1: "one", 2: "two"}
    return exact.get(n) or ("few" if 3 <= n % 100 <= 10 else "many" if n % 100 >= 11 else "other")


def _chinese(n: int) -> Category:
    return "other"


RULES: dict[str, tuple[Callable[[int], Category], frozenset[Category]]] = {  # language -> rule, the categories it gives
    "en": (_one, frozenset({"one", "other"})),
    "de": (_one, frozenset({"one", "other"})),
    "tr": (_one, frozenset({"one", "other"})),
    "es": (_spanish, frozenset({"one", "many", "other"})),
    "fr": (_french, frozenset({"one", "many", "other"})),
    "ar": (_arabic, frozenset({"zero", "one", "two", "few", "many", "other"})),
    "zh": (_chinese, frozenset({"other"})),
}


def category(language: str, count: int) -> Category:
    """The plural category of a count; a negative one has that of its amount."""
    return RULES[language][0](abs(count))


def categories(language: str) -> frozenset[Category]:
    """The forms that a text with a count has in this language."""
    return RULES[language][1]
