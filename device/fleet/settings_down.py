"""Settings from above: checked here as the settings file is, taken all together or not at all, in force from the next start."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg.types.json import Jsonb

from device.config import Settings
from device.config.fields import ConfigError
from device.fleet.membership import set_value, value
from device.fleet.server import Connection
from device.storage import settings as stored_settings
from device.storage.audit import Action
from device.storage.settings import ABOVE, Above, editable
from device.storage.store import Store

ASKED, REFUSED, TOLD = "settings.asked", "settings.refused", "settings.told"


@dataclass(frozen=True)
class Running:
    """What the terminal was started with."""

    file: Path | None
    settings: Settings


def receive(store: Store, connection: Connection, running: Running) -> None:
    """Take what is set for this terminal where it is allowed here, and tell the database what is in force."""
    rows = connection.execute("SELECT key, value, of FROM my_settings()").fetchall()
    asked = {row["key"]: Above(row["value"], row["of"]) for row in rows}
    text = stored_settings.above_json(asked)
    if text != value(store, ASKED, "{}"):
        _take(store, running, asked, text)
    _tell(store, connection, running)


def _take(store: Store, running: Running, asked: dict[str, Above], text: str) -> None:
    refused = ""
    try:
        stored_settings.check_above(store, running.file, asked)
    except ConfigError as error:
        refused = str(error)
    with store.transaction() as db:
        set_value(db, ASKED, text)
        set_value(db, REFUSED, refused)
        if not refused:
            before = stored_settings.above(store, db)
            set_value(db, ABOVE, text)
            for name in sorted(name for name in {*before, *asked} if before.get(name) != asked.get(name)):
                was, will = before.get(name), asked.get(name)
                details = {"before": was and was.value, "after": will and will.value, "group": will.group if will else None}
                store.note_by("fleet", Action.SETTING_CHANGED, setting=name, **details)


def _tell(store: Store, connection: Connection, running: Running) -> None:
    told = json.dumps(words(store, running), sort_keys=True)
    if told != value(store, TOLD):
        connection.execute("SELECT tell_settings(%s)", [Jsonb(json.loads(told))])
        with store.transaction() as db:
            set_value(db, TOLD, told)


def words(store: Store, running: Running) -> dict[str, Any]:
    """What the company's database shows of this terminal's settings: the values that will be in force, what was refused, whether a restart is needed."""
    try:
        following = stored_settings.in_force(store, running.file)
    except ConfigError as error:
        return {"refused": str(error)}
    both = {setting.name: tuple(getattr(getattr(of, setting.section), setting.key) for of in (following, running.settings)) for setting in editable()}
    restart = any(after != now for after, now in both.values())
    return {"values": {name: after for name, (after, _) in both.items()}, "refused": value(store, REFUSED), "restart": restart}
