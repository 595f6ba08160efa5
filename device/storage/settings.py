"""Settings made on the web pages: kept in the store, checked by the same dataclasses as the file, in force from the next start.

Neither overrides the other: the pages can only set what the file does not, and a key with different values in both stops
the start with an error that names both values (`device.config.loader.load`).
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from device.config import Settings, loader
from device.config.fields import ConfigError
from device.contract import phrase
from device.storage.audit import Action
from device.storage.store import Store

DECIMAL_COMMA = re.compile(r"([-+]?[0-9]+),([0-9]+)")
KINDS = {int: phrase("kind.int", "int"), float: phrase("kind.float", "float")}
ABOVE = "settings"  # the key in table fleet
ONLY_IN_FILE = (
    "store", "connectors", "outbox", "embedder.model", "embedder.sha256", "web.certificate", "web.key", "web.plain_http", "web.trusted_proxies", "web.consent",
)  # fmt: skip


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
        values = self.choices or (("true", "false") if self.kind is bool else ("any",))
        return ", ".join(value if value.isidentifier() else json.dumps(value) for value in values)


def _digits(number: float) -> str:
    """A number without an exponent and without trailing zeros."""
    return str(number) if isinstance(number, int) else f"{number:.9f}".rstrip("0").rstrip(".")


def described(form: Any, section: str) -> tuple[Setting, ...]:
    """Every setting of a section's dataclass, in its order; a field without a default is not a setting."""
    specs = [spec for spec in dataclasses.fields(form) if spec.default is not dataclasses.MISSING]
    return tuple(Setting(section, spec.name, type(spec.default), spec.default, **spec.metadata) for spec in specs)


def every_setting() -> tuple[Setting, ...]:
    """The settings of every section except `connectors`, which `device.delivery.connectors` describes."""
    sections = [section for section in dataclasses.fields(Settings) if dataclasses.is_dataclass(section.default)]
    return tuple(setting for section in sections for setting in described(section.default, section.name))


@cache
def editable() -> tuple[Setting, ...]:
    """The settings that the pages may change."""
    return tuple(setting for setting in every_setting() if on_page(setting))


def on_page(setting: Setting) -> bool:
    """Whether the pages may change it: not what could lock everybody out or needs other files."""
    section = setting.section.partition(".")[0]  # of connectors.NAME
    return not setting.secret and not {section, setting.name} & set(ONLY_IN_FILE)


def read(store: Store) -> dict[str, dict[str, Any]]:
    """section -> key -> value of all settings that the pages have set."""
    tables: dict[str, dict[str, Any]] = {}
    with store.reading() as db:
        for name, text in db.execute("SELECT key, value FROM settings WHERE key LIKE '%.%' ORDER BY key"):  # other rows have no dot
            section, _, key = name.partition(".")
            tables.setdefault(section, {})[key] = json.loads(text)
    return tables


@dataclass(frozen=True)
class Above:
    """A value that a fleet sets for this terminal, and the group it is set for."""

    value: Any
    group: str


def above(store: Store, db: Database | None = None) -> dict[str, Above]:
    """Name -> what the fleet sets; it counts instead of the file and the page. `db`: inside a transaction."""
    if db is None:
        with store.reading() as db:
            return above(store, db)
    row = db.execute("SELECT value FROM fleet WHERE key = ?", [ABOVE]).fetchone()
    return {name: Above(*pair) for name, pair in json.loads(row[0]).items()} if row else {}


def above_json(values: Mapping[str, Above]) -> str:
    return json.dumps({name: [one.value, one.group] for name, one in values.items()}, sort_keys=True)


def check_above(store: Store, file: Path | None, values: Mapping[str, Above]) -> None:
    """Check what a fleet sets, together with the file and the page of this terminal.

    Raises:
        ConfigError: a name is unknown here or not editable, or the settings are not valid together.
    """
    known = {setting.name for setting in editable()}
    unknown = [name for name in values if name not in known]
    if unknown:
        words = f"{unknown[0][:80]}: this terminal has no such setting that could be set from above; it may be of a newer version"
        raise ConfigError(words, code="config.unknown")
    loader.load(file, read(store), {name: one.value for name, one in values.items()})


def in_force(store: Store, file: Path | None) -> Settings:
    """The settings from the next start on: of the file and the page, and instead of both what the fleet sets."""
    return loader.load(file, read(store), {name: one.value for name, one in above(store).items()})


def overridden(store: Store, file: Path | None) -> dict[str, tuple[Above, Any]]:
    """Name -> what the fleet sets, and the value of the page or the file that does not count; None where there is none."""
    both = read(store), loader.file_tables(file)
    local = {f"{section}.{key}": value for tables in both for section, table in tables.items() for key, value in table.items()}
    return {name: (one, local.get(name)) for name, one in above(store).items()}


def change(store: Store, file: Path | None, values: dict[str, Any], check: Callable[[Settings, Collection[str]], None] | None = None) -> list[str]:
    """Set several settings ("attendance.direction" -> value; None restores the default), all or none; returns the names of those changed.

    Args:
        check: is given the settings that would be in force and the names of those changed; it raises where this terminal could not work with them.

    Raises:
        ConfigError: a name is unknown, not editable here or set in the file, or the settings are not valid together.
    """
    known = {setting.name: setting for setting in editable()}
    now, fixed, set_above = read(store), fixed_by(file), above(store)
    changed = []
    for name, value in values.items():
        if name not in known:
            raise ConfigError(f"{name[:80]}: this page has no such setting; it may belong in the configuration file", code="config.unknown")
        if name in fixed:
            raise ConfigError(f"{name} is set in the configuration file; change it there", code="config.set_twice")
        if name in set_above:
            raise ConfigError(f"{name} is set for the group {set_above[name].group!r} of the fleet; change it there", code="config.set_above")
        section, _, key = name.partition(".")
        before = now.get(section, {}).get(key)
        now.setdefault(section, {}).pop(key, None)
        if value is not None and value != known[name].default:
            now[section][key] = value
        if before != now[section].get(key):
            changed.append(name)
    following = loader.load(file, now, {name: one.value for name, one in set_above.items()})
    if check is not None:
        check(following, changed)
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
    """Remove one stored setting, whatever the file says: the remedy where both set it."""
    with store.transaction() as db:
        old = db.execute("SELECT value FROM settings WHERE key = ?", [name]).fetchone()
        db.execute("DELETE FROM settings WHERE key = ?", [name])
        store.note(Action.SETTING_CHANGED, setting=name, before=json.loads(old[0]) if old else None, after=None)


def fixed_by(file: Path | None) -> set[str]:
    """The names of settings in the configuration file."""
    return {f"{section}.{key}" for section, table in loader.file_tables(file).items() for key in table}


def with_point(number: str) -> str:
    """`0,5` -> `0.5`; what may be a thousand, such as `1,500`, stays as it is, and is no number."""
    found = DECIMAL_COMMA.fullmatch(number)
    return number.replace(",", ".") if found and (found[1].lstrip("-+") == "0" or len(found[2]) != 3) else number


def parsed(setting: Setting, text: str) -> Any:
    """The text of a form or a command line, converted to the setting's type; a decimal comma is one, as people write it in many languages.

    Raises:
        ConfigError: it is not of that type.
    """
    try:
        if setting.kind is bool:
            return {"true": True, "false": False}[text.strip().lower()]
        if setting.kind is float:
            return float(with_point(text.strip()))
        return int(text.strip()) if setting.kind is int else text.strip()
    except (ValueError, KeyError) as error:
        kind = phrase("kind.bool", "true or false") if setting.kind is bool else KINDS.get(setting.kind, setting.kind.__name__)
        words = phrase("config.kind", "{name} = {value!r}: expected {kind}", name=setting.name, value=text[:80], kind=kind)
        raise ConfigError(words, code="config.type") from error
