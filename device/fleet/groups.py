"""Settings by group, at the owner's: what is set for which devices, and what a change would change where."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from device.config import Settings, loader
from device.config.fields import ConfigError
from device.fleet.server import Connection, FleetError
from device.storage.settings import editable, parsed

EVERYBODY = "all"


@dataclass(frozen=True)
class GroupChange:
    """What one device will do with one setting."""

    device: str
    name: str
    before: Any  # as the device told; None: it has not told yet
    after: Any  # None: its own value again

    @property
    def words(self) -> str:
        before = "not told yet" if self.before is None else json.dumps(self.before)
        return f"{self.device}: {self.name}: {before} -> {'its own value again' if self.after is None else json.dumps(self.after)}"


def values(texts: Sequence[str]) -> dict[str, Any]:
    """["attendance.refractory_seconds=90"] -> {"attendance.refractory_seconds": 90.0}, each checked as in the settings file.

    Raises:
        ConfigError: no such setting, one that only the file of a terminal may have, or a value that is not allowed.
    """
    known, found = {setting.name: setting for setting in editable()}, {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in known:
            words = f"{name[:80]!r} cannot be set for a group; `python -m device settings --help-all` lists what can: file or page"
            raise ConfigError(words, code="config.unknown")
        found[name] = parsed(known[name], value)
        section, _, key = name.partition(".")
        loader.read_section(type(getattr(Settings(), section)), section, {key: found[name]})
    return found


def members(connection: Connection, group: str, add: Sequence[str], remove: Sequence[str]) -> None:
    """Put devices into a named group, made where it is new, or take them out of it.

    Raises:
        FleetError: no such device, or the name is that of a site.
    """
    if group == EVERYBODY or connection.execute("SELECT 1 FROM sites WHERE name = %s", [group]).fetchone():
        raise FleetError(f"{group!r} has all devices of that name already; give a group of your own another name", code="fleet.group")
    connection.execute("INSERT INTO groups VALUES (%s) ON CONFLICT DO NOTHING", [group])
    for name in (*add, *remove):
        row = connection.execute("SELECT id FROM devices WHERE name = %s AND revoked_at IS NULL", [name]).fetchone()
        if row is None:
            raise FleetError(f"there is no device {name!r}; `python -m device fleet status` lists them", code="fleet.unknown")
        into, out = "INSERT INTO group_devices VALUES (%s, %s) ON CONFLICT DO NOTHING", "DELETE FROM group_devices WHERE (group_name, device_id) = (%s, %s)"
        connection.execute(into if name in add else out, [group, row["id"]])


def change(connection: Connection, group: str, given: Mapping[str, Any], unset: Sequence[str] = (), add: Sequence[str] = (), remove: Sequence[str] = (),
           preview: bool = False) -> list[GroupChange]:  # fmt: skip
    """Set values for a group; returns what changes where. With `preview` nothing is changed.

    Raises:
        FleetError: no such group.
    """
    found: list[GroupChange] = []
    with connection.transaction() as whole:
        before = _asked(connection)
        if add or remove:
            members(connection, group, add, remove)
        _check_group(connection, group)
        for name, value in given.items():
            sql = "INSERT INTO group_settings VALUES (%s, %s, %s) ON CONFLICT (group_name, key) DO UPDATE SET value = excluded.value"
            connection.execute(sql, [group, name, Jsonb(value)])
        connection.execute("DELETE FROM group_settings WHERE group_name = %s AND key = ANY (%s)", [group, list(unset)])
        found = list(_changes(connection, before, _asked(connection)))
        connection.execute("SELECT pg_notify('clockface_state', 'settings')")
        if preview:
            raise psycopg.Rollback(whole)
    return found


def _check_group(connection: Connection, group: str) -> None:
    sql = "SELECT name FROM groups UNION SELECT name FROM sites UNION SELECT 'all' ORDER BY 1"
    names = [row["name"] for row in connection.execute(sql).fetchall()]
    if group not in names:
        raise FleetError(f"there is no group {group!r}; there are: {', '.join(names)}. --add DEVICE makes a group of your own", code="fleet.group")


def _asked(connection: Connection) -> dict[str, dict[str, Any]]:
    """Device -> setting -> what is set for it."""
    sql = "SELECT d.name, s.key, s.value FROM devices d, settings_of(d.id) s WHERE d.revoked_at IS NULL ORDER BY 1, 2"
    found: dict[str, dict[str, Any]] = {}
    for row in connection.execute(sql).fetchall():
        found.setdefault(row["name"], {})[row["key"]] = row["value"]
    return found


def _changes(connection: Connection, before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]) -> Sequence[GroupChange]:
    told = {row["name"]: (row["settings"] or {}).get("values", {}) for row in connection.execute("SELECT name, settings FROM devices").fetchall()}
    names = {(device, name) for asked in (before, after) for device, given in asked.items() for name in given}
    both = [(device, name, before.get(device, {}).get(name), after.get(device, {}).get(name)) for device, name in sorted(names)]
    return [GroupChange(device, name, told[device].get(name, was), will) for device, name, was, will in both if was != will]


def listed(connection: Connection) -> list[dict[str, Any]]:
    """Every group that has devices of its own or values: its name, its devices and its values."""
    return connection.execute(
        """SELECT g.name, (SELECT coalesce(jsonb_agg(d.name ORDER BY d.name), '[]') FROM group_devices m JOIN devices d ON d.id = m.device_id
                WHERE m.group_name = g.name) AS devices,
            (SELECT coalesce(jsonb_object_agg(s.key, s.value), '{}') FROM group_settings s WHERE s.group_name = g.name) AS settings
        FROM (SELECT name FROM groups UNION SELECT group_name FROM group_settings) g ORDER BY 1"""
    ).fetchall()


def troubles(connection: Connection) -> list[str]:
    """Devices that refused what was set, or need a restart."""
    sql = "SELECT name, settings FROM devices WHERE settings IS NOT NULL AND revoked_at IS NULL ORDER BY name"
    return [
        f"{row['name']}: {words}"
        for row in connection.execute(sql).fetchall()
        for words in ([f"refused: {row['settings']['refused']}"] if row["settings"].get("refused") else [])
        + (["in force after a restart"] if row["settings"].get("restart") else [])
    ]
