"""Punches from the log of another terminal: marked `imported`, in the hash chain like all others, delivered to nobody unless that is asked for."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Sequence

from sqlite_utils import Database

from device.storage import hash_chain, outbox_rows
from device.storage.records import PunchDraft
from device.system.clock import ClockState, to_ms

# Of the other terminal's clock nothing is known; `imported` takes the place of the boot id, so that no repair of clocks looks at these.
CLOCK = ClockState(True, "imported", 0)
Key = tuple[int, int]  # person id, ms since the epoch

# The last imported punch of a person that counts: by its time, since it came later than punches that were recorded here.
LAST = """SELECT coalesce(c.occurred_at, p.occurred_at) / 1000.0, coalesce(c.direction, p.direction) FROM punches p
    LEFT JOIN corrections c ON c.id = (SELECT max(id) FROM corrections WHERE punch_id = p.id)
    WHERE p.person_id = ? AND p.method = 'imported' AND (c.id IS NULL OR c.direction IS NOT NULL) ORDER BY p.occurred_at DESC LIMIT 1"""

PRESENT = """SELECT json_extract(w.value, '$[0]') AS person, json_extract(w.value, '$[1]') AS at FROM json_each(?) w
    WHERE EXISTS (SELECT 1 FROM punches WHERE person_id = person AND occurred_at = at)
    OR EXISTS (SELECT 1 FROM door_punches WHERE person_id = person AND occurred_at = at)
    OR EXISTS (SELECT 1 FROM corrections WHERE person_id = person AND occurred_at = at AND punch_id IS NULL AND direction IS NOT NULL)"""


def present(db: Database, wanted: Collection[Key]) -> set[Key]:
    """Which of these punches are here already: recorded, imported, at another door, or added by a correction."""
    return {(person, at) for person, at in db.execute(PRESENT, [json.dumps(list(wanted))])}


def is_imported(db: Database, punch_id: int) -> bool:
    return db.execute("SELECT 1 FROM punches WHERE id = ? AND method = 'imported'", [punch_id]).fetchone() is not None


def append(db: Database, drafts: Sequence[PunchDraft], deliver: bool) -> None:
    """Append imported punches to the chain, inside the caller's transaction; `deliver`: queue them for every configured target."""
    now = to_ms(time.time())
    for draft in drafts:
        row = hash_chain.append(db, "punches", draft.row())
        if deliver:
            outbox_rows.add(db, None, draft.person_id, now, punch_id=int(str(row["id"])))
