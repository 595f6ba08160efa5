"""What else a new terminal needs to know of its machine: a network, the speed of its disk and of its processor, and how warm it gets by that."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device.maintenance.database_check import Finding
from device.storage.database_files import working_folder
from device.system.hardware import HOT, VERY_HOT, temperature
from device.vision.recogniser import Recogniser
from device.vision.speed import Quick, quick

NET = Path("/sys/class/net")
FLUSHES, BLOCK = 20, 4096  # writes, each flushed as a punch is; bytes
SLOW_FLUSH_MS = 250.0  # the 19th slowest of 20: from here people see that it waits
SLOW_VISIT_MS = 400.0  # one picture with a new face, at worst: slower, and the terminal narrows its search
BENCH_SECONDS = 10.0


def check_network(net: Path = NET) -> Finding:
    """Whether an interface of this machine has a link. No terminal needs one, but its clock does, without a battery."""
    places = [place for place in net.glob("*") if place.name != "lo"]
    up = sorted(place.name for place in places if _read(place / "operstate") == "up")
    if not up:
        words = "no network: none is needed, but without one the clock needs a battery, and nothing is delivered"
        return Finding("network", "warning", words, "no_network")
    return Finding("network", "ok", f"{', '.join(up)} connected", "network", {"names": ", ".join(up)})


def check_disk_speed(database: Path, clock: Callable[[], float] = time.perf_counter) -> Finding:
    """How long the disk takes to keep what a punch writes; beside the database, and nothing of it stays."""
    taken = []
    with working_folder(database, ".speed-") as folder, (folder / "block").open("wb", buffering=0) as file:
        for _ in range(FLUSHES):
            begin = clock()
            file.write(os.urandom(BLOCK))
            os.fsync(file.fileno())
            taken.append((clock() - begin) * 1000)
    ms = sorted(taken)[-2]
    words, values = f"{ms:.0f} ms to keep what a punch writes", {"ms": round(ms)}
    if ms > SLOW_FLUSH_MS:
        return Finding("disk_speed", "warning", f"{words}, which is slow: take an SSD, or a card of the endurance kind", "disk_slow", values)
    return Finding("disk_speed", "ok", words, "disk_fast", values)


def check_speed(recogniser: Recogniser, image: NDArray[np.uint8], seconds: float = BENCH_SECONDS) -> list[Finding]:
    """Speed of recognition, and the highest temperature meanwhile: under the load of somebody in view all the time."""
    before = temperature()
    found = of_speed(quick(recogniser, image, seconds))
    after = temperature()
    return [found, of_temperature(None if before is None or after is None else max(before, after))]


def of_speed(found: Quick) -> Finding:
    words = f"a picture is searched in {found.search[0]:.0f} ms, a face recognised in {found.face[0]:.0f} ms"
    values = {"search": round(found.search[0]), "face": round(found.face[0])}
    if found.visit_ms > SLOW_VISIT_MS:
        return Finding("speed", "warning", f"{words}: slow; people are found when they are nearer. See its cooling and supply", "speed_slow", values)
    return Finding("speed", "ok", words, "speed", values)


def of_temperature(degrees: float | None) -> Finding:
    """`degrees`: Celsius; None: this machine has no sensor."""
    if degrees is None:
        return Finding("temperature", "ok", "not measured: this machine has no sensor", "temperature_unknown")
    words, values = f"{degrees:.0f} degrees Celsius", {"degrees": round(degrees)}
    if degrees >= HOT:
        remedy = "it slows down when it gets warmer: a heat sink, more air, no sun on it"
        return Finding("temperature", "FAULT" if degrees >= VERY_HOT else "warning", f"{words}: {remedy}", "temperature_high", values)
    return Finding("temperature", "ok", words, "temperature", values)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except OSError:
        return ""
