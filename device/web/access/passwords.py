"""Passwords and PINs: hashed with argon2id, one at a time and on one core, so that a login does not slow the camera loop down."""

from __future__ import annotations

import secrets
import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from device.contract import ClockfaceError

SHORTEST, LONGEST = 10, 200  # characters of a password
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


def check_strength(password: str, login: str) -> None:
    """Raises:
    WeakPassword: too short, too long, one character over and over, or the login itself.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise WeakPassword(f"a password has {SHORTEST} to {LONGEST} characters; several words in a row are easy to remember", code="password.length")
    if len(set(password)) < 4 or login.casefold() in password.casefold():
        raise WeakPassword("this password is easy to guess: use more different characters, and not your login", code="password.weak")


def invented(length: int = 16) -> str:
    """A password of about 79 bits in groups of four, easy to copy from paper."""
    text = "".join(secrets.choice(ALPHABET) for _ in range(length))
    return "-".join(text[i : i + 4] for i in range(0, length, 4))
