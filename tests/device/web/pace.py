"""How fast the kiosk is with a real browser on the same machine: `python -m tests.device.web.pace CLIP...` (clips of people).

Camera frames a second without a browser and with the kiosk page and today's page open, in turns; and from the decision
to the tick on the screen, each time somebody comes into view. The browser draws without a graphics card here.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from device.config import AttendanceSettings, Settings
from device.storage.store import Store
from device.terminal.enrolment import capture, enrol
from device.vision.camera.source import open_source
from device.web.access import accounts, passwords, sessions
from tests.device.web.browser import RATE, Running, chromium, needed, wait

ROUNDS = 3
MEASURE_SECONDS = 8.0
REFRACTORY_SECONDS = 1.0
AWAY_SECONDS = 3.0  # nobody in view, so that the next visit is a new one


def frames_per_second(running: Running) -> float:
    time.sleep(MEASURE_SECONDS)
    return running.live.frames_per_second


def pages_open(driver: Any, running: Running, token: str) -> None:
    """The kiosk page in one window, today's in another; both can be seen."""
    driver.get(f"{running.url}/login")
    driver.add_cookie({"name": "clockface_desk", "value": token, "httpOnly": True, "sameSite": "Strict"})
    driver.get(f"{running.url}/today")
    driver.switch_to.new_window("window")
    driver.get(f"{running.url}/kiosk")


def tick_ms(driver: Any, running: Running, clip: Path) -> int:
    """Let somebody come: decision to the painted tick, by the browser's clock, which is this machine's."""
    running.camera.show(None)
    time.sleep(AWAY_SECONDS)
    driver.execute_script("delete document.getElementById('cards').dataset.latencyMs")
    running.camera.show(clip)
    found = wait(lambda: driver.find_element("id", "cards").get_attribute("data-latency-ms"), 30, "a tick")
    return int(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP", help="one person each")
    parser.add_argument("--ticks", type=int, default=8)
    args = parser.parse_args()
    needed()
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "clockface.db"
        settings = Settings(attendance=AttendanceSettings(refractory_seconds=REFRACTORY_SECONDS))
        with Store.open(database) as store:
            user = accounts.add(store, "viewer", "viewer", passwords.invented())
            with store.transaction() as db:
                db.execute("UPDATE users SET must_change = 0")
            token = sessions.start(store, user, "desk", time.time())
        running = Running(database, settings)
        with Store.open(database) as store:
            for clip in args.clips:
                with open_source(str(clip), settings.camera, once=True) as source:
                    samples = capture(running.recogniser, source)
                enrol(store, running.recogniser, clip.stem, None, samples, [clip.name] * len(samples))
        alone, beside = [], []
        with running:
            running.camera.show(args.clips[0])
            for _ in range(ROUNDS):
                alone.append(frames_per_second(running))
                with chromium(1280, 800) as driver:
                    pages_open(driver, running, token)
                    beside.append(frames_per_second(running))
            with chromium(800, 480) as driver:
                driver.get(f"{running.url}/kiosk")
                ticks = [tick_ms(driver, running, args.clips[index % len(args.clips)]) for index in range(args.ticks)]
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, model {running.recogniser.embedder.card.name}")
    ratio = statistics.median(beside) / statistics.median(alone)
    print(f"camera {RATE:.0f}/s: {statistics.median(alone):.1f} frames/s alone, {statistics.median(beside):.1f} with both pages open ({ratio:.0%})")
    print(f"decision to tick: p50 {statistics.median(ticks):.0f} ms, largest {max(ticks)} ms of {len(ticks)}")


if __name__ == "__main__":
    main()
