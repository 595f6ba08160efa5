"""Secrets: read from a file or the environment when a connector is built, and kept out of every text that leaves it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from device.config import ConfigError

SHORTEST_HIDDEN = 4  # characters; shorter parts would blacken innocent text


class Sealed:
    """A secret. It shows only through `reveal`, so that no log, repr or traceback prints it by accident."""

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Sealed(***)"


def unseal(connector: str, key: str, where: str) -> Sealed:
    """Read the secret that `where` points at, `file:PATH` or `env:NAME`; blanks at the ends do not count.

    Raises:
        ConfigError: there is none; the message names the setting and the place, never the content.
    """
    kind, _, place = where.partition(":")
    name = f"[connectors.{connector}] {key}"
    if kind == "env":
        text = os.environ.get(place, "")
        missing = f"{name}: the environment has no {place!a}; set it for the service that starts the terminal"
    else:
        try:
            text = Path(place).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"{name}: {place} cannot be read ({type(error).__name__}); put the secret there, mode 600, owned by this user", code="config.secret"
            ) from None
        missing = f"{name}: {place} is empty; put the secret there"
    if not text.strip():
        raise ConfigError(missing, code="config.secret")
    return Sealed(text.strip())


def scrubbed(text: str, secrets: Iterable[Sealed]) -> str:
    """The text without any of the secrets, whoever put them there: a target may send back what it was sent."""
    for secret in sorted((s.reveal() for s in secrets), key=len, reverse=True):
        if len(secret) >= SHORTEST_HIDDEN:
            text = text.replace(secret, "***")
    return text
