"""What a database knows of its fleet: who it is there, when it last heard of the company's database, what waits, what stops."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlite_utils import Database

FAULTS = {  # what the company's database found in a chain, in words
    "gap": "rows of it are missing here",
    "fork": "it goes on differently from what was sent before, as after a restored back-up",
    "changed": "a row was changed after it was recorded",
}


@dataclass(frozen=True)
class FleetState:
    """The state of a terminal or a desk in its fleet."""

    name: str
    site: str  # "": all sites
    desk: bool
    heard_at: float | None  # s since the epoch, to some minutes; None: never yet
    trouble: str  # why there is no connection; "" while there is one
    waiting: int  # rows that are not sent yet
    faults: dict[str, str]  # chain -> fault; nothing of it is sent until somebody has accepted it
    twins: int  # people under two identities
    strange: int = 0  # rows from above that this version does not understand

    @property
    def place(self) -> str:
        return f"{self.name}, {self.site or 'all sites'}"


def fleet_state(db: Database) -> FleetState | None:
    """The state as stored; None for a terminal that stands alone."""
    values = dict(db.execute("SELECT key, value FROM fleet WHERE key NOT LIKE 'key.%'").fetchall())
    if "membership" not in values:
        return None
    member = json.loads(values["membership"])
    desk = member.get("kind") == "desk"
    heard = values.get("heard")
    faults = {key.partition(".")[2]: fault for key, fault in values.items() if key.startswith("fault.")}
    twins, strange = (sum(key.startswith(start) for key in values) for start in ("twins.", "strange."))
    heard_at, trouble = float(heard) if heard else None, values.get("trouble", "")
    return FleetState(member["name"], member["site"], desk, heard_at, trouble, _waiting(db, desk, values), faults, twins, strange)


def _waiting(db: Database, desk: bool, values: dict[str, str]) -> int:
    changes = int(db.execute("SELECT count(*) FROM fleet_changes").fetchone()[0])
    if desk:
        own = "SELECT count(*) FROM corrections c WHERE NOT EXISTS (SELECT 1 FROM copies o WHERE o.chain = 'corrections' AND o.row = c.id)"
        return changes + int(db.execute(own).fetchone()[0])
    sent = {chain: int(values.get(f"sent.{chain}", 0)) for chain in ("punches", "corrections")}
    return changes + sum(int(db.execute(f"SELECT count(*) FROM {chain} WHERE id > ?", [number]).fetchone()[0]) for chain, number in sent.items())
