"""All sources of frames behind one function: `with open_source(name, settings) as source: for frame in source:`.

Live sources always yield the newest frame; clips and folders yield every frame, with times that follow their own rate, unpaced unless somebody watches.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

from device.config import CameraSettings
from device.vision.camera import demo
from device.vision.camera.files import open_file
from device.vision.camera.frame import CameraError, CameraLost, Frame, Reader, Source
from device.vision.camera.live import LiveSource
from device.vision.camera.paced import PacedRecording
from device.vision.camera.readers import cameras, open_gstreamer, open_network, open_picamera, open_v4l, without_password

__all__ = ["CameraError", "CameraLost", "Frame", "Source", "cameras", "default_source", "open_source"]

NETWORK = ("rtsp://", "rtsps://", "http://", "https://")


def default_source(devices: Path = Path("/dev")) -> str:
    """Camera 0 where there is one, else the first camera by its persistent name, else the demo."""
    if (devices / "video0").exists():
        return "0"
    return next(iter(cameras(devices)), "demo")


def open_source(
    source: str,
    settings: CameraSettings,
    once: bool = False,
    start: float | None = None,
    patient: bool = False,
    watched: bool = False,
    loop: bool = False,
) -> Source:
    """Open a source of frames.

    Args:
        source: "0", /dev/.., rtsp://.., http://.., a clip, a picture, a folder of pictures, "demo", "picamera2", "csi" or a GStreamer pipeline.
        settings: size and rate requested from a live camera; the rate also applies to the pictures of a folder, turn and mirror to every source.
        once: the source must end by itself; clips and folders always do, the demo plays one round unpaced.
        start: capture time of the first frame of a source that is not live, seconds since the epoch; None: now.
        patient: wait for a live camera that is not available yet.
        watched: clips and folders play at their own pace.
        loop: and again from the start when they end.

    Raises:
        CameraError: it cannot be opened, or `once` is set for a camera; the message says what to do.
    """
    start = time.time() if start is None else start
    opened = _opened(source, settings, once, start, patient)
    if watched and not opened.live:
        again = partial(_opened, source, settings, once, patient=patient) if loop else None
        opened = PacedRecording(opened, start, again)
    opened.rotate, opened.mirror = settings.rotate, settings.mirror
    return opened


def _opened(source: str, settings: CameraSettings, once: bool, start: float, patient: bool) -> Source:
    if source == "demo" and once:
        return demo.DemoRound(start)
    if is_live(source):
        if once:
            raise CameraError(f"camera {without_password(source)} never ends by itself: omit --once, or give a clip or a folder", code="camera.endless")
        return LiveSource(without_password(source), lambda: _open_reader(source, settings), settings.stall_seconds, patient=patient)
    if "://" in source:
        shown = f"{without_password(source)!r:.200}"
        raise CameraError(f"{shown} is no address that is read: give one with rtsp:// or http://, or the path of a file", code="camera.stream")
    return open_file(Path(source), start, settings.rate)


def is_live(source: str) -> bool:
    """Whether a source goes on by itself; clips and pictures are recordings."""
    by_name = source in ("demo", "picamera2", "csi") or source.isdecimal()
    return by_name or source.startswith("/dev/") or source.casefold().startswith(NETWORK) or " ! " in source


def _open_reader(source: str, settings: CameraSettings) -> Reader:
    if source == "demo":
        return demo.DemoReader()
    if source == "picamera2":
        return open_picamera(settings)
    if source == "csi" or " ! " in source:
        return open_gstreamer(source, settings)
    if source.casefold().startswith(NETWORK):
        return open_network(source)
    return open_v4l(source, settings)
