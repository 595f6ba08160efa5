"""Devices and health: camera, board, disk, database, model in force, clock, deliveries; refreshed while it is open."""

from __future__ import annotations

import os
import platform
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from starlette.responses import Response

from device.attendance.planning import Planning
from device.contract import ClockfaceError
from device.maintenance.certificate_check import check_certificate
from device.maintenance.clock_repair import left_over
from device.maintenance.doctor import check_clock, check_disk, guarded
from device.maintenance.zone_check import check_zone
from device.storage import hash_chain
from device.storage.audit import Action
from device.storage.fleet_state import FAULTS, DeviceState, accept_faults, devices, fleet_state
from device.storage.outbox_rows import DeadLetter, TargetHealth
from device.storage.standing import AGAIN, MORE_ROOM, counted, named, room_words
from device.system.clock import read_clock_state
from device.system.hardware import HOT, VERY_HOT, temperature
from device.system.number_of import number_of
from device.system.time_zones import LocalClock
from device.terminal.reembedding import Reembedded
from device.vision.recogniser import Recogniser
from device.web.desk.liveness import card_in_force, refused_today
from device.web.pages import Call, Problem, get, post

THROTTLED = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")  # Raspberry Pi
THROTTLE_BITS = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}  # now; the same + 16: since the start
WRONG = {
    "black": "the picture is black: see that the lens is free and the light on",
    "dark": "the picture is too dark for faces to be found: more light",
    "bright": "the picture is too bright for faces to be found: turn the camera away from the light, or shade it",
    "slow": "too few pictures: more light, or another cable or port",
}
LETTERS = 50  # largest number that is listed
STARTED = time.monotonic()
CLOCK_WORDS = {
    "ok": ("synchronised", ""),
    "warning": ("not in sync", "Each punch says so. Connect the network."),
    "FAULT": ("not set", "No time server was reached since the start. Connect the network, or set the clock."),
}
LATE = {  # a part that keeps a frame waiting -> what to do
    "store": "Another process writes to the database, or its disk is slow: end that process, see the disk's health.",
    "recogniser": "The board is overloaded or hangs; the terminal starts again by itself if this lasts.",
}
PICTURE_IN_VIEW = "A picture of somebody enrolled hangs in view. It holds nobody back; take it down, or turn the camera away."

State = Literal["good", "warn", "bad", "off"]
LIVENESS: dict[str, tuple[str, State, str]] = {  # mode -> value, state and hint
    "enforce": ("enforced", "good", ""),
    "observe": ("observed", "warn", "Scores are written, but a photo of an enrolled person is recorded all the same. Set [liveness] mode to enforce."),
    "off": ("off", "warn", "A photo of an enrolled person is recorded. Set [liveness] mode to enforce."),
    "demo": ("off", "warn", "Nothing is judged here: the demo shows photographs."),
}


@dataclass(frozen=True)
class Fact:
    label: str
    value: str
    state: State = "good"
    hint: str = ""


def health_page(call: Call) -> Response:
    return call.page("health.html", facts=facts(call), letters=letters(call), devices=doors(call), reports=None)


def verify(call: Call) -> Response:
    """Recompute the hash chains and check the whole file; takes seconds on a large database."""
    reports = [call.store.verify_chain(table) for table in hash_chain.CHAINED]
    faults = call.store.faults()
    call.store.audit(call.who.actor, Action.CHAINS_VERIFIED, {"ok": all(report.ok for report in reports), "faults": len(faults)})
    return call.page("health.html", facts=facts(call), letters=letters(call), devices=doors(call), reports=reports, faults=faults)


def doors(call: Call) -> list[DeviceState]:
    """At a desk: every device of the company, those with trouble first."""
    if not call.terminal.desk:
        return []
    with call.store.reading() as db:
        return devices(db, call.terminal.now())


def accept(call: Call) -> Response:
    """Somebody has looked at a device's chain faults: let it go on."""
    device = next((one for one in doors(call) if one.id == call.field("device") and one.to_accept), None)
    if device is None:
        raise Problem("This device has no fault that waits for somebody to look.", 404)
    accept_faults(call.store, device)
    return call.goto("/health", f"{device.name} goes on as soon as it hears of it; the audit log has your name.")


def letters(call: Call) -> list[DeadLetter]:
    """The first records that targets refused."""
    return call.store.outbox.dead_letters(limit=LETTERS)


def facts(call: Call) -> dict[str, list[Fact]]:
    """Group -> its facts."""
    own = {"Board": board(call), "Data": [*exchange(call), *data(call)]}
    return own if call.terminal.desk else {"Camera and recognition": [*camera(call), *model(call), *liveness(call)], **own}


def exchange(call: Call) -> list[Fact]:
    """How the exchange with the company's database stands; nothing for a terminal that stands alone."""
    with call.store.reading() as db:
        state = fleet_state(db)
    if state is None:
        return []
    heard = f"last heard of {call.clock.named(state.heard_at)}" if state.heard_at else "never connected yet"
    facts = [Fact("Other doors", "connected", "good", state.place)]
    if state.trouble or state.heard_at is None:
        facts = [Fact("Other doors", "alone", "warn", f"{state.trouble or 'not tried yet'}; {heard}. Everything is recorded here and sent later.")]
    if state.waiting:
        facts.append(Fact("To be sent", f"{state.waiting:,}", "warn" if state.trouble else "good"))
    for chain, fault in state.faults.items():
        words = f"{FAULTS.get(fault, fault).capitalize()}. Look at it, then accept it at the desk, or with `fleet accept-fault`."
        facts.append(Fact(f"{chain.capitalize()} not sent", fault, "bad", words))
    return facts


def camera(call: Call) -> list[Fact]:
    live = call.terminal.live
    if live.scene is None or live.lost:
        frozen = live.camera_state == "frozen"
        return [Fact("Camera", "frozen picture" if frozen else "no pictures", "bad", "It is opened again by itself; see that it is plugged in.")]
    wrong = WRONG.get(live.camera_state)
    height, width = live.scene.frame.image.shape[:2]
    rate = Fact("Camera", f"{live.frames_per_second:.1f} frames/s", "warn" if wrong else "good", wrong or f"{width} x {height}")
    facts = [rate, Fact("In view", str(len(live.scene.subjects)))]
    if live.hangs:
        facts.append(Fact("Camera position", "turned", "bad", f"Nobody can be recognised: {live.hangs}, then restart the terminal."))
    if (coarser := live.coarser()) > 1.0:
        words = "The board is slow: people are found when they are nearer. See its temperature and load."
        facts.append(Fact("Search for faces", f"{100 / coarser:.0f} % of the width", "warn", words))
    if trouble := live.trouble():
        facts.append(Fact("Recording", f"{trouble} failed", "bad", "It is retried automatically; see the log of the terminal."))
    elif late := live.late():
        facts.append(Fact("Recording", f"waits for the {late}", "bad", LATE[late]))
    return facts


def model(call: Call) -> list[Fact]:
    using = call.terminal.live.booth.recogniser
    if using is None:
        return [Fact("Model", "none loaded", "off")]
    card, counts = using.embedder.card, call.store.template_counts()
    here = counts.get(card.model_id, 0)
    others = sum(counts.values()) - here
    try:
        active = {person.id for person in call.store.people(active_only=True)}
        people = sum(card.model_id in own for person_id, own in call.store.template_counts_by_person().items() if person_id in active)
        threshold = _threshold(using, people)
    except ClockfaceError as error:
        threshold = Fact("Threshold", "none", "bad", str(error))
    templates = Fact("Templates", str(here), "good", f"{others} of other models are kept" if others else "all of this model")
    in_force = Fact("Model", card.name, "good", f"{card.model_id[:12]} on {using.embedder.provider}")
    state = call.terminal.live.reembedded()
    return [in_force, threshold, templates, *([] if state is None else change_of_model(state, card.name, coming=using.coming is not None))]


def _threshold(using: Recogniser, people: int) -> Fact:
    value = f"{using.threshold(min(people, using.capacity)):.3f}"
    if full := room_words(people, using.capacity, using.embedder.card.name):
        return Fact("Threshold", value, "bad" if people > using.capacity else "warn", f"{full}. {MORE_ROOM.capitalize()}.")
    return Fact("Threshold", value, "good", f"for {people} people, FPIR {using.settings.decision.fpir:g} wanted")


def change_of_model(state: Reembedded, in_force: str, coming: bool) -> list[Fact]:
    """How far templates are made for the model that the settings name, and who must be enrolled again."""
    facts = []
    if coming or not state.complete:
        words = f"{in_force} recognises until {state.model} can take over." if coming else "People are recognised as soon as their templates are made."
        facts.append(Fact("Templates being made", f"{state.made} of {state.of} people", "warn", words))
    if state.to_enrol:
        until = f"{in_force} recognises them until {state.model} takes over. " if coming else ""
        words = f"{named(state.to_enrol)}: no picture of their enrolment is kept. {until}{AGAIN.capitalize()}."
        facts.append(Fact("To enrol again", counted(len(state.to_enrol)), "warn" if coming else "bad", words))
    return facts


def liveness(call: Call) -> list[Fact]:
    """The mode in force, refused attempts, and a picture of somebody enrolled that hangs in view."""
    card, using = card_in_force(call), call.terminal.live.booth.recogniser
    mode = call.terminal.settings.liveness.mode
    value, state, hint = LIVENESS["demo" if using and not card and mode != "off" else mode]
    facts = [Fact("Liveness", value, state, hint or (f"model {card.name} {card.model_id[:12]}" if card else "no model loaded"))]
    refused = refused_today(call, Planning(call.store).site())
    if refused:
        last = f"last at {refused.last:%H:%M:%S}: {refused.why}" if refused.last else ""
        facts.append(Fact("Refused attempts", f"{refused.number or 'none'} today", "warn" if refused.number else "good", last))
    if call.terminal.live.picture_in_view():
        facts.append(Fact("Picture in view", "yes", "warn", PICTURE_IN_VIEW))
    return facts


def board(call: Call) -> list[Fact]:
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    found = [Fact("Load", f"{load * 100:.0f} %", "warn" if load > 0.9 else "good", f"{os.cpu_count()} cores, mean of a minute")]
    degrees = temperature()
    if degrees is None:
        found.append(Fact("Temperature", "not measured", "off", "this board has no sensor"))
    else:
        found.append(Fact("Temperature", f"{degrees:.0f} °C", "bad" if degrees >= VERY_HOT else "warn" if degrees >= HOT else "good"))
    if THROTTLED.is_file():
        now, before = throttling(int(THROTTLED.read_text().strip(), 16))
        state: State = "bad" if now else "warn" if before else "good"
        found.append(Fact("Throttling", ", ".join(now) or "none now", state, f"since the start: {', '.join(before)}" if before else ""))
    else:
        found.append(Fact("Throttling", "not measured", "off", "only a Raspberry Pi reports it"))
    clock = check_clock(read_clock_state(), time.time())
    value, hint = CLOCK_WORDS[clock.state]
    found.append(Fact("Clock", value, _state(clock.state), hint))
    zone = guarded("zone", lambda: check_zone(call.terminal.database, time.time()))
    found.append(Fact("Time zone", call.clock.name, _state(zone.state), "" if zone.state == "ok" else f"{zone.words[0].upper()}{zone.words[1:]}."))
    certificate = guarded("certificate", lambda: check_certificate(call.terminal.settings, call.terminal.database, time.time()))
    if certificate.state != "ok":
        found.append(Fact("Certificate", "ends soon" if certificate.state == "warning" else "not valid", _state(certificate.state), certificate.words))
    minutes = (time.monotonic() - STARTED) / 60
    up = f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.0f} h" if minutes < 2880 else f"{minutes / 1440:.0f} days"
    return [*found, Fact("Running for", up, "good", f"Python {platform.python_version()}, {platform.machine()}")]


def data(call: Call) -> list[Fact]:
    disk, path = check_disk(call.terminal.database), call.terminal.database
    free = shutil.disk_usage(path.parent).free / 1e9
    size = sum(part.stat().st_size for part in (path, path.with_name(path.name + "-wal")) if part.is_file()) / 1e6
    with call.store.reading() as db:
        people, punches = (db.execute(f"SELECT count(*) FROM {what}").fetchone()[0] for what in ("people WHERE active = 1", "punches"))
        unsure = left_over(db, read_clock_state())
    found = [Fact("Disk", f"{free:.1f} GB free", _state(disk.state), "" if disk.state == "ok" else disk.words)]
    found.append(Fact("Database", f"{size:.1f} MB", "good", f"{number_of(people, 'person')}, {number_of(punches, 'punch')}"))
    last = last_punch(call)
    when = call.clock.at(last) if last else None
    found.append(Fact("Last punch", f"{when:%H:%M:%S}" if when else "none yet", "good" if when else "off", f"{when:%Y-%m-%d %Z}" if when else ""))
    if unsure:
        listed = ", ".join(map(str, unsure[:10])) + (" ..." if len(unsure) > 10 else "")
        words = f"Punches {listed} were recorded before a restart, while the clock was not set. Correct what is wrong; locking the period settles the rest."
        found.append(Fact("Times to check", str(len(unsure)), "warn", words))
    targets = call.store.outbox.summary()
    if not targets and not call.terminal.desk:
        found.append(Fact("Delivery", "not set up", "off", "[connectors] in the configuration file"))
    return [*found, *(delivery(target, call.clock) for target in targets)]


def delivery(target: TargetHealth, clock: LocalClock) -> Fact:
    """The delivery state of one target, with its last error."""
    state: State = "bad" if target.dead or target.failures else "warn" if target.waiting else "good"
    last = f"last taken {clock.named(target.last_delivered_at)}" if target.last_delivered_at else ""
    hints = [f"{target.dead} given up" if target.dead else "", target.error or "" if target.failures else "", last]
    return Fact(f"Delivery: {target.connector}", f"{target.waiting} waiting", state, "; ".join(filter(None, hints)))


def last_punch(call: Call) -> float | None:
    with call.store.reading() as db:
        newest = db.execute("SELECT max(occurred_at) FROM punches").fetchone()[0]
    return None if newest is None else newest / 1000


def throttling(flags: int) -> tuple[list[str], list[str]]:
    """What throttles the board now, and what did since its start."""
    now = [word for bit, word in THROTTLE_BITS.items() if flags >> bit & 1]
    return now, [word for bit, word in THROTTLE_BITS.items() if flags >> (bit + 16) & 1]


def _state(state: str) -> State:
    return "good" if state == "ok" else "warn" if state == "warning" else "bad"


ROUTES = (get("/health", health_page, "viewer"), post("/health/verify", verify, "hr"), post("/health/accept", accept, "admin"))
