"""The first start: an admin with a random password, shown once and changed at the first login."""

from __future__ import annotations

from pathlib import Path

from device.storage.store import Store
from device.system.files import Disk
from device.web.access import accounts, passwords

LOGIN = "admin"


def password_file(database: Path) -> Path:
    return database.with_name(f"{database.name}.admin-password")


def create(store: Store, to_terminal: bool) -> list[str]:
    """Create the admin if there is no user yet; returns the lines to print.

    Args:
        to_terminal: somebody reads what is printed. Otherwise (a service, whose output goes into a log) the password
            is written to a file of mode 600 beside the database, which goes away with the first change.
    """
    if accounts.users(store):
        return []
    password = passwords.invented()
    if not to_terminal:
        Disk().write(password_file(store.path), f"{password}\n".encode(), 0o600)
    accounts.add(store, LOGIN, "admin", password)
    said = password if to_terminal else f"in {password_file(store.path)}"
    return [f"web: first login: {LOGIN}, password {said} (to be changed at the first login; it is not shown again)"]
