"""Wrong clocks: jumps and zone changes are detected, and punches recorded before the clock was set get their true time as corrections.

A board without a battery clock starts with a wrong time. Once a time server has set it, monotonic time gives the true time of each
punch of the same start. Nothing is changed in place and nothing is reordered: the punch keeps the time that the clock showed.
"""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from device.storage import corrections
from device.storage.audit import Action
from device.storage.corrections import CorrectionDraft
from device.storage.database import StoreError
from device.storage.records import LastPunch
from device.storage.store import Store
from device.system.clock import ClockState, iso_utc

TOLERANCE_SECONDS = 2.0  # smaller errors are not worth a correction
DRIFT = 1e-4  # of a crystal: relative uncertainty of a time that is computed back over hours or days
REASON = "the clock was not set: time computed from the monotonic clock of the same start"
BY = "clock"
ZONE = Path("/etc/localtime")

UNSET = """SELECT id, person_id, occurred_at, direction, monotonic_ms FROM punches p WHERE clock_synchronised = 0 AND boot_id = ? AND id > ?
    AND NOT EXISTS (SELECT 1 FROM corrections c WHERE c.punch_id = p.id) ORDER BY id"""


LEFT = """SELECT id FROM punches p WHERE clock_synchronised = 0 AND boot_id <> ?
    AND NOT EXISTS (SELECT 1 FROM corrections c WHERE c.punch_id = p.id)
    AND NOT EXISTS (SELECT 1 FROM period_locks l WHERE l.lifted_at IS NULL AND p.occurred_at >= l.from_ms AND p.occurred_at < l.until_ms) ORDER BY id"""


def left_over(db: Database, clock: ClockState) -> list[int]:
    """Punches of earlier starts on an unset clock, neither corrected nor locked: their true time cannot be computed, so people must check them.

    Empty while the clock is still not set: then this board has no time server, and wrong times cannot be told from right ones.
    """
    return [int(row[0]) for row in db.execute(LEFT, [clock.boot_id])] if clock.synchronised else []


@dataclass(frozen=True)
class Change:
    """A change of the clock, for the audit and as text."""

    action: Action
    details: dict[str, Any]
    words: str


class ClockWatch:
    """Compares each reading of the clock with the one before."""

    def __init__(self) -> None:
        self._before: tuple[float, float, str] | None = None  # wall s, monotonic s, zone

    def look(self, wall: float, monotonic: float, zone: str) -> list[Change]:
        """wall: s since the epoch; monotonic: s that setting the clock does not change, and that go on during suspend."""
        before, self._before = self._before, (wall, monotonic, zone)
        if before is None:
            return []
        jump = (wall - before[0]) - (monotonic - before[1])
        changes = []
        if abs(jump) > TOLERANCE_SECONDS:
            details = {"seconds": round(jump, 1), "was": iso_utc(wall - jump), "is": iso_utc(wall)}
            changes.append(Change(Action.CLOCK_JUMPED, details, f"the clock jumped by {jump:+.1f} s to {iso_utc(wall)}"))
        if zone != before[2]:
            changes.append(Change(Action.ZONE_CHANGED, {"was": before[2], "is": zone}, f"the time zone changed from {before[2]} to {zone}"))
        return changes


def zone_name(link: Path = ZONE) -> str:
    """The time zone of the system, such as Europe/Berlin."""
    try:
        return os.environ.get("TZ") or os.readlink(link).partition("zoneinfo/")[2] or "unknown"
    except OSError:
        return "unknown"


class Repair:
    """Corrects punches recorded on an unset clock since this start of the board, once the time is known."""

    def __init__(self) -> None:
        self._checked_to = 0  # id of the last punch that was checked on a set clock

    def run(self, store: Store, now: float, clock: ClockState) -> list[str]:
        """Correct the punches; returns the lines to report. A punch that has a correction is left alone, one in a locked period is reported.

        A clock that was set once and then ran free for days is not wrong: the computed time must differ by more than its own uncertainty.

        Args:
            now, clock: wall clock (s since the epoch) and its state, read at one moment.
        """
        if not clock.synchronised or clock.boot_id == "unknown":
            return []
        with store.reading() as db:
            waiting = db.execute(UNSET, [clock.boot_id, self._checked_to]).fetchall()
        lines, repaired = [], 0
        for punch_id, person_id, at_ms, direction, monotonic_ms in _outermost_first(waiting, now * 1000 - clock.monotonic_ms):
            elapsed = (clock.monotonic_ms - monotonic_ms) / 1000
            true = now - elapsed
            if abs(true - at_ms / 1000) > TOLERANCE_SECONDS + DRIFT * elapsed:
                try:
                    with store.transaction() as db:
                        _correct(db, store, CorrectionDraft(person_id, punch_id, None, LastPunch(true, direction), REASON))
                    repaired += 1
                except StoreError as error:
                    if isinstance(error.__cause__, sqlite3.OperationalError):  # locked, full: tried again at the next run
                        raise
                    lines.append(
                        f"punch {punch_id} was recorded at {iso_utc(at_ms / 1000)} on an unset clock, true time {iso_utc(true)}, not corrected: {error}"
                    )
        self._checked_to = max((row[0] for row in waiting), default=self._checked_to)
        if repaired:
            lines.append(f"{repaired} punches that were recorded before the clock was set got their true time as corrections")
        return lines


def _outermost_first(rows: list[Any], started_ms: float) -> list[Any]:
    """If punches move forward in time, the last one comes first, so that no check-in passes its check-out, which other systems refuse."""
    forward = bool(rows) and started_ms + rows[-1][4] > rows[-1][2]
    return rows[::-1] if forward else rows


def _correct(db: Database, store: Store, draft: CorrectionDraft) -> None:
    number = corrections.append(db, draft, BY)
    store.note(Action.PUNCH_TIME_REPAIRED, punch_id=draft.punch_id, correction_id=number, person_id=draft.person_id)
