"""A terminal's database with people and punches, and a courier whose clock and chance the test holds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from device.config import OutboxSettings
from device.delivery.connectors import Connector
from device.delivery.courier import Courier
from device.storage.events import Event
from device.storage.records import Punch
from device.storage.store import PunchDraft, Store
from device.system.clock import ClockState

CLOCK = ClockState(True, "boot", 1)
START = 1_795_000_000.0  # 2026-11-18T11:06:40Z


class Clock:
    """Goes on only when told."""

    def __init__(self, now: float = START + 100_000) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def punch(store: Store, person_id: int, at: float = START, direction: str = "in", connectors: Sequence[str] | None = None) -> Punch:
    return store.record_punch(PunchDraft(person_id, at, direction, "front door", "face", CLOCK, 0.61, 0.33, 0.42, None, "m1"), connectors)  # type: ignore[arg-type]


@contextmanager
def courier(path: Path, connector: Connector, settings: OutboxSettings | None = None, clock: Callable[[], float] | None = None) -> Iterator[Courier]:
    """A courier with a store of its own; what it says is kept in `said`."""
    said: list[str] = []
    with Store.open(path) as store:
        store.outbox.set_targets([connector.name], [connector.name] if connector.takes_alarms else [])
        made = Courier(store, connector, settings or OutboxSettings(first_retry_seconds=1.0), clock or time.time, say=said.append)
        made.said = said  # type: ignore[attr-defined]
        try:
            yield made
        finally:
            made.close()


def states(store: Store) -> list[tuple[int | None, str]]:
    with store.reading() as db:
        return [tuple(row) for row in db.execute("SELECT coalesce(punch_id, -correction_id), state FROM outbox ORDER BY id")]


def sample_event(code: str, at: float = START) -> Event:
    """As `connectors test` makes it."""
    return Event("test", 0, f"test-{at}", 0, "Test event of Clockface", code, at, "in", "front door", "manual", True)
