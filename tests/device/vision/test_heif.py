"""HEIC and AVIF files as phones write them: turned once, and measured before they are decoded."""

from __future__ import annotations

import io
import struct
import sys
from collections.abc import Iterator

import cv2
import numpy as np
import pillow_heif
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from device.vision import heif, images
from device.vision.picture_process import PictureProcess
from tests.refused import refused

pytest.importorskip(heif.PACKAGE)

TRANSPOSED = {5, 6, 7, 8}


def drawn() -> NDArray[np.uint8]:
    """(40, 60, 3) uint8 RGB with another colour in each corner."""
    y, x = np.mgrid[0:40, 0:60]
    return np.dstack([255 - x * 2 - y * 3, y * 6, x * 4]).astype(np.uint8)


def heic(image: Image.Image, **options: object) -> bytes:
    """The bytes of a HEIC file; an orientation in `exif` is written as boxes, the EXIF block stays as it is given."""
    file = io.BytesIO()
    pillow_heif.from_pillow(image).save(file, quality=90, **options)
    return file.getvalue()


def avif(image: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, "AVIF", quality=95, **options)
    return file.getvalue()


def oriented(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def upright(orientation: int) -> NDArray[np.uint8]:
    """(H, W, 3) BGR: the drawing as a viewer shows it, by Pillow's own table of orientations."""
    image = Image.fromarray(drawn())
    image.getexif()[0x0112] = orientation
    return np.asarray(ImageOps.exif_transpose(image))[:, :, ::-1]


@pytest.fixture(scope="module")
def pictures() -> Iterator[PictureProcess]:
    with PictureProcess() as process:
        yield process


def far(image: NDArray[np.uint8], expected: NDArray[np.uint8]) -> float:
    assert image.shape == expected.shape and image.dtype == np.uint8
    return float(np.abs(image.astype(int) - expected).mean())


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("write", [heic, avif])
def test_a_rotation_is_applied_once(pictures: PictureProcess, write: object, orientation: int) -> None:
    data = (heic if write is heic else avif)(Image.fromarray(drawn()), exif=oriented(orientation))
    assert orientation == 1 or b"irot" in data or b"imir" in data
    assert far(images.picture(data, "phone"), upright(orientation)) < 6
    assert far(pictures.read(data, "phone"), upright(orientation)) < 6


def test_an_exif_block_beside_the_boxes_is_not_applied_again(pictures: PictureProcess) -> None:
    """A phone writes both: the box turns, the tag says so again."""
    data = heic(Image.fromarray(drawn()), exif=oriented(6))
    assert oriented(6).removeprefix(b"Exif\0\0") in data and b"irot" in data
    assert far(pictures.read(data, "phone"), upright(6)) < 6


def test_kinds_of_pixels(pictures: PictureProcess) -> None:
    clear = np.dstack([drawn(), np.full((40, 60), 255, np.uint8)])
    clear[:, :30, 3] = 0
    image = pictures.read(heic(Image.fromarray(clear)), "alpha")
    assert np.all(image[:, :25] > 250) and far(image[:, 35:], drawn()[:, 35:, ::-1]) < 6
    grey = pictures.read(heic(Image.fromarray(drawn()[:, :, 1])), "grey")
    assert far(grey, np.repeat(drawn()[:, :, 1:2], 3, axis=2)) < 6
    deep = pillow_heif.from_bytes("RGB;16", (60, 40), (drawn().astype(np.uint16) * 257).tobytes())
    file = io.BytesIO()
    deep.save(file, quality=90)
    assert far(pictures.read(file.getvalue(), "10 bits"), drawn()[:, :, ::-1]) < 6
    assert far(pictures.read(heic(Image.fromarray(cv2.resize(drawn(), (300, 200))), tile_size=64), "tiles"), cv2.resize(drawn(), (300, 200))[:, :, ::-1]) < 6


def test_a_size_is_known_before_anything_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = heic(Image.fromarray(cv2.resize(drawn(), (128, 64))))
    assert images.image_size(data) == (128, 64)
    monkeypatch.setattr(heif, "decoded", lambda data: pytest.fail("decoded"))
    at = data.index(b"ispe") + 8
    with refused("image.too_large", "bomb.heic"):
        images.picture(data[:at] + struct.pack(">II", 20_000, 20_000) + data[at + 8 :], "bomb.heic")


def test_a_picture_larger_than_it_says_is_refused() -> None:
    data = heic(Image.fromarray(cv2.resize(drawn(), (600, 400))))
    assert images.image_size(data) == (600, 400)
    small = data.replace(struct.pack(">II", 600, 400), struct.pack(">II", 60, 40))
    with refused("image.damaged", "small.heic"):
        images.picture(small, "small.heic")


def test_a_cut_off_file_is_refused(pictures: PictureProcess) -> None:
    data = heic(Image.fromarray(cv2.resize(drawn(), (600, 400))))
    for kept in (0.2, 0.6, 0.99):
        with refused("image.incomplete", "part.heic"):
            pictures.read(data[: int(len(data) * kept)], "part.heic")


def test_without_the_package_the_words_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, heif.PACKAGE, None)
    monkeypatch.setattr(heif, "readable", lambda: False)
    with refused("image", "pi-heif", "save it as JPEG", "phone.heic"):
        images.picture(heic(Image.fromarray(drawn())), "phone.heic")


@pytest.mark.parametrize("data", [b"\0\0\0\x18ftypmif1", b"\0\0\0\x0cftypavif", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0\0\0\x01meta"])
def test_boxes_that_end_too_soon_turn_nothing(data: bytes) -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    assert np.array_equal(heif.turned(image, data), image)
    with pytest.raises(images.ImageError):
        images.picture(data, "x")
