"""Each fault of a camera (lost, frozen, black, slow) is reported within 3 s, on the screen as well."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from device.system.restart import Backoff
from device.vision.camera.health import CameraState, Watch
from device.vision.camera.live import LiveSource
from device.web.live import Live

LIGHT, BLACK = np.full((48, 64, 3), 90, np.uint8), np.full((48, 64, 3), 2, np.uint8)


def state_after(seconds: float, image: np.ndarray | None, rate: float, repeated: bool = False) -> CameraState:
    """The state after 5 s of good pictures at 15 per second, followed by `seconds` of the given ones."""
    watch, now = Watch(0.0), 0.0
    while now < 5.0:
        now += 1 / 15
        watch.took(LIGHT, False, now)
    end = now + seconds
    while image is not None and now + 1 / rate <= end:
        now += 1 / rate
        watch.took(image, repeated, now)
    return watch.state(end)


@pytest.mark.parametrize(
    ("image", "rate", "repeated", "expected"),
    [(None, 15.0, False, "lost"), (LIGHT, 15.0, True, "frozen"), (BLACK, 15.0, False, "black"), (LIGHT, 2.0, False, "slow"), (LIGHT, 15.0, False, "ok")],
)
def test_each_fault_is_reported_within_three_seconds(image: np.ndarray | None, rate: float, repeated: bool, expected: CameraState) -> None:
    assert state_after(2.5, image, rate, repeated) == expected
    assert state_after(0.4, image, rate, repeated) == "ok"  # a short disturbance is no fault


class Camera:
    """Delivers 50 pictures per second according to `mode`; noise makes them differ."""

    def __init__(self) -> None:
        self.mode = "good"
        self.rng = np.random.default_rng(0)
        self.frozen = self._picture(90)

    def _picture(self, level: int) -> np.ndarray:
        return self.rng.integers(level - 3, level + 3, (48, 64, 3)).astype(np.uint8)

    def read(self) -> np.ndarray | None:
        time.sleep(0.02)
        while self.mode == "hangs":
            time.sleep(0.02)
        return self.frozen if self.mode == "freezes" else self._picture(5 if self.mode == "dark" else 90)

    def describe(self) -> str:
        return "camera"

    def close(self) -> None:
        pass


@pytest.mark.parametrize(("mode", "shown"), [("hangs", "camera_lost"), ("freezes", "camera_frozen"), ("dark", "camera_black")])
def test_the_screen_shows_the_fault_of_a_live_source_and_its_end(mode: str, shown: str) -> None:
    camera, live, tries = Camera(), Live(), []
    with LiveSource("camera", lambda: camera, 4.0, Backoff(0.05, 0.1)) as source:
        live.camera, source.on_try = (lambda: source.state), (lambda: tries.append(1))
        frames = threading.Thread(target=lambda: [live.show(empty(frame)) for frame in source], daemon=True)
        frames.start()
        wait_for(live, "idle", 2.0)
        camera.mode = mode
        began = time.monotonic()
        wait_for(live, shown, 3.0)
        assert time.monotonic() - began < 3.0
        camera.mode = "good"
        wait_for(live, "idle", 8.0)
    frames.join(5.0)
    assert not frames.is_alive()


def empty(frame: object) -> object:
    from device.terminal.pipeline import Scene

    return Scene(frame, (), ())  # type: ignore[arg-type]


def wait_for(live: Live, state: str, seconds: float) -> None:
    until = time.monotonic() + seconds
    while live.view().state != state:
        assert time.monotonic() < until, f"{live.view().state}, expected {state}"
        time.sleep(0.02)
