"""A terminal whose target is the stand-in of ERPNext."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from device.config import OutboxSettings
from device.delivery.connectors import read_settings
from device.delivery.connectors.erpnext import Target
from device.storage.store import Store
from device.system.clock import ClockState
from tests.device.fakes.erpnext import ErpNext
from tests.device.fakes.terminal import Clock, courier

SYNCHRONISED, ADRIFT = ClockState(True, "boot", 1), ClockState(False, "boot", 1)
SECRETS = ("key-of-the-api", "secret-of-the-api")


def utc(text: str) -> float:
    return datetime.fromisoformat(text + "+00:00").timestamp()


MORNING, EVENING = utc("2026-11-24T07:01:02.345"), utc("2026-11-24T16:30:00")


def settings(url: str, **more: Any) -> Any:
    table = {"kind": "erpnext", "url": url, "api_key": "env:ERP_KEY", "api_secret": "env:ERP_SECRET", "timezone": "Europe/Berlin", "timeout_seconds": 0.5}
    return read_settings("hr", {**table, **more})


def drained(store: Store, erpnext: ErpNext, *, clock: Clock | None = None, state: ClockState = SYNCHRONISED, rounds: int = 1, **more: Any) -> list[str]:
    """Deliver, with a tick after each round; returns what the courier reported."""
    clock = clock or Clock(utc("2026-11-24T20:00:00"))
    with courier(store.path, Target(settings(erpnext.url, **more), lambda: state), OutboxSettings(first_retry_seconds=1.0), clock) as made:
        for _ in range(rounds):
            made.drain()
            made.tick()
            clock.now += 5
        return made.said  # type: ignore[attr-defined,no-any-return]


def logs(erpnext: ErpNext) -> list[tuple[str, str, str]]:
    return sorted((row["employee"], row["time"], row["log_type"]) for row in erpnext.checkins.values())
