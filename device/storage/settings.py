"""Settings made on the web pages: kept in the store, checked by the same dataclasses as the file, in force from the next start.

Which one wins: neither. The page can only set what the file leaves open, and a key in both with different values stops
the start with both values named (`device.config.load`).
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from device import config
from device.config import ConfigError, Settings
from device.storage.audit import Action
from device.storage.store import Store

ONLY_IN_FILE = ("store", "connectors", "outbox", "embedder.model", "embedder.sha256", "web.certificate", "web.key", "web.plain_http", "web.consent")


@dataclass(frozen=True)
class Setting:
    """One setting as its field in `device.config` or in a connector describes it: for the settings page, `settings --help-all` and docs/settings.md."""

    section: str
    key: str
    kind: type
    default: Any
    unit: str = ""
    help: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    needed: bool = False
    secret: bool = False

    @property
    def name(self) -> str:
        return f"{self.section}.{self.key}"

    @property
    def allowed(self) -> str:
        """Its range as text: "1 to 240", "local, anywhere", "true, false", "any"."""
        if self.low is not None and self.high is not None:
            return f"{_digits(self.low)} to {_digits(self.high)}"
        if self.secret:
            return "file:PATH or env:NAME"
        words = self.choices or (("true", "false") if self.kind is bool else ("any",))
        return ", ".join(word if word.isidentifier() else json.dumps(word) for word in words)


def _digits(number: float) -> str:
    """Without an exponent, and without the zeros at the end of a fraction."""
    return str(number) if isinstance(number, int) else f"{number:.9f}".rstrip("0").rstrip(".")


def described(form: Any, section: str) -> tuple[Setting, ...]:
    """Every setting of a section's dataclass, in its order; a field without a default is no key of the table."""
    specs = [spec for spec in dataclasses.fields(form) if spec.default is not dataclasses.MISSING]
    return tuple(Setting(section, spec.name, type(spec.default), spec.default, **spec.metadata) for spec in specs)


def every_setting() -> tuple[Setting, ...]:
    """Those of every section but `connectors`, whose kinds `device.delivery.connectors` describes."""
    sections = [section for section in dataclasses.fields(Settings) if dataclasses.is_dataclass(section.default)]
    return tuple(setting for section in sections for setting in described(section.default, section.name))


@cache
def editable() -> tuple[Setting, ...]:
    """The settings that may be set without the file."""
    return tuple(setting for setting in every_setting() if on_page(setting))


def on_page(setting: Setting) -> bool:
    """Whether it may be set without the file: not what could lock everybody out or needs files beside it."""
    section = setting.section.partition(".")[0]  # of connectors.NAME
    return not setting.secret and not {section, setting.name} & set(ONLY_IN_FILE)


def read(store: Store) -> dict[str, dict[str, Any]]:
    """Section -> key -> value of the settings made on the pages."""
    tables: dict[str, dict[str, Any]] = {}
    with store.reading() as db:
        for name, text in db.execute("SELECT key, value FROM settings WHERE key LIKE '%.%' ORDER BY key"):  # others keep theirs there too, without a dot
            section, _, key = name.partition(".")
            tables.setdefault(section, {})[key] = json.loads(text)
    return tables


def change(store: Store, file: Path | None, values: dict[str, Any]) -> list[str]:
    """Set several settings ("attendance.direction" -> value; None goes back to the default), all or none; the names of those changed.

    Raises:
        ConfigError: unknown, not to be set here, set in the file, or the whole could not be honoured.
    """
    known = {setting.name: setting for setting in editable()}
    now, fixed = read(store), fixed_by(file)
    changed = []
    for name, value in values.items():
        if name not in known:
            raise ConfigError(f"{name[:80]}: no setting of this page; the configuration file may have it", code="config.unknown")
        if name in fixed:
            raise ConfigError(f"{name} is set in the configuration file; change it there", code="config.set_twice")
        section, _, key = name.partition(".")
        before = now.get(section, {}).get(key)
        now.setdefault(section, {}).pop(key, None)
        if value is not None and value != known[name].default:
            now[section][key] = value
        if before != now[section].get(key):
            changed.append(name)
    config.load(file, now)
    with store.transaction() as db:
        for name in changed:
            section, _, key = name.partition(".")
            old = db.execute("SELECT value FROM settings WHERE key = ?", [name]).fetchone()
            db.execute("DELETE FROM settings WHERE key = ?", [name])
            if key in now[section]:
                db.execute("INSERT INTO settings (key, value) VALUES (?, ?)", [name, json.dumps(now[section][key])])
            store.note(Action.SETTING_CHANGED, setting=name, before=json.loads(old[0]) if old else None, after=now[section].get(key))
    return changed


def forget(store: Store, name: str) -> None:
    """Remove one setting, whatever the file has. It resolves a conflict between file and page."""
    with store.transaction() as db:
        old = db.execute("SELECT value FROM settings WHERE key = ?", [name]).fetchone()
        db.execute("DELETE FROM settings WHERE key = ?", [name])
        store.note(Action.SETTING_CHANGED, setting=name, before=json.loads(old[0]) if old else None, after=None)


def fixed_by(file: Path | None) -> set[str]:
    """The names of settings in the configuration file."""
    return {f"{section}.{key}" for section, table in config.file_tables(file).items() for key in table}


def parsed(setting: Setting, text: str) -> Any:
    """A text from a form or command line, converted to the setting's type.

    Raises:
        ConfigError: it is not of that type.
    """
    try:
        if setting.kind is bool:
            return {"true": True, "false": False}[text.strip().lower()]
        return setting.kind(text.strip()) if setting.kind in (int, float) else text.strip()
    except (ValueError, KeyError) as error:
        raise ConfigError(
            f"{setting.name} = {text[:80]!r}: expected {'true or false' if setting.kind is bool else setting.kind.__name__}", code="config.type"
        ) from error
