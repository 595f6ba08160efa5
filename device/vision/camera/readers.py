"""The live devices, each opened in one place: V4L2, network streams, GStreamer pipelines, the Raspberry Pi's camera.

The last argument of each opening function creates the device, so that a test can pass in a fake.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from device.config import CameraSettings
from device.vision.camera.frame import CameraError, Reader

NETWORK_TIMEOUT_MS = 10_000
NO_CAMERA_NEEDED = "or play `--source demo`, which needs no camera"
CSI = (  # libargus scales on the GPU; appsink keeps one frame
    "nvarguscamerasrc sensor-id=0 ! video/x-raw(memory:NVMM), framerate={rate}/1 ! nvvidconv ! "
    "video/x-raw, width={width}, height={height}, format=BGRx ! videoconvert ! video/x-raw, format=BGR ! appsink drop=true max-buffers=1 sync=false"
)
LOGIN = re.compile(r"(:/{1,2})[^\s\"']*@")  # up to the last @: a password may have signs that an address must not have
SECRET = re.compile(r"((?:pass|password|passwd|pwd|pw|token|secret)=)[^&\s\"']+", re.IGNORECASE)
Capture = Callable[..., Any]  # called as cv2.VideoCapture, returns an object like it


class CaptureReader(Reader):
    """An open `cv2.VideoCapture`."""

    def __init__(self, capture: Any, description: str) -> None:
        self._capture = capture
        self._description = description

    def read(self) -> NDArray[np.uint8] | None:
        good, image = self._capture.read()
        return image if good else None

    def stamp(self) -> float | None:
        """Of the driver's buffer, or of the stream's packet, in ms."""
        return self._capture.get(cv2.CAP_PROP_POS_MSEC) or None

    def describe(self) -> str:
        return self._description

    def close(self) -> None:
        self._capture.release()


def cameras(devices: Path = Path("/dev")) -> list[str]:
    """The cameras of this machine: their persistent names, or else the device files."""
    persistent = sorted(str(path) for path in (devices / "v4l" / "by-id").glob("*-video-index0"))
    return persistent or sorted(str(path) for path in devices.glob("video[0-9]*"))


def open_v4l(source: str, settings: CameraSettings, devices: Path = Path("/dev"), capture: Capture = cv2.VideoCapture) -> CaptureReader:
    """Open a camera by its index ("0") or device file, such as one under /dev/v4l/by-id.

    Raises:
        CameraError: it does not exist, cannot be opened, or delivers pictures of less than half the requested size.
    """
    path = devices / f"video{int(source)}" if source.isdecimal() else Path(source)
    if not path.exists():
        existing = ", ".join(cameras(devices)) or "none; plug one in"
        raise CameraError(f"camera {path} does not exist; this machine has: {existing}, {NO_CAMERA_NEEDED}", code="camera.missing")
    opened = capture(str(path.resolve()), cv2.CAP_V4L2)
    try:
        if not opened.isOpened():
            hint = "or a Raspberry Pi camera: --source picamera2" if source.isdecimal() else "or not a camera"
            raise CameraError(f"camera {path} cannot be opened: it is used by another program, you may not read it (group video), {hint}", code="camera.busy")
        return CaptureReader(opened, f"{path} {_configure(opened, settings, str(path))}")
    except CameraError:
        opened.release()
        raise


def _configure(capture: Any, settings: CameraSettings, name: str) -> str:
    """Request MJPG, size and rate, in this order; read back what the camera chose and describe it with the differences."""
    capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))  # raw formats are too slow on USB 2 above 640x480
    capture.set(cv2.CAP_PROP_FRAME_WIDTH, settings.width)
    capture.set(cv2.CAP_PROP_FRAME_HEIGHT, settings.height)
    capture.set(cv2.CAP_PROP_FPS, settings.rate)
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # not honoured everywhere, hence the draining thread
    width, height = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
    if 2 * width < settings.width or 2 * height < settings.height:
        raise CameraError(
            f"camera {name} delivers {width}x{height} instead of the requested {settings.width}x{settings.height}: "
            "set [camera] width and height to a size that it supports (`v4l2-ctl --list-formats-ext` lists them)",
            code="camera.too_small",
        )
    code = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little", signed=False).decode("ascii", "replace").strip("\0 ")
    rate = capture.get(cv2.CAP_PROP_FPS)
    parts = [
        _compared(f"{width}x{height}", f"{settings.width}x{settings.height}"),
        _compared(code or "unknown format", "MJPG"),
        _compared(f"{rate:g}/s" if 0 < rate < 1000 else "unknown rate", f"{settings.rate}/s"),
    ]
    return " ".join(parts)


def _compared(got: str, requested: str) -> str:
    return got if got == requested else f"{got} (asked {requested})"


def without_password(address: str) -> str:
    """An address, however it is mistyped, or a pipeline with one, for logs and messages: *** in place of user name and password."""
    return SECRET.sub(r"\1***", LOGIN.sub(r"\1***@", address))


def open_network(address: str, capture: Capture = cv2.VideoCapture) -> CaptureReader:
    """Open an RTSP or HTTP stream with time-outs, so that a dead network cannot block the reader.

    Raises:
        CameraError: there is no answer, or it is not a video stream.
    """
    timeouts = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, NETWORK_TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, NETWORK_TIMEOUT_MS]
    opened = capture(address, cv2.CAP_FFMPEG, timeouts)
    if not opened.isOpened():
        opened.release()
        raise CameraError(f"stream {without_password(address)} cannot be opened; check address, password and network, {NO_CAMERA_NEEDED}", code="camera.stream")
    width, height = int(opened.get(cv2.CAP_PROP_FRAME_WIDTH)), int(opened.get(cv2.CAP_PROP_FRAME_HEIGHT))
    return CaptureReader(opened, f"{without_password(address)} {width}x{height}")


def has_gstreamer(build_information: str) -> bool:
    """Whether `cv2.getBuildInformation()` says that this OpenCV was built with GStreamer."""
    return any(line.split(":", 1)[1].strip().startswith("YES") for line in build_information.splitlines() if line.strip().startswith("GStreamer:"))


def open_gstreamer(source: str, settings: CameraSettings, build_information: str | None = None, capture: Capture = cv2.VideoCapture) -> CaptureReader:
    """Open "csi" (a Jetson's camera) or a GStreamer pipeline that ends in an appsink with BGR.

    Raises:
        CameraError: this OpenCV has no GStreamer, or the pipeline does not start.
    """
    if not has_gstreamer(cv2.getBuildInformation() if build_information is None else build_information):
        raise CameraError(
            "this OpenCV has no GStreamer (the one from pip never has); use the board's own OpenCV (docs/cameras.md, section Jetson) or a USB camera",
            code="camera.no_gstreamer",
        )
    pipeline = CSI.format(width=settings.width, height=settings.height, rate=settings.rate) if source == "csi" else source
    opened = capture(pipeline, cv2.CAP_GSTREAMER)
    if not opened.isOpened():
        opened.release()
        raise CameraError(f"GStreamer cannot start this pipeline; try it with gst-launch-1.0: {without_password(pipeline)}", code="camera.pipeline")
    width, height = int(opened.get(cv2.CAP_PROP_FRAME_WIDTH)), int(opened.get(cv2.CAP_PROP_FRAME_HEIGHT))
    return CaptureReader(opened, f"{source.split(' ', 1)[0]} {width}x{height} GStreamer")


class PiCameraReader(Reader):
    """A camera of the Raspberry Pi through picamera2."""

    def __init__(self, camera: Any, size: Sequence[int]) -> None:
        self._camera = camera
        self._size = size
        self._stamp: float | None = None

    def read(self) -> NDArray[np.uint8] | None:
        (image,), metadata = self._camera.capture_arrays(["main"])
        self._stamp = metadata.get("SensorTimestamp")
        return np.ascontiguousarray(image[:, :, :3])

    def stamp(self) -> float | None:
        """Of the sensor, in ns."""
        return self._stamp

    def describe(self) -> str:
        return f"picamera2 {self._size[0]}x{self._size[1]} BGR"

    def close(self) -> None:
        self._camera.stop()
        self._camera.close()


def open_picamera(settings: CameraSettings, module: Any = None) -> PiCameraReader:
    """Open the Raspberry Pi's own camera; picamera2's "RGB888" is BGR in memory (its manual, section 4.2.2).

    Raises:
        CameraError: picamera2 is missing or finds no camera.
    """
    try:
        module = module or importlib.import_module("picamera2")
        camera = module.Picamera2()
    except ImportError as error:
        raise CameraError(
            "picamera2 is not installed in this environment; docs/cameras.md, section Raspberry Pi, says how to install it", code="camera.no_picamera2"
        ) from error
    except (IndexError, RuntimeError) as error:  # picamera2 raises these without a camera
        raise CameraError(f"picamera2 finds no camera ({error}); check the ribbon cable and `rpicam-hello --list-cameras`", code="camera.missing") from error
    controls = {"FrameRate": settings.rate}
    camera.configure(camera.create_video_configuration(main={"size": (settings.width, settings.height), "format": "RGB888"}, controls=controls))
    camera.start()
    return PiCameraReader(camera, camera.camera_configuration()["main"]["size"])
