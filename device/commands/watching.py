"""The periodic tasks that watch for open matters and tell recipients of them (docs/notices.md)."""

from __future__ import annotations

import time
from collections.abc import Callable

from device.attendance import missed
from device.config import Settings
from device.maintenance import faults
from device.maintenance.doctor import EARLIEST
from device.maintenance.scheduler import Task
from device.storage.matters import note
from device.storage.notices import announce
from device.storage.store import Store
from device.system.clock import to_ms

EVERY_SECONDS = 60.0


def watching(settings: Settings, camera: Callable[[], Callable[[], str] | None], desk: bool = False, clock: Callable[[], float] = time.time) -> list[Task]:
    """The tasks of a terminal, or of the company's desk. `camera`: what gives the state of the camera, once there is one."""
    people = missed.Missed(clock)

    def of_people(store: Store) -> list[str]:
        found = people.look(store)
        with store.transaction() as db:
            note(db, missed.KINDS, found, to_ms(clock()))
        return []

    def of_machine(store: Store) -> list[str]:
        state = camera()
        found = faults.faults(store, settings, state, clock(), desk)
        kinds = [kind for kind in faults.KINDS if kind != "camera" or state is not None or desk]
        with store.transaction() as db:
            note(db, kinds, found, to_ms(clock()))
        return []

    def tell(store: Store) -> list[str]:
        if clock() >= EARLIEST:  # a clock that was never set says no hour of the day
            with store.transaction() as db:
                announce(db, clock())
        return []

    names = (("missing punches", of_people), ("faults", of_machine), ("notices", tell))
    return [Task(name, EVERY_SECONDS, work) for name, work in names]
