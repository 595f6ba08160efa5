"""The site's clock, read from the rules of the site."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

from sqlite_utils import Database

from device.system.time_zones import LocalClock, system_zone, zone

SITE = "site"  # the key in table settings
EVERY_SECONDS = 10.0


def read_clock(db: Database) -> LocalClock:
    """The clock of the site's time zone; until that is set, of the machine's own."""
    row = db.execute("SELECT json_extract(value, '$.zone') FROM settings WHERE key = ?", [SITE]).fetchone()
    return LocalClock(zone(row[0] if row else system_zone()))


class KeptClock:
    """The site's clock for a part that has no open store, read again every few seconds. It goes on when the database cannot be read."""

    def __init__(self, database: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._address = f"file:{quote(str(database.resolve()))}?mode=ro"
        self._monotonic = monotonic
        self._known: tuple[float, LocalClock] | None = None

    def __call__(self) -> LocalClock:
        at = self._monotonic()
        if self._known is None or at - self._known[0] > EVERY_SECONDS:
            self._known = at, self._known[1] if self._known else LocalClock(zone(system_zone()))
            with suppress(sqlite3.Error), closing(sqlite3.connect(self._address, uri=True, timeout=0.1)) as connection:
                self._known = at, read_clock(Database(connection, execute_plugins=False))
        return self._known[1]
