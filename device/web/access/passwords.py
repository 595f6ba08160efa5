"""Passwords and PINs: hashed with argon2id, one at a time and on one core, so that a login does not slow the camera loop down."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from device.contract import ClockfaceError, phrase
from device.system.common_passwords import common

SHORTEST, LONGEST = 10, 200  # characters of a password
SHORTEST_WORD = 3  # characters; a shorter login or word stands in any password by chance
OWN_WORDS = ("clockface",)
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # without characters that are easily confused

# OWASP Password Storage Cheat Sheet: 19 MiB, 2 passes, 1 lane
_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_one_at_a_time = threading.Lock()
_nobody = ""  # a hash that matches no password, made when first needed


class WeakPassword(ClockfaceError):
    """A password that is too weak; the message gives the rule."""

    code = "password"


def hashed(password: str) -> str:
    """The text to be stored."""
    with _one_at_a_time:
        return _hasher.hash(password)


def matches(stored: str | None, given: str) -> bool:
    """Whether a password or PIN is right. With None (no such login) it takes as long as with a wrong password, so that response times reveal no logins."""
    global _nobody
    if stored is None and not _nobody:
        _nobody = hashed(secrets.token_hex(16))
    with _one_at_a_time:
        try:
            return _hasher.verify(stored or _nobody, given) and stored is not None
        except (VerifyMismatchError, InvalidHashError):
            return False


def check_strength(password: str, login: str, words: Iterable[str] = ()) -> None:
    """Args:
        words: that attackers of this company try first, such as its name; short ones are left out.

    Raises:
        WeakPassword: too short, too long, one character over and over, a common password even with digits around it, or with the login or such a word in it.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        english = "a password has {shortest} to {longest} characters; several words in a row are easy to remember"
        raise WeakPassword(phrase("password.length", english, shortest=SHORTEST, longest=LONGEST), code="password.length")
    folded = password.casefold()
    if len(set(password)) < 4 or _inside((login,), folded):
        words = phrase("password.weak", "this password is easy to guess: use more different characters, and not your login")
        raise WeakPassword(words, code="password.weak")
    if found := _inside((*OWN_WORDS, *words), folded):
        words = phrase("password.here", "this password is easy to guess here: leave {word!r} out of it", word=found)
        raise WeakPassword(words, code="password.weak")
    if common(folded):
        words = phrase("password.common", "this is a common password, or one with digits around it; several words in a row are better")
        raise WeakPassword(words, code="password.common")


def _inside(words: Iterable[str], folded: str) -> str:
    """The first word that stands in a password, "" if none does."""
    return next((word for word in (word.strip().casefold() for word in words) if len(word) >= SHORTEST_WORD and word in folded), "")


def invented(length: int = 16) -> str:
    """A password of about 79 bits in groups of four, easy to copy from paper."""
    text = "".join(secrets.choice(ALPHABET) for _ in range(length))
    return "-".join(text[i : i + 4] for i in range(0, length, 4))
