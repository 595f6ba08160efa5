"""A new release by rings: one terminal, a tenth of them, all. It halts where a device that was asked is worse than before."""

from __future__ import annotations

import math
import re
import shutil
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from device.fleet.membership import set_value, value
from device.fleet.server import Connection, FleetError
from device.storage.store import Store
from device.system.restart import Say

INBOX = Path("/var/lib/clockface-inbox")  # a bundle there is verified, installed and checked, and the board goes back where it is worse
FETCHED = "rollout.fetched"
TIMEOUT_SECONDS = 60
RINGS: dict[str, Callable[[int], int]] = {"one": lambda count: 1, "tenth": lambda count: math.ceil(count / 10), "all": lambda count: count}
ELIGIBLE = """SELECT d.id, d.health FROM devices d WHERE d.kind = 'terminal' AND d.joined_at IS NOT NULL AND d.revoked_at IS NULL
    AND NOT EXISTS (SELECT 1 FROM rollout_devices r WHERE r.release = %s AND r.device_id = d.id)
    ORDER BY d.last_seen DESC NULLS LAST LIMIT %s"""


def advance(connection: Connection, release: str, url: str, ring: str) -> list[dict[str, Any]]:
    """Ask the devices of a ring that have not been asked; returns how every device that was asked stands.

    Raises:
        FleetError: a device is worse, or one of the ring before does not run the release yet.
    """
    if not re.fullmatch(r"[\w.+-]+", release) or not re.match(r"(https|file)://", url or "https://"):
        raise FleetError("give the release as `update list` shows it, and the bundle's address as https://...", code="fleet.rollout")
    asked = states(connection, release)
    _check(asked)
    if url:
        connection.execute("INSERT INTO rollouts (release, url) VALUES (%s, %s) ON CONFLICT (release) DO UPDATE SET url = excluded.url", [release, url])
    elif not connection.execute("SELECT 1 FROM rollouts WHERE release = %s", [release]).fetchone():
        raise FleetError("say where terminals fetch the bundle: --from https://...", code="fleet.rollout")
    row = connection.execute("SELECT count(*) AS n FROM devices WHERE kind = 'terminal' AND joined_at IS NOT NULL AND revoked_at IS NULL").fetchone()
    more = RINGS[ring](row["n"] if row else 0) - len(asked)
    for device in connection.execute(ELIGIBLE, [release, max(0, more)]).fetchall():
        sql = "INSERT INTO rollout_devices (release, device_id, before) SELECT %s, id, health FROM devices WHERE id = %s"
        connection.execute(sql, [release, device["id"]])
    connection.execute("SELECT pg_notify('clockface_state', 'rollout')")
    return states(connection, release)


def states(connection: Connection, release: str) -> list[dict[str, Any]]:
    return connection.execute("SELECT device, done, worse FROM rollout_states(%s)", [release]).fetchall()


def _check(asked: list[dict[str, Any]]) -> None:
    worse = [f"{row['device']}: {row['worse']}" for row in asked if row["worse"]]
    if worse:
        raise FleetError(f"halted, and nobody else is asked: {'; '.join(worse)}", code="fleet.rollout")
    waiting = [row["device"] for row in asked if not row["done"]]
    if waiting:
        raise FleetError(f"the ring before is not done: {', '.join(waiting)}; ask again when they run it", code="fleet.rollout")


# At the terminal.


def receive(store: Store, connection: Connection, version: str, say: Say, inbox: Path = INBOX) -> threading.Thread | None:
    """Fetch the bundle that this terminal is asked to take, once, into the inbox, beside the exchange; the inbox verifies and installs it."""
    row = connection.execute("SELECT release, url FROM my_rollout()").fetchone()
    if row is None or row["release"] in (version, value(store, FETCHED)) or not inbox.is_dir():
        return None
    with store.transaction() as db:
        set_value(db, FETCHED, row["release"])
    thread = threading.Thread(target=_fetch, args=[row["release"], row["url"], say, inbox], name="rollout", daemon=True)
    thread.start()
    return thread


def _fetch(release: str, url: str, say: Say, inbox: Path) -> None:
    part = inbox / f"{release}.part"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as source, part.open("wb") as target:
            shutil.copyfileobj(source, target)
        part.rename(inbox / f"{release}.bundle")
        say(f"fleet: the bundle of {release} was fetched; it is verified and installed next")
    except OSError as error:
        part.unlink(missing_ok=True)
        say(f"fleet: the bundle of {release} cannot be fetched ({error}); `fleet rollout` halts after an hour")
