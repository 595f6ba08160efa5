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
from device.maintenance import first_sight
from device.maintenance.certificate_check import check_certificate
from device.maintenance.clock_repair import left_over
from device.maintenance.doctor import check_clock, check_disk, guarded
from device.maintenance.updates_check import known_updates
from device.maintenance.zone_check import check_zone
from device.storage import hash_chain
from device.storage.audit import Action
from device.storage.fleet_state import FAULTS, DeviceState, accept_faults, devices, fleet_state, site_words
from device.storage.outbox_rows import DeadLetter, TargetHealth
from device.storage.standing import MORE_ROOM, named, room_words
from device.system.clock import read_clock_state
from device.system.hardware import HOT, VERY_HOT, temperature
from device.terminal.reembedding import Reembedded
from device.vision.recogniser import Recogniser
from device.web.call import Call, Problem
from device.web.desk.liveness import card_in_force, refused_today
from device.web.messages import Messages
from device.web.pages import get, post

THROTTLED = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")  # Raspberry Pi
THROTTLE_BITS = {0: "under_voltage", 1: "capped", 2: "throttled", 3: "soft"}  # now; the same + 16: since the start
WRONG = ("black", "dark", "bright", "slow")  # states of a camera whose picture is of little use
LETTERS = 50  # largest number that is listed
STARTED = time.monotonic()

State = Literal["good", "warn", "bad", "off"]
LIVENESS: dict[str, State] = {"enforce": "good", "observe": "warn", "off": "warn", "demo": "warn"}


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
        raise Problem(call.texts.text("health.no_fault"), 404)
    accept_faults(call.store, device)
    return call.goto("/health", call.texts.text("health.goes_on", name=device.name))


def letters(call: Call) -> list[DeadLetter]:
    """The first records that targets refused."""
    return call.store.outbox.dead_letters(limit=LETTERS)


def facts(call: Call) -> dict[str, list[Fact]]:
    """Group -> its facts."""
    own = {"board": [*board(call), *checked(call)], "data": [*exchange(call), *data(call)]}
    return own if call.terminal.desk else {"camera": [*camera(call), *model(call), *liveness(call)], **own}


def exchange(call: Call) -> list[Fact]:
    """How the exchange with the company's database stands; nothing for a terminal that stands alone."""
    with call.store.reading() as db:
        state = fleet_state(db)
    if state is None:
        return []
    say = call.texts.within("health")
    heard = say("heard", time=moment(call, state.heard_at)) if state.heard_at else say("never")
    facts = [Fact(say("other_doors"), say("connected"), "good", f"{state.name}, {call.texts.said(site_words(state.site))}")]
    if state.trouble or state.heard_at is None:
        hint = say("alone_hint", trouble=state.trouble or say("not_tried"), heard=heard)
        facts = [Fact(say("other_doors"), say("alone"), "warn", hint)]
    if state.waiting:
        facts.append(Fact(say("to_send"), call.texts.count(state.waiting), "warn" if state.trouble else "good"))
    for chain, fault in state.faults.items():
        why = say(f"fault_{fault}") if fault in FAULTS else fault
        facts.append(Fact(say(f"not_sent_{chain}"), fault, "bad", say("fault", why=why)))
    return facts


def camera(call: Call) -> list[Fact]:
    live, say = call.terminal.live, call.texts.within("health")
    if live.scene is None or live.lost:
        return [Fact(say("camera"), say("frozen" if live.camera_state == "frozen" else "no_pictures"), "bad", say("reopened"))]
    wrong = live.camera_state in WRONG
    height, width = live.scene.frame.image.shape[:2]
    hint = say(f"wrong_{live.camera_state}") if wrong else f"{width} x {height}"
    facts = [Fact(say("camera"), say("rate", rate=call.texts.number(live.frames_per_second, 1)), "warn" if wrong else "good", hint)]
    facts.append(Fact(say("in_view"), str(len(live.scene.subjects))))
    if live.hangs:
        facts.append(Fact(say("position"), say("turned"), "bad", say("turned_hint", remedy=call.texts.said(live.hangs))))
    if (coarser := live.coarser()) > 1.0:
        facts.append(Fact(say("search"), say("search_value", share=f"{100 / coarser:.0f}"), "warn", say("search_hint")))
    if trouble := live.trouble():
        facts.append(Fact(say("recording"), say("failed", part=trouble), "bad", say("retried")))
    elif late := live.late():
        facts.append(Fact(say("recording"), say(f"waits_{late}"), "bad", say(f"late_{late}")))
    return facts


def model(call: Call) -> list[Fact]:
    using, say = call.terminal.live.booth.recogniser, call.texts.within("health")
    if using is None:
        return [Fact(say("model"), say("none_loaded"), "off")]
    card, counts = using.embedder.card, call.store.template_counts()
    here = counts.get(card.model_id, 0)
    others = sum(counts.values()) - here
    try:
        active = {person.id for person in call.store.people(active_only=True)}
        people = sum(card.model_id in own for person_id, own in call.store.template_counts_by_person().items() if person_id in active)
        threshold = _threshold(call.texts, using, people)
    except ClockfaceError as error:
        threshold = Fact(say("threshold"), say("none"), "bad", call.words(error))
    kept = say("templates_other", number=call.texts.count(others)) if others else say("templates_all")
    in_force = Fact(say("model"), card.name, "good", say("model_on", id=card.model_id[:12], provider=using.embedder.provider))
    state = call.terminal.live.reembedded()
    change = [] if state is None else change_of_model(call.texts, state, card.name, coming=using.coming is not None)
    return [in_force, threshold, Fact(say("templates"), str(here), "good", kept), *change]


def _threshold(texts: Messages, using: Recogniser, people: int) -> Fact:
    say, value = texts.within("health"), texts.number(using.threshold(min(people, using.capacity)), 3)
    if full := room_words(people, using.capacity, using.embedder.card.name):
        return Fact(say("threshold"), value, "bad" if people > using.capacity else "warn", f"{texts.said(full)}. {_sentence(texts.said(MORE_ROOM))}")
    fpir = f"{using.settings.decision.fpir:g}".replace(".", texts.text("format.decimal"))
    return Fact(say("threshold"), value, "good", say("threshold_for", count=people, fpir=fpir))


def change_of_model(texts: Messages, state: Reembedded, now: str, coming: bool) -> list[Fact]:
    """How far templates are made for the model that the settings name, and who must be enrolled again. `now`: the model in force."""
    facts, say = [], texts.within("health")
    if coming or not state.complete:
        words = say("takes_over", now=now, coming=state.model) if coming else say("as_soon")
        facts.append(Fact(say("made"), say("made_of", made=state.made, of=state.of), "warn", words))
    if state.to_enrol:
        names = texts.said(named(state.to_enrol))
        words = say("to_enrol_until", names=names, now=now, coming=state.model) if coming else say("to_enrol_hint", names=names)
        facts.append(Fact(say("to_enrol"), say("people", count=len(state.to_enrol)), "warn" if coming else "bad", words))
    return facts


def liveness(call: Call) -> list[Fact]:
    """The mode in force, refused attempts, and a picture of somebody enrolled that hangs in view."""
    card, using, say = card_in_force(call), call.terminal.live.booth.recogniser, call.texts.within("health")
    mode = call.terminal.settings.liveness.mode
    shown = "demo" if using and not card and mode != "off" else mode
    loaded = say("live_model", name=card.name, id=card.model_id[:12]) if card else say("live_no_model")
    facts = [Fact(say("liveness"), say(f"live_{shown}"), LIVENESS[shown], loaded if shown == "enforce" else say(f"live_{shown}_hint"))]
    refused = refused_today(call, Planning(call.store).site())
    if refused:
        last = say("refused_last", time=f"{refused.last:%H:%M:%S}", why=refused.why) if refused.last else ""
        number = say("refused_today", number=call.texts.count(refused.number)) if refused.number else say("refused_none")
        facts.append(Fact(say("refused"), number, "warn" if refused.number else "good", last))
    if call.terminal.live.picture_in_view():
        facts.append(Fact(say("picture"), say("yes"), "warn", say("picture_hint")))
    return facts


def board(call: Call) -> list[Fact]:
    say, cores = call.texts.within("health"), os.cpu_count() or 1
    load = os.getloadavg()[0] / cores
    found = [Fact(say("load"), f"{load * 100:.0f} %", "warn" if load > 0.9 else "good", say("load_hint", count=cores))]
    degrees = temperature()
    if degrees is None:
        found.append(Fact(say("temperature"), say("not_measured"), "off", say("no_sensor")))
    else:
        found.append(Fact(say("temperature"), f"{degrees:.0f} °C", "bad" if degrees >= VERY_HOT else "warn" if degrees >= HOT else "good"))
    found.append(_throttling(call.texts))
    clock = check_clock(read_clock_state(), time.time())
    found.append(Fact(say("clock"), say(f"clock_{clock.state}"), _state(clock.state), "" if clock.state == "ok" else say(f"clock_{clock.state}_hint")))
    zone = guarded("zone", lambda: check_zone(call.terminal.database, time.time()))
    found.append(Fact(say("zone"), call.clock.name, _state(zone.state), "" if zone.state == "ok" else _sentence(call.texts.said(zone.words))))
    certificate = guarded("certificate", lambda: check_certificate(call.terminal.settings, call.terminal.database, time.time()))
    if certificate.state != "ok":
        found.append(Fact(say("certificate"), say(f"certificate_{certificate.state}"), _state(certificate.state), call.texts.said(certificate.words)))
    updates = known_updates()
    found.append(Fact(say("updates"), say(f"updates_{updates}"), "good" if updates == "on" else "off", say("updates_hint") if updates == "off" else ""))
    minutes = (time.monotonic() - STARTED) / 60
    unit, length = ("minutes", 1) if minutes < 120 else ("hours", 60) if minutes < 2880 else ("days", 1440)
    up = say(unit, number=f"{minutes / length:.0f}")
    return [*found, Fact(say("running"), up, "good", f"Python {platform.python_version()}, {platform.machine()}")]


def _throttling(texts: Messages) -> Fact:
    say = texts.within("health")
    if not THROTTLED.is_file():
        return Fact(say("throttling"), say("not_measured"), "off", say("throttling_pi"))
    now, before = (", ".join(say(f"throttle_{one}") for one in found) for found in throttling(int(THROTTLED.read_text().strip(), 16)))
    state: State = "bad" if now else "warn" if before else "good"
    return Fact(say("throttling"), now or say("throttling_none"), state, say("throttling_since", what=before) if before else "")


def checked(call: Call) -> list[Fact]:
    """What the look at this terminal at first sight has found."""
    if call.terminal.desk:
        return []
    report, text = first_sight.latest(call.store), call.texts.text
    if report is None:
        return [Fact(text("sight.fact"), text("sight.never"), "off")]
    value = text("sight.to_change", count=report.to_change) if report.to_change else text("sight.all_good")
    return [Fact(text("sight.fact"), value, _state(report.state), call.clock.named(report.at))]


def data(call: Call) -> list[Fact]:
    disk, path, texts = check_disk(call.terminal.database), call.terminal.database, call.texts
    say = texts.within("health")
    free = shutil.disk_usage(path.parent).free / 1e9
    size = sum(part.stat().st_size for part in (path, path.with_name(path.name + "-wal")) if part.is_file()) / 1e6
    with call.store.reading() as db:
        people, punches = (db.execute(f"SELECT count(*) FROM {what}").fetchone()[0] for what in ("people WHERE active = 1", "punches"))
        unsure = left_over(db, read_clock_state())
    found = [Fact(say("disk"), say("free", size=texts.number(free, 1)), _state(disk.state), "" if disk.state == "ok" else texts.said(disk.words))]
    rows = f"{say('people', count=people)}, {say('punches', count=punches, number=texts.count(punches))}"
    found.append(Fact(say("database"), say("size", size=texts.number(size, 1)), "good", rows))
    last = last_punch(call)
    when = call.clock.at(last) if last else None
    day = f"{texts.numeric_day(when.date())} {when:%Z}" if when else ""
    found.append(Fact(say("last"), f"{when:%H:%M:%S}" if when else say("none_yet"), "good" if when else "off", day))
    if unsure:
        listed = ", ".join(map(str, unsure[:10])) + (" ..." if len(unsure) > 10 else "")
        found.append(Fact(say("unsure"), str(len(unsure)), "warn", say("unsure_hint", listed=listed)))
    targets = call.store.outbox.summary()
    if not targets and not call.terminal.desk:
        found.append(Fact(say("delivery"), say("not_set_up"), "off", say("connectors")))
    return [*found, *(delivery(call, target) for target in targets)]


def delivery(call: Call, target: TargetHealth) -> Fact:
    """The delivery state of one target, with its last error."""
    say = call.texts.within("health")
    state: State = "bad" if target.dead or target.failures else "warn" if target.waiting else "good"
    last = say("taken", time=moment(call, target.last_delivered_at)) if target.last_delivered_at else ""
    hints = [say("given_up", number=target.dead) if target.dead else "", target.error or "" if target.failures else "", last]
    return Fact(say("delivery_of", target=target.connector), say("waiting", number=target.waiting), state, "; ".join(filter(None, hints)))


def moment(call: Call, seconds: float) -> str:
    """A time by the site's clock, with its zone."""
    return f"{call.texts.numeric_day(call.clock.at(seconds).date())} {call.clock.said(seconds, '%H:%M')} {call.clock.abbreviation(seconds)}"


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


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
