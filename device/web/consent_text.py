"""The wording of the consent: one file with a version and a text in each language."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from device.config import LANGUAGES
from device.config.loader import tomllib
from device.config.places import ROOT
from device.storage.consents import ConsentDraft, Way
from device.web.messages import FOLDER, MessageError


@dataclass(frozen=True)
class Wording:
    version: str
    language: str
    title: str
    text: str
    agree: str
    decline: str

    def given(self, way: Way, at: float) -> ConsentDraft:
        """The consent to this wording, to be stored with the templates. `at` is in s since the epoch."""
        return ConsentDraft(self.version, self.language, f"{self.title}\n{self.text}", way, at)

    @property
    def paragraphs(self) -> list[str]:
        return [part.strip() for part in self.text.split("\n\n") if part.strip()]


def wording(language: str, own_file: str = "") -> Wording:
    """The text in one language.

    Args:
        own_file: the company's, of the settings; the one that comes with the terminal where empty.

    Raises:
        MessageError: the file or something in it is missing.
    """
    path = ROOT / own_file if own_file else FOLDER / "consent.toml"
    try:
        tables = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        texts = {key: str(tables[language][key]) for key in ("title", "text", "agree", "decline")}
        return Wording(str(tables["version"]), language, **texts)
    except (OSError, KeyError, TypeError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        needed = f"version, and title, text, agree, decline in each of {', '.join(LANGUAGES)}"
        raise MessageError(f"consent {path}: {type(error).__name__} {error}; it needs {needed}") from error
