"""The checks of people's keys and templates. Nothing is changed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from sqlite_utils import Database

from device.contract import ModelCard
from device.maintenance.database_check import Finding, read_only
from device.maintenance.key_export import given_out
from device.storage import device_key, key_folder, keys, templates
from device.storage.corrections import NOBODYS_LOGINS
from device.storage.database import explained
from device.storage.schema import SCHEMA_VERSION
from device.storage.standing import counted, to_enrol_words
from device.system.number_of import number_of


def check_keys(database: Path) -> Finding:
    """Whether the device's key opens and is private, and everybody with templates has a key."""
    place = key_folder.folder()
    if exposed := key_folder.open_to_others(place):
        words = f"others on this machine may access {exposed[0]}: the next start closes it; then run `python -m device keys rotate`, as it may have been read"
        return Finding("keys", "warning", words)
    device = device_key.opened(place)
    identity, owners = _identity_and_owners(database)
    known = keys.PersonKeys(identity, place).everyone() if identity else {}
    if without := sorted(owners - known.keys()):
        ids = ", ".join(map(str, without[:5]))
        remedy = f"put back {place}, bring their keys with `python -m device keys import FILE`, or enrol them again"
        words = f"{number_of(len(without), 'person')} with templates and no key here (id {ids}): {remedy}"
        return Finding("keys", "warning", words)
    if device is None:
        return Finding("keys", "ok", f"none yet: the first enrolment makes them in {place}")
    words = f"{place}: the device's key is {device.kind}, {number_of(len(known), 'person')} with a key that opens"
    given = given_out(identity, place) if identity else None
    if given is None:
        return Finding("keys", "ok", words)
    return Finding("keys", "warning" if given.missing or given.erased else "ok", f"{words}; {given.words}")


def check_templates(database: Path, load_card: Callable[[], ModelCard]) -> Finding:
    """Whether the model that the settings name knows everybody who was enrolled; after a change of model it does not at first."""
    identity, owners = _identity_and_owners(database)
    if identity is None:
        return Finding("templates", "ok", "no database of this version yet")
    if not owners:
        return Finding("templates", "ok", "nobody is enrolled yet")
    card = load_card()
    readable = keys.PersonKeys(identity, key_folder.folder()).everyone().keys()
    with explained(database), closing(read_only(database)) as connection:
        standing = templates.standing(Database(connection, execute_plugins=False), readable, card.model_id)
    known, to_make = len(standing.known), len(standing.to_make)
    words = [f"{counted(known)} with templates of {card.name}"]
    if to_make:
        words = [f"{known} of {counted(known + to_make)} with templates of {card.name}: the terminal makes the others from kept pictures while it runs"]
    if standing.to_enrol:
        words.append(to_enrol_words(card.name, standing.to_enrol))
    return Finding("templates", "warning" if to_make or standing.to_enrol else "ok", "; ".join(words))


def check_logins(database: Path) -> Finding:
    """Whether it was said whose each login is that may approve: until then it approves nothing, since four eyes are those of two people."""
    if _identity_and_owners(database)[0] is None:
        return Finding("logins", "ok", "no database of this version yet")
    with explained(database), closing(read_only(database)) as connection:
        waiting = [row[0] for row in connection.execute(NOBODYS_LOGINS)]
    if not waiting:
        return Finding("logins", "ok", "each login that approves belongs to somebody")
    words = f"{', '.join(waiting[:5])}{' ...' if len(waiting) > 5 else ''}: not said whose login it is, so it approves nothing"
    return Finding("logins", "warning", f"{words}; say it on Users and roles, or with `python -m device users person LOGIN [PERSON]`")


def _identity_and_owners(database: Path) -> tuple[str | None, set[int]]:
    """The identity of a database of this version, and the ids of people who have templates."""
    if not database.exists():
        return None, set()
    with explained(database), closing(read_only(database)) as connection:
        if connection.execute("PRAGMA user_version").fetchone()[0] != SCHEMA_VERSION:
            return None, set()
        identity = connection.execute("SELECT id FROM identity").fetchone()[0]
        return identity, {row[0] for row in connection.execute("SELECT DISTINCT person_id FROM templates")}
