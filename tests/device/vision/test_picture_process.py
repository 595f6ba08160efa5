"""Pictures from others: bombs are refused, and a decoder that takes too much memory or time ends alone."""

from __future__ import annotations

import os
import resource
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from device.vision import images, picture_process
from device.vision.exif import first_directory
from device.vision.picture_process import PictureProcess
from tests.device.web.attackers import tiff
from tests.refused import refused

ROOT = Path(__file__).resolve().parents[3]


def picture() -> NDArray[np.uint8]:
    y, x = np.mgrid[0:40, 0:60]
    return np.dstack([x * 4, y * 6, 255 - x * 2 - y * 3]).astype(np.uint8)


BOMB = tiff(20_000, 20_000, last_width=60)


@pytest.fixture(scope="module")
def pictures() -> Iterator[PictureProcess]:
    with PictureProcess() as process:
        yield process


def test_a_tag_that_stands_twice_is_refused_before_anything_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(BOMB) < 1_300_000
    monkeypatch.setattr(images, "_decode", lambda data: pytest.fail("decoded"))
    with refused("image", "doubtful"):
        images.picture(BOMB, "bomb.tif")
    with refused("image.too_large"):
        images.picture(tiff(20_000, 20_000), "large.tif")


@pytest.mark.parametrize(("kind", "count"), [(1, 1), (5, 1), (3, 2), (16, 1)])
def test_a_width_of_another_kind_is_refused(kind: int, count: int) -> None:
    block = b"II*\0" + struct.pack("<IHHHII", 8, 1, 256, kind, count, 60) + bytes(4)
    with pytest.raises(ValueError, match="doubtful"):
        first_directory(block, (256,), once=True)
    assert first_directory(block, (257,)) == {}


def test_opencv_has_a_limit_of_its_own() -> None:
    """In a fresh process, since OpenCV reads its limit once: the bomb itself, past every check of ours."""
    program = """
import device, sys, resource
import cv2, numpy as np
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    image = cv2.imdecode(np.frombuffer(sys.stdin.buffer.read(), np.uint8), cv2.IMREAD_COLOR)
except cv2.error:
    image = None
print(image is None, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    for data, none in ((BOMB, "True"), (tiff(20_000, 2_000), "False")):
        done = subprocess.run([sys.executable, "-c", program], input=data, capture_output=True, cwd=ROOT, check=True)
        refused_it, mib = done.stdout.split()
        assert refused_it.decode() == none and (none == "False" or int(mib) < 100)


@pytest.mark.parametrize("kind", [".jpg", ".png", ".webp", ".bmp", ".tiff"])
def test_the_same_pixels_as_in_this_process(pictures: PictureProcess, kind: str) -> None:
    data = cv2.imencode(kind, picture())[1].tobytes()
    assert np.array_equal(pictures.read(data, "a"), images.picture(data, "a"))


@pytest.mark.parametrize("data", [b"", b"abc", b"\xff\xd8\xff", BOMB, tiff(20_000, 20_000)], ids=["empty", "text", "cut off", "bomb", "large"])
def test_the_same_words_as_in_this_process(pictures: PictureProcess, data: bytes) -> None:
    with pytest.raises(images.ImageError) as here:
        images.picture(data, "photo")
    with refused(here.value.code) as there:
        pictures.read(data, "photo")
    assert str(there.value) == str(here.value)


def test_a_large_picture_that_is_allowed_fits() -> None:
    deep = np.zeros((7000, 7000, 4), np.uint16)
    deep[:, :, 3] = 65535
    data = cv2.imencode(".png", deep, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
    del deep
    with PictureProcess(seconds=120) as process:
        assert process.read(data, "large.png").shape == (7000, 7000, 3)


def test_too_much_memory_is_refused_and_the_next_picture_is_read() -> None:
    large = cv2.imencode(".png", np.zeros((4000, 4000, 3), np.uint8))[1].tobytes()
    small = cv2.imencode(".png", picture())[1].tobytes()
    with PictureProcess(memory=30_000_000) as process:
        with refused("image.damaged", "large.png"):
            process.read(large, "large.png")
        assert process.read(small, "small.png").shape == (40, 60, 3)


def test_too_much_time_is_refused_and_the_next_picture_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    small = cv2.imencode(".png", picture())[1].tobytes()
    with PictureProcess(seconds=0.5) as process:
        assert process.read(small, "small.png").shape == (40, 60, 3)
        assert process._process is not None
        first = process._process
        os.kill(first.pid, signal.SIGSTOP)  # a decoder that does not end
        began = time.monotonic()
        with refused("image.damaged", "slow.png", "time"):
            process.read(small, "slow.png")
        assert time.monotonic() - began < 3 and first.returncode is not None
        process._seconds = 20
        assert process.read(small, "small.png").shape == (40, 60, 3)


def test_a_decoder_that_dies_takes_nobody_along() -> None:
    small = cv2.imencode(".png", picture())[1].tobytes()
    with PictureProcess() as process:
        process.read(small, "small.png")
        assert process._process is not None
        os.kill(process._process.pid, signal.SIGKILL)
        with refused("image.damaged"):
            process.read(small, "small.png")
        assert process.read(small, "small.png").shape == (40, 60, 3)


def test_the_process_can_open_and_write_nothing() -> None:
    program = f"""
from device.vision import picture_process as apart
import resource
apart._limit(10**9)
print([resource.getrlimit(what)[0] for what in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE)])
try:
    open({str(ROOT / "README.md")!r})
except OSError as error:
    print(error.errno)
import os
try:
    os.fork()
except OSError as error:
    print(error.errno)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, cwd=ROOT, text=True, check=True)
    assert done.stdout.split("\n")[:3] == ["[0, 0, 0]", "24", "1"]  # EMFILE, EPERM
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 0 and picture_process.SECONDS > 0
