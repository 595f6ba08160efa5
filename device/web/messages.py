"""The texts of the kiosk in several languages: one TOML file per language in `messages/`, one table per area."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from device.config import tomllib
from device.contract import ClockfaceError

FOLDER = Path(__file__).resolve().parent / "messages"
LANGUAGES = ("en", "de")


class MessageError(ClockfaceError):
    """A message file or a message is missing."""

    code = "message"


@dataclass(frozen=True)
class Messages:
    """The texts of one language, by keys such as "kiosk.looking"."""

    language: str
    texts: dict[str, str]

    @staticmethod
    @cache
    def load(language: str) -> Messages:
        """Raises:
        MessageError: no such language, or its file is no table of tables of texts.
        """
        path = FOLDER / f"{language}.toml"
        if language not in LANGUAGES or not path.is_file():
            raise MessageError(f"language {language!r}: expected one of {', '.join(LANGUAGES)}, with one file for each in {FOLDER}", code="message.language")
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        texts = {f"{area}.{key}": text for area, table in tables.items() for key, text in table.items()}
        wrong = [key for key, text in texts.items() if not isinstance(text, str)]
        if wrong:
            raise MessageError(f"{path}: {', '.join(wrong)} expected texts")
        return Messages(language, texts)

    def text(self, key: str, **values: object) -> str:
        """A text with its {values} filled in.

        Raises:
            MessageError: no such key.
        """
        if key not in self.texts:
            raise MessageError(f"message {key!r} is missing in {self.language}.toml", code="message.missing")
        return self.texts[key].format(**values) if values else self.texts[key]

    def area(self, name: str) -> dict[str, str]:
        """The texts of one table, by key, as a page passes them to its script."""
        return {key.partition(".")[2]: text for key, text in self.texts.items() if key.startswith(f"{name}.")}
