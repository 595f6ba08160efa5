"""Live cameras give the newest frame and are opened again after a loss. The devices are fakes; the network stream is real, on this machine."""

from __future__ import annotations

import http.server
import itertools
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from device.config import CameraSettings
from device.system.restart import Backoff
from device.vision.camera import live
from device.vision.camera.frame import Reader
from device.vision.camera.live import LiveSource
from device.vision.camera.source import CameraError, open_source
from tests.refused import refused

STALL = 0.6  # s; long enough for a busy machine


def picture(number: int) -> NDArray[np.uint8]:
    return np.full((16, 16, 3), number % 256, np.uint8)


class Device(Reader):
    """A camera with 100 pictures per second that has the given fault from picture `at` on."""

    def __init__(self, at: int = 10**9, fault: str = "") -> None:
        self.at, self.fault = at, fault
        self.taken = 0
        self.closed = False
        self.release = threading.Event()

    def read(self) -> NDArray[np.uint8] | None:
        time.sleep(0.01)
        if self.taken >= self.at:
            if self.fault == "ends":
                return None
            if self.fault == "hangs":
                self.release.wait(30)
                return None
            if self.fault == "gray":
                return picture(self.at)[:, :, 0]
            if self.fault == "throws":
                raise RuntimeError("driver")
            return picture(self.at)  # "repeats"
        self.taken += 1
        return picture(self.taken)

    def describe(self) -> str:
        return "fake 16x16"

    def close(self) -> None:
        self.closed = True


def opened(devices: Iterator[Any]) -> LiveSource:
    def open_reader() -> Any:
        device = next(devices)
        if isinstance(device, Exception):
            raise device
        return device

    return LiveSource("fake", open_reader, STALL, Backoff(0.02, 0.05))


def test_a_slow_reader_gets_the_newest_frame() -> None:
    device = Device()
    with opened(iter([device])) as source:
        indices, ages = [], []
        for frame in itertools.islice(source, 5):
            indices.append(frame.index)
            ages.append(time.time() - frame.time)
            assert frame.live and frame.image[0, 0, 0] == (frame.index + 1) % 256
            time.sleep(0.1)
    assert np.diff(indices).min() >= 3  # those in between were dropped
    assert max(ages) < 0.4
    assert device.closed


class Still(Device):
    """A camera whose pictures are all equal, as of a still wall; each has a time stamp of its own."""

    def read(self) -> NDArray[np.uint8] | None:
        super().read()
        return picture(7)

    def stamp(self) -> float | None:
        return float(self.taken)


def test_a_camera_that_looks_at_a_still_wall_is_not_lost(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), opened(iter([Still()])) as source:
        began = time.monotonic()
        frames = 0
        for _ in source:
            frames += 1
            if time.monotonic() - began > 3 * STALL:
                break
        assert source.state == "ok"
    assert frames > 20 and not caplog.records


class Counting(Device):
    """Counts how many of its pictures are still referenced."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[weakref.ref[NDArray[np.uint8]]] = []

    def read(self) -> NDArray[np.uint8] | None:
        image = super().read()
        if image is not None:
            self.given.append(weakref.ref(image))
        return image


def test_nothing_queues_up() -> None:
    device = Counting()
    with opened(iter([device])) as source:
        frames = iter(source)
        first = next(frames).index
        time.sleep(0.3)
        held = sum(image() is not None for image in list(device.given))
        assert held <= 4 and len(device.given) > 8  # the first, the newest, the one being read and the one before it
        assert next(frames).index > first + 2


def test_a_live_picture_is_turned_and_mirrored_as_well() -> None:
    class Halves(Device):
        def read(self) -> NDArray[np.uint8] | None:
            image = super().read()
            assert image is not None
            image[:8] = 255
            return image

    with opened(iter([Halves()])) as source:
        source.rotate = 90
        assert next(iter(source)).image[:, 8:].min() == 255
    with opened(iter([Halves()])) as source:
        source.rotate, source.mirror = 90, True
        assert next(iter(source)).image[:, :8].min() == 255


@pytest.mark.parametrize("fault", ["ends", "hangs", "repeats", "throws", "gray"])
def test_a_lost_camera_is_opened_again(fault: str, caplog: pytest.LogCaptureFixture) -> None:
    broken, good = Device(at=5, fault=fault), Device()
    with caplog.at_level(logging.WARNING), opened(iter([broken, good])) as source:
        frame = next(frame for frame in source if good.taken > 3)
    broken.release.set()
    assert frame.index > 5
    assert "fake lost" in caplog.text and "fake is back" in caplog.text
    assert good.closed


def test_a_camera_that_is_missing_for_some_time(caplog: pytest.LogCaptureFixture) -> None:
    missing = CameraError("camera does not exist")
    good = Device()
    with caplog.at_level(logging.WARNING), opened(iter([Device(2, "ends"), missing, missing, missing, good])) as source:
        assert any(good.taken for _ in source)
    assert caplog.text.count("fake lost") == 4


def test_a_repeated_picture_is_yielded_once() -> None:
    with opened(iter([Device(3, "repeats"), Device(3, "repeats"), Device()])) as source:
        values = [frame.image[0, 0, 0] for frame in itertools.islice(source, 6)]
    assert all(a != b for a, b in itertools.pairwise(values))


def test_a_camera_that_hangs_permanently(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "OPEN_SECONDS", STALL)
    devices = [Device(2, "hangs")] + [Device(0, "hangs") for _ in range(5)]
    try:
        with opened(iter(devices)) as source, refused("camera.hangs"):
            list(source)
        assert sum(device.taken > 0 or device.at == 0 for device in devices) == 6
    finally:
        for device in devices:
            device.release.set()


@pytest.mark.parametrize(
    ("first", "code", "word"),
    [(CameraError("camera does not exist"), "camera", "does not exist"), (Device(0, "ends"), "camera.fails", ""), (OSError("x"), "camera.fails", "x")],
)
def test_a_camera_that_never_works(first: Any, code: str, word: str) -> None:
    with refused(code, word):
        opened(iter([first]))


class Stream(http.server.BaseHTTPRequestHandler):
    """A network camera: motion JPEG over HTTP, 400 frames."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        try:
            for number in range(400):
                image = np.random.default_rng(number).integers(0, 256, (120, 160, 3), np.uint8)
                data = cv2.imencode(".jpg", image)[1].tobytes()
                self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(data), data))
                time.sleep(0.02)
        except OSError:
            pass  # the reader has closed the connection

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def stream() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stream) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://me:secret@127.0.0.1:{server.server_port}/camera"
        server.shutdown()
        thread.join()


def test_network_stream(stream: str) -> None:
    with open_source(stream, CameraSettings()) as source:
        got = list(itertools.islice(source, 5))
        description = source.describe()
    assert all(frame.live and frame.image.shape == (120, 160, 3) for frame in got)
    assert "160x120" in description and "secret" not in description


def test_network_address_without_a_stream() -> None:
    with refused("camera.stream", "***@127.0.0.1") as caught:
        open_source("rtsp://me:secret@127.0.0.1:9/", CameraSettings())
    assert "secret" not in str(caught.value)


def test_closing_from_elsewhere_ends_the_loop() -> None:
    source = opened(iter([Device()]))
    closer: Callable[[], None] = threading.Timer(0.1, source.close).start
    closer()
    assert sum(1 for _ in source) > 0


def test_a_patient_source_waits_for_a_camera_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = itertools.count()

    def reader() -> Device:
        if next(tries) < 3:
            raise CameraError("camera 0 is not there")
        return Device()

    tried = []
    with LiveSource("0", reader, STALL, Backoff(0.01, 0.02), patient=True) as source:
        source.on_try = lambda: tried.append(source.state)
        assert next(iter(source)).index == 0
    assert len(tried) == 3
    with refused("camera", "not there"):
        LiveSource("0", lambda: (_ for _ in ()).throw(CameraError("camera 0 is not there")), STALL)
