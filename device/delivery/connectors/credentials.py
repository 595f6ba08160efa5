"""Secrets: read from a file or the environment when a connector is built, and kept out of every text that leaves it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from device.config import ConfigError

SHORTEST_HIDDEN = 4  # characters; replacing shorter secrets would damage harmless text


class Sealed:
    """A secret. Only `reveal` returns it, so that no log, repr or traceback prints it by accident."""

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Sealed(***)"


def unseal(connector: str, key: str, where: str) -> Sealed:
    """Read the secret that `where` points to, `file:PATH` or `env:NAME`; white space at both ends is removed.

    Raises:
        ConfigError: there is no secret; the message names the setting and the place, never the content.
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
    """The text with every secret replaced by ***: a target may send back what it received."""
    for secret in sorted((s.reveal() for s in secrets), key=len, reverse=True):
        if len(secret) >= SHORTEST_HIDDEN:
            text = text.replace(secret, "***")
    return text
