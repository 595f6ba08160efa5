"""What a database knows of its fleet: who it is there, when it last heard of the company's database, what waits, what stops; at a desk, of every device."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlite_utils import Database

from device.contract import phrase, phrases
from device.storage.audit import Action
from device.storage.store_file import StoreFile

FAULTS = {  # what the company's database found in a chain, in words
    "gap": phrase("fault.gap", "rows of it are missing here"),
    "fork": phrase("fault.fork", "it goes on differently from what was sent before, as after a restored back-up"),
    "changed": phrase("fault.changed", "a row was changed after it was recorded"),
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
        return f"{self.name}, {site_words(self.site)}"


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

CHAINS = {"punches": phrase("chain.punches", "punches"), "corrections": phrase("chain.corrections", "corrections")}
SILENT_SECONDS, LONG_SILENT_SECONDS = 120.0, 900.0  # without a word of a device that reports every 15 s
AHEAD_SECONDS, FAR_SECONDS = 5.0, 60.0  # a device's clock against the database's
LONG_QUEUE = 200  # rows that wait at a device that is connected
CAMERA = {
    "black": phrase("camera.black", "the picture is black"), "slow": phrase("camera.slow", "too few pictures"),
    "lost": phrase("camera.lost", "no pictures"), "frozen": phrase("camera.frozen", "frozen picture"), "turned": phrase("camera.hangs", "hangs turned"),
}  # fmt: skip
DAYS = "{number} days"
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
        return site_words(self.told["site"])

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
        if silent < SILENT_SECONDS:
            return phrase("device.just_now", "just now")
        return phrase("device.ago", "{time} ago", time=lasting(silent))

    @property
    def ended(self) -> str:
        """Why nothing is expected of it; "" where something is."""
        if self.told["continued_as"]:
            return phrase("device.continued", "its chain ended in a fault that was accepted")
        if at := _seconds(self.told.get("reset_at")):
            return phrase("device.reset", "reset to factory at {when}", when=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at)))
        if self.told["revoked_at"]:
            return phrase("device.revoked", "revoked")
        return "" if self.told["joined_at"] else phrase("device.invited", "invited, has not joined")

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
            yield "bad" if silent > LONG_SILENT_SECONDS else "warn", phrase("device.silent", "not heard of for {time}", time=lasting(silent))
        waiting = int(self.health.get("waiting", 0))
        if waiting > LONG_QUEUE and silent <= SILENT_SECONDS:
            yield "warn", phrase("device.waiting", "{rows:,} rows wait to be sent", rows=waiting)

    def _chain(self) -> Iterator[tuple[Level, str]]:
        for fault in self.faults:
            why = FAULTS.get(fault["fault"], fault["fault"])
            values = {"chain": CHAINS.get(fault["chain"], fault["chain"]), "row": fault["id"], "why": why}
            words = phrase("device.chain", "{chain} are not sent from row {row} on: {why}", **values)
            yield ("warn", phrases("; ", [words, _accepted(fault["accepted_by"])])) if "accepted_by" in fault else ("bad", words)
        if number := self.told["erasures_open"]:
            yield "warn", phrase("device.erasures", f"{{count}} erasure{'' if number == 1 else 's'} not confirmed yet", count=number)

    def _clock(self) -> Iterator[tuple[Level, str]]:
        ahead = float(self.health.get("clock_ahead", 0))
        if abs(ahead) > AHEAD_SECONDS:
            yield "bad" if abs(ahead) > FAR_SECONDS else "warn", _off(ahead)
        elif self.health.get("clock_set") is False:
            yield "warn", phrase("device.clock_not_set", "its clock is not synchronised")

    def _program(self) -> Iterator[tuple[Level, str]]:
        camera = self.health.get("camera", "ok")
        if camera != "ok":
            yield "warn" if camera in ("black", "slow") else "bad", phrase("device.camera", "camera: {state}", state=CAMERA.get(camera, camera))
        if twins := self.health.get("twins"):
            yield "warn", phrase("device.twins", f"{{count}} face{'' if twins == 1 else 's'} under two names: decide on the page People", count=twins)
        if strange := self.health.get("not_understood"):
            yield "warn", phrase("device.strange", f"{{count}} row{'' if strange == 1 else 's'} of the company's database not understood", count=strange)
        if newer := self.health.get("schema"):
            yield "warn", phrase("device.newer", "the database is {schema}", schema=newer)


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
    for size, unit in ((86400, DAYS), (3600, "{number} h"), (60, "{number} min")):
        if seconds >= 2 * size:
            number = f"{seconds / size:.0f}"
            return phrase("lasting.days", DAYS, number=number) if unit == DAYS else unit.format(number=number)
    return f"{seconds:.0f} s"


def site_words(site: str | None) -> str:
    """The name of a site; of none: that it is all of them."""
    return site or phrase("site.all", "all sites")


def _accepted(who: str) -> str:
    return phrase("device.accepted", "accepted by {who}, it goes on when it is heard of", who=who)


def _off(ahead: float) -> str:
    time = lasting(abs(ahead))
    return phrase("device.ahead", "its clock is {time} ahead", time=time) if ahead > 0 else phrase("device.behind", "its clock is {time} behind", time=time)


def _seconds(moment: str | None) -> float | None:
    return datetime.fromisoformat(moment).timestamp() if moment else None


def unsent(chain: str, row: str) -> str:
    """The SQL condition that a row of a chain is still to be sent to the company's database; at a desk, that it was made there and not sent. `row`: its id."""
    return f"""EXISTS (SELECT 1 FROM fleet m WHERE m.key = 'membership' AND CASE json_extract(m.value, '$.kind')
        WHEN 'desk' THEN NOT EXISTS (SELECT 1 FROM copies o WHERE o.chain = '{chain}' AND o.row = {row})
        ELSE {row} > coalesce((SELECT CAST(value AS INTEGER) FROM fleet WHERE key = 'sent.{chain}'), 0) END)"""
