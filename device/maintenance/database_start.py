"""What is done with a database before a terminal or a desk opens it."""

from __future__ import annotations

from pathlib import Path

from device.maintenance.backup import apply_staged
from device.maintenance.factory_reset import go_on
from device.storage.database import StoreError
from device.storage.database_files import sweep
from device.storage.recovery import rescue


def prepare(database: Path) -> list[str]:
    """Finish a reset, put a staged backup in place, restore a damaged file and remove what killed processes left. Returns the lines to report.

    Raises:
        ResetError: a reset that was begun cannot be finished.
        BackupError: the staged backup cannot take the place of the database.
        StoreError: a terminal runs on the database, its copy cannot be put in place, or its folder cannot be used.
    """
    try:
        lines = [*go_on(database), *apply_staged(database), *rescue(database)]
        sweep(database)
    except OSError as error:
        words = f"database {database} cannot be prepared ({error}); check the path and that file and folder belong to this user"
        raise StoreError(words, code="store.not_opened") from error
    return lines
