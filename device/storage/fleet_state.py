"""What a database knows of its fleet: who it is there, when it last heard of the company's database, what waits, what stops; at a desk, of every device."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlite_utils import Database

from device.storage.audit import Action
from device.storage.store_file import StoreFile

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
    twins: int  # pairs of names with one face, which HR has still to decide
    strange: int = 0  # rows from above that this version does not understand

    @property
    def place(self) -> str:
        return f"{self.name}, {self.site or 'all sites'}"


TWINS = """SELECT count(*) FROM findings f JOIN people a ON a.uuid = f.one AND a.active = 1 JOIN people b ON b.uuid = f.other AND b.active = 1
    WHERE f.decided IS NULL"""


def fleet_state(db: Database) -> FleetState | None:
    """The state as stored; None for a terminal that stands alone."""
    values = dict(db.execute("SELECT key, value FROM fleet WHERE key NOT LIKE 'key.%'").fetchall())
    if "membership" not in values:
        return None
    member = json.loads(values["membership"])
    desk = member.get("kind") == "desk"
    heard = values.get("heard")
    faults = {key.partition(".")[2]: fault for key, fault in values.items() if key.startswith("fault.")}
    twins, strange = int(db.execute(TWINS).fetchone()[0]), sum(key.startswith("strange.") for key in values)
    heard_at, trouble = float(heard) if heard else None, values.get("trouble", "")
    return FleetState(member["name"], member["site"], desk, heard_at, trouble, _waiting(db, desk, values), faults, twins, strange)


def _waiting(db: Database, desk: bool, values: dict[str, str]) -> int:
    changes = int(db.execute("SELECT count(*) FROM fleet_changes").fetchone()[0])
    if desk:
        own = "SELECT count(*) FROM corrections c WHERE NOT EXISTS (SELECT 1 FROM copies o WHERE o.chain = 'corrections' AND o.row = c.id)"
        return changes + int(db.execute(own).fetchone()[0])
    sent = {chain: int(values.get(f"sent.{chain}", 0)) for chain in ("punches", "corrections")}
    return changes + sum(int(db.execute(f"SELECT count(*) FROM {chain} WHERE id > ?", [number]).fetchone()[0]) for chain, number in sent.items())


# What a desk and `fleet status` know of every device.

SILENT_SECONDS, LONG_SILENT_SECONDS = 120.0, 900.0  # without a word of a device that reports every 15 s
AHEAD_SECONDS, FAR_SECONDS = 5.0, 60.0  # a device's clock against the database's
LONG_QUEUE = 200  # rows that wait at a device that is connected
CAMERA = {"black": "the picture is black", "slow": "too few pictures", "lost": "no pictures", "frozen": "frozen picture", "turned": "hangs turned"}
Level = Literal["good", "warn", "bad", "off"]


@dataclass(frozen=True)
class DeviceState:
    """One device as the company's database tells of it; `told` is a row of its view `overview`."""

    told: Mapping[str, Any]
    now: float  # s since the epoch

    @property
    def id(self) -> str:
        return str(self.told["id"])

    @property
    def name(self) -> str:
        return str(self.told["name"])

    @property
    def site(self) -> str:
        return self.told["site"] or "all sites"

    @property
    def health(self) -> Mapping[str, Any]:
        return self.told["health"] or {}

    @property
    def seen_at(self) -> float | None:
        """s since the epoch; None: it has not joined yet."""
        return _seconds(self.told["last_seen"])

    @property
    def ago(self) -> str:
        """How long ago that was."""
        silent = self.now - (self.seen_at or self.now)
        return "just now" if silent < SILENT_SECONDS else f"{lasting(silent)} ago"

    @property
    def ended(self) -> str:
        """Why nothing is expected of it; "" where something is."""
        if self.told["continued_as"]:
            return "its chain ended in a fault that was accepted"
        if self.told["revoked_at"]:
            return "revoked"
        return "" if self.told["joined_at"] else "invited, has not joined"

    @property
    def faults(self) -> list[Mapping[str, Any]]:
        return self.told["faults"] or []

    @property
    def to_accept(self) -> bool:
        """Whether a fault waits for somebody to look."""
        return any("accepted_by" not in fault for fault in self.faults)

    @property
    def problems(self) -> list[tuple[Level, str]]:
        """What is wrong, the worst first."""
        if self.ended:
            return []
        return sorted([*self._silence(), *self._chain(), *self._clock(), *self._program()], key=lambda one: LEVELS.index(one[0]))

    @property
    def level(self) -> Level:
        return "off" if self.ended else self.problems[0][0] if self.problems else "good"

    def _silence(self) -> Iterator[tuple[Level, str]]:
        silent = self.now - (self.seen_at or self.now)
        if silent > SILENT_SECONDS:
            yield "bad" if silent > LONG_SILENT_SECONDS else "warn", f"not heard of for {lasting(silent)}"
        waiting = int(self.health.get("waiting", 0))
        if waiting > LONG_QUEUE and silent <= SILENT_SECONDS:
            yield "warn", f"{waiting:,} rows wait to be sent"

    def _chain(self) -> Iterator[tuple[Level, str]]:
        for fault in self.faults:
            words = f"{fault['chain']} are not sent from row {fault['id']} on: {FAULTS.get(fault['fault'], fault['fault'])}"
            yield ("warn", f"{words}; accepted by {fault['accepted_by']}, it goes on when it is heard of") if "accepted_by" in fault else ("bad", words)
        if number := self.told["erasures_open"]:
            yield "warn", f"{number} erasure{'' if number == 1 else 's'} not confirmed yet"

    def _clock(self) -> Iterator[tuple[Level, str]]:
        ahead = float(self.health.get("clock_ahead", 0))
        if abs(ahead) > AHEAD_SECONDS:
            yield "bad" if abs(ahead) > FAR_SECONDS else "warn", f"its clock is {lasting(abs(ahead))} {'ahead' if ahead > 0 else 'behind'}"
        elif self.health.get("clock_set") is False:
            yield "warn", "its clock is not synchronised"

    def _program(self) -> Iterator[tuple[Level, str]]:
        camera = self.health.get("camera", "ok")
        if camera != "ok":
            yield "warn" if camera in ("black", "slow") else "bad", f"camera: {CAMERA.get(camera, camera)}"
        if twins := self.health.get("twins"):
            yield "warn", f"{twins} face{'' if twins == 1 else 's'} under two names: decide on the page People"
        if strange := self.health.get("not_understood"):
            yield "warn", f"{strange} row{'' if strange == 1 else 's'} of the company's database not understood"
        if newer := self.health.get("schema"):
            yield "warn", f"the database is {newer}"


LEVELS: tuple[Level, ...] = ("bad", "warn", "off", "good")


def devices(db: Database, now: float) -> list[DeviceState]:
    """Every device that a desk knows, those with trouble first."""
    found = [DeviceState(json.loads(told), now) for (told,) in db.execute("SELECT told FROM fleet_devices")]
    return sorted(found, key=lambda one: (LEVELS.index(one.level) if one.level != "off" else len(LEVELS), one.site, one.name))


def accept_faults(store: StoreFile, device: DeviceState) -> None:
    """Somebody has looked at a device's chain faults: its courier goes on when it hears of it. It is sent as other changes are."""
    with store.transaction() as db:
        db.execute("INSERT INTO fleet_changes (kind, key) VALUES ('accept', ?)", [device.id])
        store.note(Action.FLEET_FAULT_ACCEPTED, device=device.id, rows=[[fault["chain"], fault["id"], fault["fault"]] for fault in device.faults])


def lasting(seconds: float) -> str:
    """A duration in one unit."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _seconds(moment: str | None) -> float | None:
    return datetime.fromisoformat(moment).timestamp() if moment else None


def unsent(chain: str, row: str) -> str:
    """The SQL condition that a row of a chain is still to be sent to the company's database; at a desk, that it was made there and not sent. `row`: its id."""
    return f"""EXISTS (SELECT 1 FROM fleet m WHERE m.key = 'membership' AND CASE json_extract(m.value, '$.kind')
        WHEN 'desk' THEN NOT EXISTS (SELECT 1 FROM copies o WHERE o.chain = '{chain}' AND o.row = {row})
        ELSE {row} > coalesce((SELECT CAST(value AS INTEGER) FROM fleet WHERE key = 'sent.{chain}'), 0) END)"""
