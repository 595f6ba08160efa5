"""The requests to a V4L2, GStreamer or Raspberry Pi camera, and how the answers are reported. All devices are fakes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from device.config import CameraSettings
from device.vision.camera.readers import cameras, has_gstreamer, open_gstreamer, open_picamera, open_v4l, without_password
from tests.refused import refused

SETTINGS = CameraSettings(width=1280, height=720, rate=30)
MJPG, YUYV = cv2.VideoWriter.fourcc(*"MJPG"), cv2.VideoWriter.fourcc(*"YUYV")
NAMES = {
    cv2.CAP_PROP_FOURCC: "fourcc",
    cv2.CAP_PROP_FRAME_WIDTH: "width",
    cv2.CAP_PROP_FRAME_HEIGHT: "height",
    cv2.CAP_PROP_FPS: "rate",
    cv2.CAP_PROP_BUFFERSIZE: "buffers",
}


class Capture:
    """Replaces cv2.VideoCapture; `fixed` are properties that this camera does not change on request."""

    def __init__(self, opens: bool = True, **fixed: float) -> None:
        self.opens, self.fixed = opens, fixed
        self.requested: list[str] = []
        self.values: dict[str, float] = {}
        self.arguments: tuple[Any, ...] = ()
        self.released = False

    def __call__(self, *arguments: Any) -> Capture:
        self.arguments = arguments
        return self

    def isOpened(self) -> bool:
        return self.opens

    def set(self, prop: int, value: float) -> bool:
        self.requested.append(NAMES[prop])
        self.values[NAMES[prop]] = value
        return NAMES[prop] not in self.fixed

    def get(self, prop: int) -> float:
        return self.fixed.get(NAMES[prop], self.values.get(NAMES[prop], 0.0))

    def read(self) -> tuple[bool, Any]:
        return True, np.zeros((720, 1280, 3), np.uint8)

    def release(self) -> None:
        self.released = True


@pytest.fixture
def devices(tmp_path: Path) -> Path:
    """A /dev with one USB camera under its two names."""
    (tmp_path / "video2").touch()
    by_id = tmp_path / "v4l" / "by-id"
    by_id.mkdir(parents=True)
    (by_id / "usb-ACME_Webcam-video-index0").symlink_to("../../video2")
    (by_id / "usb-ACME_Webcam-video-index1").symlink_to("../../video3")  # metadata, no pictures
    return tmp_path


def test_the_format_is_requested_before_the_size(devices: Path) -> None:
    capture = Capture()
    reader = open_v4l("2", SETTINGS, devices, capture)
    assert capture.requested[:4] == ["fourcc", "width", "height", "rate"]
    assert capture.values["fourcc"] == MJPG
    assert capture.arguments == (str(devices / "video2"), cv2.CAP_V4L2)
    assert reader.describe() == f"{devices}/video2 1280x720 MJPG 30/s"
    reader.close()
    assert capture.released


def test_a_persistent_name_leads_to_the_device(devices: Path) -> None:
    capture = Capture()
    open_v4l(str(devices / "v4l/by-id/usb-ACME_Webcam-video-index0"), SETTINGS, devices, capture)
    assert capture.arguments[0] == str((devices / "video2").resolve())


def test_differences_from_the_request_are_described(devices: Path) -> None:
    description = open_v4l("2", SETTINGS, devices, Capture(fourcc=YUYV, width=800, height=600, rate=10)).describe()
    assert "800x600 (asked 1280x720) YUYV (asked MJPG) 10/s (asked 30/s)" in description


def test_far_too_small_is_an_error(devices: Path) -> None:
    capture = Capture(width=320, height=240)
    with refused("camera.too_small", "320x240", "1280x720"):
        open_v4l("2", SETTINGS, devices, capture)
    assert capture.released


def test_busy_camera(devices: Path) -> None:
    capture = Capture(opens=False)
    with refused("camera.busy", "video2"):
        open_v4l("2", SETTINGS, devices, capture)
    assert capture.released


def test_a_missing_camera_error_names_the_existing_ones(devices: Path, tmp_path: Path) -> None:
    with refused("camera.missing", "video0", "usb-ACME_Webcam-video-index0", "--source demo"):
        open_v4l("0", SETTINGS, devices, Capture())
    with refused("camera.missing", "none"):
        open_v4l("0", SETTINGS, tmp_path / "empty", Capture())


def test_cameras_without_persistent_names(tmp_path: Path) -> None:
    (tmp_path / "video0").touch()
    assert cameras(tmp_path) == [str(tmp_path / "video0")]


@pytest.mark.parametrize(("line", "has"), [("    GStreamer:           YES (1.20.3)", True), ("    GStreamer:           NO", False), ("", False)])
def test_gstreamer_is_read_from_the_build(line: str, has: bool) -> None:
    assert has_gstreamer(f"Video I/O:\n{line}\n    v4l/v4l2: YES\n") is has


def test_jetson_camera() -> None:
    capture = Capture(width=1280, height=720)
    reader = open_gstreamer("csi", SETTINGS, "  GStreamer: YES (1.20.3)", capture)
    pipeline, backend = capture.arguments
    assert backend == cv2.CAP_GSTREAMER
    assert pipeline.startswith("nvarguscamerasrc") and "width=1280, height=720" in pipeline and "framerate=30/1" in pipeline
    assert "format=BGR ! appsink drop=true max-buffers=1" in pipeline
    assert reader.describe() == "csi 1280x720 GStreamer"


def test_a_custom_pipeline_is_used_unchanged() -> None:
    capture = Capture()
    open_gstreamer("videotestsrc ! appsink", SETTINGS, "GStreamer: YES", capture)
    assert capture.arguments[0] == "videotestsrc ! appsink"
    with refused("camera.pipeline", "nosuchthing"):
        open_gstreamer("nosuchthing ! appsink", SETTINGS, "GStreamer: YES", Capture(opens=False))


def test_without_gstreamer() -> None:
    with refused("camera.no_gstreamer", "docs/cameras.md"):
        open_gstreamer("csi", SETTINGS, "GStreamer: NO")


class PiCamera:
    """Replaces picamera2.Picamera2."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def create_video_configuration(self, **configuration: Any) -> dict[str, Any]:
        return configuration

    def configure(self, configuration: dict[str, Any]) -> None:
        self.configuration = configuration

    def camera_configuration(self) -> dict[str, Any]:
        return self.configuration

    def start(self) -> None:
        self.calls.append("start")

    def stop(self) -> None:
        self.calls.append("stop")

    def close(self) -> None:
        self.calls.append("close")

    def capture_arrays(self, names: list[str]) -> Any:
        assert names == ["main"] and self.calls[-1] == "start"
        return [np.full((720, 1280, 3), (1, 2, 3), np.uint8)], {"SensorTimestamp": 123_456_789_000}


def test_raspberry_pi_camera() -> None:
    camera = PiCamera()
    reader = open_picamera(SETTINGS, SimpleNamespace(Picamera2=lambda: camera))
    assert camera.configuration == {"main": {"size": (1280, 720), "format": "RGB888"}, "controls": {"FrameRate": 30}}
    image = reader.read()
    assert image is not None and image.shape == (720, 1280, 3) and list(image[0, 0]) == [1, 2, 3]
    assert reader.stamp() == 123_456_789_000 and reader.describe() == "picamera2 1280x720 BGR"
    reader.close()
    assert camera.calls == ["start", "stop", "close"]


def test_raspberry_pi_without_camera_or_picamera2() -> None:
    def nothing() -> None:
        raise IndexError("list index out of range")

    with refused("camera.missing", "picamera2"):
        open_picamera(SETTINGS, SimpleNamespace(Picamera2=nothing))
    with refused("camera.no_picamera2"):
        open_picamera(SETTINGS)


@pytest.mark.parametrize(
    ("address", "shown"),
    [("rtsp://admin:geheim@cam:554/1", "rtsp://***@cam:554/1"), ("rtsp://ad:ge@heim@cam/1", "rtsp://***@cam/1"), ("rtsp://admin:ge/heim@cam/1", "rtsp://***@cam/1"),
     ("rtsp://admin:ge#?heim@cam/1", "rtsp://***@cam/1"), ("rtsp://admin:ge[heim@cam/1", "rtsp://***@cam/1"), ("RTSP://admin:geheim@cam", "RTSP://***@cam"),
     ("rtsp://cam/user=admin&password=geheim&channel=1", "rtsp://cam/user=admin&password=***&channel=1"), ("http://cam/1?token=geheim", "http://cam/1?token=***"),
     ('rtspsrc location="rtsp://me:geheim@cam/1" user-pw=geheim ! appsink', 'rtspsrc location="rtsp://***@cam/1" user-pw=*** ! appsink'),
     ("http://[fe80::1", "http://[fe80::1"), ("rtsp://cam/1", "rtsp://cam/1")],
)  # fmt: skip
def test_no_password_is_shown(address: str, shown: str) -> None:
    assert without_password(address) == shown
