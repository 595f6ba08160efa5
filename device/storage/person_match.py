"""Whether a person fits what somebody types: parts of name and code, without accents and case."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

LONGEST = 200  # characters of a search
OTHER_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d"})  # which no accent makes
SPELT_OUT = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"})  # as where a keyboard has no such letters


def fold(text: str) -> str:
    """Without accents and case: "Müller" and "MULLER" are "muller", "Groß" is "gross"."""
    plain = unicodedata.normalize("NFKD", text.casefold().translate(OTHER_LETTERS))
    return " ".join("".join(letter for letter in plain if not unicodedata.combining(letter)).split())


@lru_cache(maxsize=20_000)  # a search looks at everybody
def _spellings(text: str) -> tuple[str, str]:
    """A text without accents, and with umlauts spelt out: "muller" and "mueller"."""
    return fold(text), fold(unicodedata.normalize("NFC", text).casefold().translate(SPELT_OUT))


def person_rank(text: str, name: str, code: str | None) -> int | None:
    """How well a person fits what was typed, 0 best; None: not at all. SQL knows it by this name.

    Every word of the text must be a part of the name or of the code.
    """
    names, codes, typed = _spellings(name), fold(code or ""), _spellings(text[:LONGEST])
    if typed[0] == codes and codes:
        return 0
    ranks = [rank for words in {each: None for each in typed} if (rank := _rank(words.split(), names, codes)) is not None]
    return min(ranks, default=None)


def _rank(words: list[str], names: tuple[str, str], code: str) -> int | None:
    if not all(any(word in name for name in names) or word in code for word in words):
        return None
    if any(name.startswith(" ".join(words)) for name in names):
        return 1
    return 2 if all(code.startswith(word) or any(f" {word}" in f" {name.replace('-', ' ')}" for name in names) for word in words) else 3
