"""Each fault of a camera (lost, frozen, black, slow) is reported within 3 s, on the screen as well."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from device.system.restart import Backoff
from device.vision.camera.frame import Reader
from device.vision.camera.health import CameraState, Stillness, Watch
from device.vision.camera.live import LiveSource
from device.web.live import Live

LIGHT, BLACK, DARK, BRIGHT = (np.full((48, 64, 3), grey, np.uint8) for grey in (90, 2, 11, 240))


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
    [(None, 15.0, False, "lost"), (LIGHT, 15.0, True, "frozen"), (BLACK, 15.0, False, "black"), (DARK, 15.0, False, "dark"),
     (BRIGHT, 15.0, False, "bright"), (LIGHT, 2.0, False, "slow"), (LIGHT, 15.0, False, "ok")],
)
def test_each_fault_is_reported_within_three_seconds(image: np.ndarray | None, rate: float, repeated: bool, expected: CameraState) -> None:
    assert state_after(2.5, image, rate, repeated) == expected
    assert state_after(0.4, image, rate, repeated) == "ok"  # a short disturbance is no fault


class Camera(Reader):
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


class Seen:
    """Plays pictures into `Stillness`, 10 a second; letters are pictures, a stamp moves with each unless it stops."""

    def __init__(self) -> None:
        self.stillness, self.now, self.last, self.stamp = Stillness(0.0), 0.0, "", 0.0

    def see(self, pictures: str, moving: bool = True, stamped: bool = True) -> list[bool]:
        found = []
        for picture in pictures:
            self.now += 0.1
            self.stamp += 100.0 if moving else 0.0
            found.append(self.stillness.frozen(picture == self.last, self.stamp if stamped else None, self.now))
            self.last = picture
        return found


def test_equal_pictures_with_new_time_stamps_are_a_still_scene() -> None:
    camera = Seen()
    for _ in range(20):  # an encoder: 30 s of one picture, then a key frame that differs a little
        assert not any(camera.see("a" * 300)) and not any(camera.see("b" * 300))


@pytest.mark.parametrize(("moving", "stamped"), [(False, True), (True, False)])
def test_equal_pictures_without_new_time_stamps_are_a_frozen_driver(moving: bool, stamped: bool) -> None:
    camera = Seen()
    camera.see("abcd")
    assert all(camera.see("d" * 20, moving, stamped))


def test_a_camera_known_for_its_noise_is_frozen_soon_whatever_its_stamps() -> None:
    camera = Seen()
    camera.see("ab" * 3100)
    frozen = camera.see("b" * 40)
    assert not any(frozen[:15]) and all(frozen[25:])


def test_pictures_that_stay_equal_longer_than_ever_are_a_fault() -> None:
    camera = Seen()
    frozen = camera.see("a" * 700)
    assert not any(frozen[:590]) and all(frozen[620:])
    camera = Seen()
    for _ in range(3):
        camera.see("a" * 500 + "b")  # 50 s
    frozen = camera.see("a" * 1100)
    assert not any(frozen[:990]) and all(frozen[1020:])


def test_an_equal_picture_after_opening_again_shows_the_scene_to_be_still() -> None:
    """A device that had frozen shows another one: its pictures were not still by themselves."""
    for equal in (True, False):
        camera = Seen()
        camera.see("ab" * 3100)
        camera.see("b" * 50)
        camera.stillness.opened_again(equal, camera.now)
        camera.last = "b" if equal else ""
        camera.see("b")
        assert any(camera.see("b" * 100)) is not equal
