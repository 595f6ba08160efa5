"""A JPEG whose compressed data was damaged is told from a whole one, however it was written; Pillow writes, and the hole is known."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from device.vision import jpeg
from device.vision.images import ImageError, picture
from device.vision.picture_process import PictureProcess
from tests.refused import refused

needs_telling = pytest.mark.skipif(not jpeg._refuses_missing_rows(), reason="this OpenCV gives a picture whose last rows have no data")


def scene(width: int, height: int, noise: int) -> Image.Image:
    """A smooth picture with some noise and a white lower half, as a cut-out portrait has."""
    y, x = np.mgrid[0:height, 0:width]
    smooth = np.dstack([x * 200 / width, y * 200 / height, 220 - x * 100 / width]) + np.random.default_rng(0).integers(0, noise + 1, (height, width, 3))
    smooth[height // 2 :] = 255
    return Image.fromarray(smooth.astype(np.uint8))


def written(image: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (17, 33), (200, 215), (640, 480)])
@pytest.mark.parametrize("noise", [0, 40])
@pytest.mark.parametrize(
    "options",
    [
        {"quality": 5},
        {"quality": 90, "optimize": True},
        {"quality": 100, "subsampling": 0},
        {"quality": 100, "subsampling": 2},
        {"progressive": True},
        {"restart_marker_blocks": 3},
        {"restart_marker_rows": 1},
    ],
)
def test_a_whole_file_is_whole(size: tuple[int, int], noise: int, options: dict[str, object]) -> None:
    for image in (scene(*size, noise), scene(*size, noise).convert("L")):
        data = written(image, **options)
        assert jpeg.size(data) == size and jpeg.ends(data) and jpeg.intact(data)
        assert jpeg.intact(data[:-2] + b"\xff\xff" + data[-2:])  # fill bytes before the end marker
        assert jpeg.intact(data[:-2] + bytes(2) + data[-2:])  # two bytes that some cameras leave there
        assert jpeg.intact(data + written(image))  # a second picture behind the first


def hole(data: bytes, size: int, kind: str) -> bytes:
    """The file with some bytes in the middle lost, or overwritten."""
    at = len(data) // 2
    content = {"lost": b"", "zeros": bytes(size), "ones": b"\xff" * size, "text": b"A" * size, "noise": random.Random(0).randbytes(size)}
    return data[:at] + content[kind] + data[at + size :]


@needs_telling
@pytest.mark.parametrize("kind", ["lost", "zeros", "ones", "text", "noise"])
@pytest.mark.parametrize("quality", [50, 95])
def test_a_hole_in_the_middle_is_told(kind: str, quality: int) -> None:
    data = written(scene(500, 1000, 40).crop((0, 0, 500, 500)), quality=quality)
    with refused("image.damaged", "photo.jpg", "copy it again"):
        picture(hole(data, len(data) // 10, kind), "photo.jpg")


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
@pytest.mark.parametrize("kind", ["ones", "noise"])
def test_a_marker_where_none_may_be_is_told(options: dict[str, object], kind: str) -> None:
    data = written(scene(500, 500, 40), quality=95, **options)
    with refused("image.damaged", "photo.jpg"):
        picture(hole(data, 2000, kind), "photo.jpg")


def test_a_restart_marker_out_of_turn_is_told() -> None:
    data = written(scene(500, 500, 40), restart_marker_rows=1)
    first = data.index(b"\xff\xd0")
    assert jpeg.intact(data) and not jpeg.intact(data[:first] + b"\xff\xd3" + data[first + 2 :])


@needs_telling
def test_real_portraits_with_a_hole_are_refused_and_whole_ones_are_not(shared: Path) -> None:
    whole = [sorted(person.iterdir())[0].read_bytes() for person in sorted((shared / "faces/dev").iterdir())]
    assert all(jpeg.intact(data) for data in whole) and len(whole) == 180
    for kind in ("lost", "zeros", "ones", "text", "noise"):
        taken = sum(jpeg.intact(hole(data, len(data) // 10, kind)) for data in whole[:60])
        assert taken <= 1, f"{taken} of 60 with a hole ({kind}) are taken"


@pytest.fixture(scope="module")
def apart() -> Iterator[PictureProcess]:
    with PictureProcess() as process:
        yield process


SEVERAL_SCANS = ({"progressive": True}, {"progressive": True, "quality": 95}, {"progressive": True, "restart_marker_rows": 1})


@pytest.mark.parametrize("options", SEVERAL_SCANS)
@pytest.mark.parametrize("kind", ["lost", "zeros", "ones", "noise"])  # letters happen to be codes that mean something here
def test_a_hole_in_a_progressive_file_is_told_in_the_process_apart(apart: PictureProcess, options: dict[str, object], kind: str) -> None:
    data = written(scene(500, 500, 40), **options)
    assert apart.read(data, "photo.jpg").shape == (500, 500, 3)
    with refused("image.damaged", "photo.jpg", "copy it again"):
        apart.read(hole(data, len(data) // 10, kind), "photo.jpg")


@pytest.mark.parametrize("size", [(1, 1), (17, 33), (640, 480)])
def test_a_whole_progressive_file_is_whole_there(apart: PictureProcess, size: tuple[int, int]) -> None:
    for image in (scene(*size, 40), scene(*size, 0).convert("L")):
        data = written(image, progressive=True)
        for whole in (data, data[:-2] + bytes(2) + data[-2:], data[:-2] + b"\xff\xff" + data[-2:], data + written(image)):
            assert apart.read(whole, "photo.jpg").shape == (size[1], size[0], 3)


def test_real_progressive_portraits_with_a_hole_are_refused_and_whole_ones_are_not(shared: Path, apart: PictureProcess) -> None:
    photos = [Image.open(sorted(person.iterdir())[0]).convert("RGB") for person in sorted((shared / "faces/dev").iterdir())[:60]]
    whole = [written(photo, quality=(75, 90, 95)[number % 3], progressive=True) for number, photo in enumerate(photos)]
    assert all(taken(apart, data) for data in whole)
    for kind in ("lost", "zeros", "ones", "text", "noise"):
        number = sum(taken(apart, hole(data, len(data) // 10, kind)) for data in whole)
        assert number <= 2, f"{number} of 60 with a hole ({kind}) are taken"


def taken(apart: PictureProcess, data: bytes) -> bool:
    try:
        apart.read(data, "photo.jpg")
    except ImageError as error:
        assert error.code == "image.damaged"
        return False
    return True


def test_looking_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """libjpeg writes its warnings to standard error, past Python."""
    for noise in (0, 40):
        assert jpeg.intact(written(scene(200, 200, noise)))
    assert cv2.imdecode(np.frombuffer(written(scene(20, 20, 0)), np.uint8), cv2.IMREAD_COLOR) is not None
    assert capfd.readouterr() == ("", "")
