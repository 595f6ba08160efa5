"""What the pages share: settings in force, the database, the live picture."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from anyio import CapacityLimiter

from device.attendance.today import Board
from device.config import Settings
from device.maintenance import first_sight
from device.maintenance.first_sight import FirstSight, SightReport
from device.storage.store import Store
from device.web.access.kiosk_sessions import Tickets
from device.web.idle_stores import IdleStores
from device.web.live import Live
from device.web.streamed import Places

WORKERS = 4  # pages processed at the same time; more would only slow the camera loop down
KIOSK_WORKERS = 2  # ... for the terminal's own screen, which waits behind nobody else's page


@dataclass(frozen=True)
class Terminal:
    """Shared by all pages of one running web server."""

    settings: Settings
    database: Path
    device: str  # name of this terminal
    live: Live = field(default_factory=Live)
    now: Callable[[], float] = time.time
    config_file: Path | None = None  # as given to `run`; None: the one of the installation, if any
    desk: bool = False  # the company's desk: no camera, no kiosk, the pages over all devices
    bound_to: str = "127.0.0.1"  # the address it listens on, a name a browser may use
    workers: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(WORKERS))
    kiosk_workers: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(KIOSK_WORKERS))
    stores: IdleStores = field(default_factory=IdleStores)
    refusals_noted: dict[tuple[int, str], float] = field(default_factory=dict)  # user and page -> when it was noted that the role does not suffice
    uploads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(1))  # of large forms
    exports: Places = field(default_factory=Places)  # of long exports

    @cached_property
    def board(self) -> Board:
        """Who is in, out or late; one board serves all pages."""
        return Board(self.now)

    @cached_property
    def first_sight(self) -> FirstSight:
        """The look at this terminal that somebody has begun, if any."""
        return FirstSight(self.settings, self.database, self._keep_report)

    def _keep_report(self, report: SightReport) -> None:
        with self.store(actor="terminal") as store:
            first_sight.keep(store, report)

    @cached_property
    def tickets(self) -> Tickets:
        """Sessions of people who look at their own times at the kiosk."""
        return Tickets(self.now)

    def store(self, actor: str) -> AbstractContextManager[Store]:
        """The store for one request, which no other thread uses meanwhile."""
        return self.stores.lent(self.database, self.settings.store, actor)
