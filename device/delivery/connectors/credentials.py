"""Secrets: read from a file or the environment, from a file again once it has changed, and kept out of every text that leaves a connector."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from device.config.fields import ConfigError

SHORTEST_HIDDEN = 4  # characters; replacing shorter secrets would damage harmless text


class Sealed:
    """A secret. Only `reveal` and `ever` return it, so that no log, repr or traceback prints it by accident.

    Args:
        renewed: returns the present text, or "" if it is the same or cannot be read.
    """

    def __init__(self, text: str, renewed: Callable[[], str] | None = None) -> None:
        self._texts = [text]
        self._renewed = renewed

    def reveal(self) -> str:
        """The secret as it is now."""
        text = self._renewed() if self._renewed else ""
        if text and text != self._texts[-1]:
            self._texts.append(text)
        return self._texts[-1]

    def ever(self) -> tuple[str, ...]:
        """The secret as it is and as it was: an answer may still hold the former one."""
        return tuple(self._texts)

    def __repr__(self) -> str:
        return "Sealed(***)"


class SecretFile:
    """The text of a file, each time that it has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._stamp()

    def __call__(self) -> str:
        """The text if the file has changed since it was read; "" if not, or if it cannot be read at the moment."""
        stamp = self._stamp()
        if stamp is None or stamp == self._seen:
            return ""
        try:
            text = self._path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return ""
        self._seen = stamp
        return text

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


def unseal(connector: str, key: str, where: str) -> Sealed:
    """Read the secret that `where` points to, `file:PATH` or `env:NAME`; white space at both ends is removed.

    Raises:
        ConfigError: there is no secret; the message names the setting and the place, never the content.
    """
    kind, _, place = where.partition(":")
    name, renewed = f"[connectors.{connector}] {key}", None
    if kind == "env":
        text = os.environ.get(place, "")
        missing = f"{name}: the environment has no {place!a}; set it for the service that starts the terminal"
    else:
        renewed = SecretFile(Path(place).expanduser())
        try:
            text = Path(place).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"{name}: {place} cannot be read ({type(error).__name__}); put the secret there, mode 600, owned by this user", code="config.secret"
            ) from None
        missing = f"{name}: {place} is empty; put the secret there"
    if not text.strip():
        raise ConfigError(missing, code="config.secret")
    return Sealed(text.strip(), renewed)


def scrubbed(text: str, secrets: Iterable[Sealed]) -> str:
    """The text with every secret replaced by ***: a target may send back what it received."""
    for secret in sorted((text for sealed in secrets for text in sealed.ever()), key=len, reverse=True):
        if len(secret) >= SHORTEST_HIDDEN:
            text = text.replace(secret, "***")
    return text
