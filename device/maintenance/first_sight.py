"""A terminal at first sight: its camera, clock, network, disk, speed and temperature, each said in words with what to change; kept for health and for a report.

The checks are those of `doctor`. The camera's pictures come from the running terminal, which goes on recording meanwhile: only the ten seconds of speed
take processor time, at a low priority.
"""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device.config import Settings
from device.maintenance import doctor
from device.maintenance.camera_check import CameraLook, faces_of
from device.maintenance.database_check import Finding
from device.maintenance.machine_check import BENCH_SECONDS, check_disk_speed, check_network, check_speed
from device.maintenance.zone_check import check_zone
from device.storage.audit import Action
from device.storage.store import Store
from device.system import hardware
from device.system.clock import read_clock_state
from device.system.priority import yield_to_others
from device.vision.camera.source import Frame
from device.vision.recogniser import Recogniser
from device.vision.speed import chose

KEY = "first_sight"  # in table settings; it stays on this terminal
CAMERA_SECONDS = 12.0  # at most, until somebody was seen well enough
POLL_SECONDS = 0.02
STEPS = ("camera", "machine", "speed")


@dataclass(frozen=True)
class Sight:
    """What the terminal is looked at through.

    Args:
        newest: the newest frame of the camera; None: it gives none.
        rate: frames per second that the terminal takes in.
        recogniser: for the thread that measures; None: none is loaded.
    """

    newest: Callable[[], Frame | None]
    rate: Callable[[], float]
    recogniser: Callable[[], Recogniser | None]


@dataclass(frozen=True)
class SightReport:
    """What was found, without any picture."""

    at: float  # s since the epoch
    findings: tuple[Finding, ...]
    chose: tuple[str, ...]  # what the terminal uses on this machine
    host: tuple[str, ...]

    @property
    def state(self) -> str:
        """The worst of them."""
        return max((one.state for one in self.findings), key=("ok", "warning", "FAULT").index, default="ok")

    @property
    def to_change(self) -> int:
        return sum(one.state != "ok" for one in self.findings)


class FirstSight:
    """One look at a time, on a thread of its own; pages begin it and read how far it is."""

    def __init__(self, settings: Settings, database: Path, keep: Callable[[SightReport], None], seconds: float = CAMERA_SECONDS) -> None:
        self._settings, self._database, self._keep, self._seconds = settings, database, keep, seconds
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.step = ""  # of STEPS; "" before the first look and after each
        self.trouble = ""  # why the last one ended early
        self.findings: list[Finding] = []

    def begin(self, sight: Sight, bench_seconds: float = BENCH_SECONDS) -> None:
        """Start, unless one is under way."""
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                return
            self.findings, self.step, self.trouble = [], STEPS[0], ""
            self._thread = threading.Thread(target=self._run, args=[sight, bench_seconds], name="first sight", daemon=True)
            self._thread.start()

    def wait(self, seconds: float) -> None:
        """Until it has ended."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _run(self, sight: Sight, bench_seconds: float) -> None:
        yield_to_others()
        try:
            for finding in self._found(sight, bench_seconds):
                self.findings.append(finding)
            recogniser, frame = sight.recogniser(), sight.newest()
            size = frame.image.shape[1::-1] if frame else (640, 480)
            using = chose(recogniser, *size) if recogniser else ()
            self._keep(SightReport(time.time(), tuple(self.findings), using, tuple(hardware.lines())))
        except Exception as error:  # the page says so; the terminal goes on
            self.trouble = " ".join(str(error).split())[:300] or type(error).__name__
        finally:
            self.step = ""

    def _found(self, sight: Sight, bench_seconds: float) -> Iterator[Finding]:
        yield from self._camera(sight)
        self.step = "machine"
        for name, check in {
            "clock": lambda: doctor.check_clock(read_clock_state(), time.time()),
            "zone": lambda: check_zone(self._database, time.time()),
            "network": check_network,
            "disk": lambda: doctor.check_disk(self._database),
            "disk_speed": lambda: check_disk_speed(self._database),
        }.items():
            yield doctor.guarded(name, check)
        self.step = "speed"
        recogniser, frame = sight.recogniser(), sight.newest()
        if recogniser is not None and frame is not None:
            yield from check_speed(recogniser, frame.image, bench_seconds)

    def _camera(self, sight: Sight) -> list[Finding]:
        """Looks on at what the terminal sees, until somebody was seen well enough."""
        detector = self._settings.detector
        look = CameraLook(faces_of(detector), self._settings.camera, self._settings.quality, detector.min_eye_distance)
        end, last = time.monotonic() + self._seconds, None
        while time.monotonic() < end and not look.enough:
            frame = sight.newest()
            if frame is not None and frame is not last:
                look.add(frame)
                last = frame
            time.sleep(POLL_SECONDS)
        return look.findings(sight.rate() if last else None)


def keep(store: Store, report: SightReport) -> None:
    """Store a report in place of the one before."""
    value = json.dumps(dataclasses.asdict(report))
    with store.transaction() as db:
        db.execute("INSERT INTO settings (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", [KEY, value])
        store.note(Action.TERMINAL_CHECKED, to_change=report.to_change)


def latest(store: Store) -> SightReport | None:
    """The newest report; None: this terminal was never looked at."""
    with store.reading() as db:
        row = db.execute("SELECT value FROM settings WHERE key = ?", [KEY]).fetchone()
    return _read(json.loads(row[0])) if row else None


def _read(content: dict[str, Any]) -> SightReport:
    found = tuple(Finding(**one) for one in content["findings"])
    return SightReport(content["at"], found, tuple(content["chose"]), tuple(content["host"]))

