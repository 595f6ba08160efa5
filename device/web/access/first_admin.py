"""The first start: an admin with an invented password, said once, to be changed at the first login."""

from __future__ import annotations

import os
from pathlib import Path

from device.storage.store import Store
from device.web.access import accounts, passwords

LOGIN = "admin"


def password_file(database: Path) -> Path:
    return database.with_name(f"{database.name}.admin-password")


def create(store: Store, to_terminal: bool) -> list[str]:
    """Make the admin where nobody can log in yet; returns the lines to be printed.

    Args:
        to_terminal: somebody reads what is printed. Otherwise (a service, whose output goes into a log) the password
            is written to a file of mode 600 beside the database, which goes away with the first change.
    """
    if accounts.users(store):
        return []
    password = passwords.invented()
    if not to_terminal:
        _write(password_file(store.path), password)
    accounts.add(store, LOGIN, "admin", password)
    said = password if to_terminal else f"in {password_file(store.path)}"
    return [f"web: first login: {LOGIN}, password {said} (to be changed at the first login; it is not shown again)"]


def _write(path: Path, password: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"{password}\n")
