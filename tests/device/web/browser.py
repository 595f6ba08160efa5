"""Real Chromium against a real terminal in this process, whose camera plays what the test puts before it."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from device.config import Settings
from device.storage.store import Store
from device.system.restart import Backoff
from device.terminal.capture_session import Booth
from device.terminal.pipeline import Pipeline
from device.vision import catalogue
from device.vision.camera.frame import Reader
from device.vision.camera.live import LiveSource
from device.vision.recogniser import Recogniser
from device.web.context import Terminal
from device.web.live import Live
from device.web.server import Address, WebServer

CHROMIUM, DRIVER = "chromium", "chromedriver"
RATE = 25.0  # frames a second of the played camera
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--autoplay-policy=no-user-gesture-required", "--hide-scrollbars", "--ignore-certificate-errors",
)  # fmt: skip


def needed_chromium() -> None:
    """Skip where this machine cannot do it."""
    pytest.importorskip("selenium")
    missing = [name for name in (CHROMIUM, DRIVER) if shutil.which(name) is None]
    if missing:
        pytest.skip(f"no {' and no '.join(missing)} here: apt-get install chromium chromium-driver")


def needed() -> None:
    """The same for what has a camera."""
    needed_chromium()
    try:
        catalogue.path("yunet"), catalogue.path("sface")
    except catalogue.ModelError as error:
        pytest.skip(f"models not pulled: {error}")


@contextmanager
def chromium(width: int = 1280, height: int = 800, dark: bool = False) -> Iterator[Any]:
    """A browser with an empty profile."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which(CHROMIUM))
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in FLAGS:
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(str(shutil.which(DRIVER))))
    try:
        resize(driver, width, height)
        if dark:
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]})
        yield driver
    finally:
        driver.quit()


def resize(driver: Any, width: int, height: int) -> None:
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})


def complaints(driver: Any) -> list[str]:
    """What the console says that is not an answer expected by a test (401, 403, 409, 429)."""
    said = [entry["message"] for entry in driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
    return [message for message in said if "Failed to load resource" not in message and "ERR_INCOMPLETE" not in message]


def wait(what: Callable[[], Any], seconds: float = 20.0, words: str = "") -> Any:
    """Until it is true; what the page says then."""
    from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if found := what():
                return found
        except (NoSuchElementException, StaleElementReferenceException):
            pass
        time.sleep(0.03)
    raise AssertionError(f"not within {seconds} s: {words or what}")


class Camera(Reader):
    """A camera that shows a wall, a clip over and over, or is unplugged."""

    def __init__(self) -> None:
        noise = np.random.default_rng(3)
        self._wall = [np.clip(noise.normal(140, 3, (480, 640, 3)), 0, 255).astype(np.uint8) for _ in range(8)]
        self._pictures: Sequence[NDArray[np.uint8]] = self._wall
        self._index = 0
        self.plugged = True

    def show(self, clip: Path | None) -> None:
        self._pictures = self._wall if clip is None else frames(clip)
        self._index = 0

    def read(self) -> NDArray[np.uint8] | None:
        time.sleep(1 / RATE)
        pictures, self._index = self._pictures, self._index + 1
        return pictures[self._index % len(pictures)] if self.plugged else None

    def describe(self) -> str:
        return "played camera"

    def close(self) -> None:
        pass  # nothing is held


def frames(clip: Path) -> list[NDArray[np.uint8]]:
    """Forwards and backwards, so that it repeats without a jump."""
    capture, found = cv2.VideoCapture(str(clip)), []
    while (read := capture.read())[0]:
        found.append(read[1])
    capture.release()
    return [*found, *found[::-1]]  # type: ignore[list-item]


class Running:
    """A terminal whose camera loop and web server run; the same objects as `run` puts together."""

    def __init__(self, database: Path, settings: Settings, seconds_a_view: float = 1.2) -> None:
        self.camera = Camera()
        self.settings = settings
        self.database = database
        self._seconds_a_view = seconds_a_view
        self._ready, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="camera loop", daemon=True)
        self.recogniser = Recogniser(settings)
        self.url = ""

    def __enter__(self) -> Running:
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        with Store.open(self.database, actor="terminal") as store:
            pipeline = Pipeline(self.settings, self.recogniser, store, "door")
            self.live = Live(pipeline.questions, booth=Booth(time.monotonic, self.recogniser, self._seconds_a_view))
            terminal = Terminal(self.settings, self.database, "door", self.live)
            source = LiveSource("test", lambda: self.camera, 1.0, Backoff(0.2, 0.4))
            with source, WebServer(terminal, [Address("127.0.0.1", 0)]) as server:
                self.url = server.urls[0]
                self._ready.set()
                for frame in source:
                    self.live.show(self.live.booth.process(frame) or pipeline.process(frame))
                    if self._stop.is_set():
                        return
