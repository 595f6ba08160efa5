"""What is wrong with this machine now, as open matters: a dead or turned camera, failing deliveries, little room, a certificate that ends, and the rest.

It asks the checks of `doctor` that are cheap enough for every minute. A dark picture is no matter: every office is dark at night.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from device.config import Settings
from device.maintenance.certificate_check import check_certificate
from device.maintenance.database_check import Finding
from device.maintenance.doctor import check_clock, check_disk, guarded, problem_of
from device.maintenance.fleet_check import check_fleet
from device.maintenance.zone_check import check_zone
from device.storage.fleet_state import DeviceState, devices
from device.storage.matters import FoundMatter
from device.storage.store import Store
from device.system.clock import read_clock_state
from device.system.hardware import VERY_HOT, temperature

KINDS = ("camera", "delivery", "disk", "certificate", "terminal")
DEAD = ("lost", "frozen", "turned")  # states of a camera that nobody is recognised by
NOT_RECORDING = " failed"  # how the terminal names a part that it starts again


def faults(store: Store, settings: Settings, camera: Callable[[], str] | None, now: float, desk: bool = False) -> list[FoundMatter]:
    """Everything that is wrong now.

    Args:
        camera: the state of this terminal's camera, or what else keeps it from recording; None: it has none, or it is not known yet.
        desk: whether this is the company's desk, which knows what all terminals report.
    """
    state = camera() if camera is not None else "ok"
    found = [*_camera(state), *_deliveries(store, settings, now), *_checks(store, settings, now)]
    return [*found, *_doors(store, now)] if desk else found


def _camera(state: str) -> Iterator[FoundMatter]:
    if state in DEAD:
        yield FoundMatter("camera", "camera", details={"state": state})
    elif state.endswith(NOT_RECORDING):
        yield FoundMatter("terminal", "recording", details={"words": f"nothing is recorded: {state}"})


def _deliveries(store: Store, settings: Settings, now: float) -> Iterator[FoundMatter]:
    names = {target.name for target in settings.connectors}
    for target in store.outbox.summary():
        if words := problem_of(target, names, now):
            yield FoundMatter("delivery", f"delivery:{target.connector}", details={"target": target.connector, "words": words})


def _checks(store: Store, settings: Settings, now: float) -> Iterator[FoundMatter]:
    checks: tuple[tuple[str, str, Callable[[], Finding]], ...] = (
        ("disk", "disk", lambda: check_disk(store.path)),
        ("certificate", "certificate", lambda: check_certificate(settings, store.path, now)),
        ("terminal", "zone", lambda: check_zone(store.path, now)),
        ("terminal", "fleet", lambda: check_fleet(store.path, settings.retention.punches_days)),
    )
    for kind, name, check in checks:
        finding = guarded(name, check)
        if finding.state != "ok":
            yield FoundMatter(kind, name, details={"words": finding.words})
    clock = check_clock(read_clock_state(), now)
    if clock.state == "FAULT":  # a site without a time server is not synchronised, and knows it
        yield FoundMatter("terminal", "clock", details={"words": clock.words})
    degrees = temperature()
    if degrees is not None and degrees >= VERY_HOT:
        yield FoundMatter("terminal", "hot", details={"words": f"the board is hotter than {VERY_HOT:.0f} degrees: see that air reaches it"})


def _doors(store: Store, now: float) -> Iterator[FoundMatter]:
    """At a desk: what the terminals of the company report."""
    with store.reading() as db:
        known = devices(db, now)
    for device in known:
        camera = str(device.health.get("camera", "ok"))
        if device.ended:
            continue
        if camera in DEAD:
            yield FoundMatter("camera", f"camera:{device.id}", details={"door": device.name, "state": camera})
        if words := _others(device):
            yield FoundMatter("terminal", f"door:{device.id}", details={"door": device.name, "words": words})


def _others(device: DeviceState) -> str:
    """What is badly wrong with a terminal, beside its camera and how long it was silent, which changes by the minute."""
    found = [words for level, words in device.problems if level == "bad" and not words.startswith("camera: ")]
    silent = [words for words in found if words.startswith("not heard of")]
    return "; ".join(["it is not heard of", *(words for words in found if words not in silent)] if silent else found)
