"""Every kind of picture file that people may give, valid and damaged."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps
from pillow_heif import register_heif_opener

from device.vision import images
from device.vision.images import ImageError, image_size, read_image
from tests.refused import refused

register_heif_opener()  # lets Pillow write HEIC
WIDTH, HEIGHT = 60, 40


def picture() -> NDArray[np.uint8]:
    """(40, 60, 3) uint8 BGR, smooth, with a different colour in each corner, so that a rotation or a swap of colours shows."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.dstack([x * 4, y * 6, 255 - x * 2 - y * 3]).astype(np.uint8)


def written(folder: Path, suffix: str, **options: object) -> Path:
    path = folder / f"picture{suffix}"
    Image.fromarray(picture()[:, :, ::-1]).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", sorted(images.IMAGE_SUFFIXES))
def test_every_kind_is_read_as_bgr(tmp_path: Path, suffix: str) -> None:
    image = read_image(written(tmp_path, suffix, quality=95))
    assert image.shape == (HEIGHT, WIDTH, 3) and image.dtype == np.uint8
    assert np.abs(image.astype(int) - picture()).mean() < 6


@pytest.mark.parametrize("options", [{"progressive": True}, {"quality": 10}])
def test_jpeg_forms(tmp_path: Path, options: dict[str, object]) -> None:
    assert read_image(written(tmp_path, ".jpg", **options)).shape == (HEIGHT, WIDTH, 3)


def test_grey_becomes_three_equal_channels(tmp_path: Path) -> None:
    Image.fromarray(picture()[:, :, 0]).save(tmp_path / "grey.png")
    image = read_image(tmp_path / "grey.png")
    assert all(np.array_equal(image[:, :, c], picture()[:, :, 0]) for c in range(3))


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bits_become_eight(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"deep{suffix}"
    cv2.imwrite(str(path), picture().astype(np.uint16) * 257)
    assert np.abs(read_image(path).astype(int) - picture()).max() <= 1


def test_transparent_becomes_white(tmp_path: Path) -> None:
    alpha = np.zeros((HEIGHT, WIDTH), np.uint8)
    alpha[:, 30:] = 255
    alpha[:10, :30] = 128
    Image.fromarray(np.dstack([picture()[:, :, ::-1], alpha])).save(tmp_path / "alpha.png")
    image = read_image(tmp_path / "alpha.png")
    assert np.all(image[10:, :30] == 255)
    assert np.array_equal(image[:, 30:], picture()[:, 30:])
    mixed = 255 - (255.0 - picture()[:10, :30]) * 128 / 255
    assert np.abs(image[:10, :30] - mixed).max() <= 1


def test_transparent_sixteen_bits(tmp_path: Path) -> None:
    deep = np.dstack([picture(), np.full((HEIGHT, WIDTH), 255, np.uint8)]).astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / "deep.png"), deep)
    assert np.array_equal(read_image(tmp_path / "deep.png"), picture())


MODES: dict[str, Callable[[Image.Image], Image.Image]] = {  # a way to store the pixels -> the picture stored in that way
    "colour": lambda image: image,
    "alpha": lambda image: _with(image, "RGBA"),
    "grey": lambda image: image.convert("L"),
    "grey and alpha": lambda image: _with(image.convert("L"), "LA"),
    "palette": lambda image: image.quantize(128),
    "palette with a transparent colour": lambda image: image.quantize(128),
    "16 bits": lambda image: Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257),
}


def _with(image: Image.Image, mode: str) -> Image.Image:
    """With an alpha channel that is transparent in one corner."""
    alpha = np.full((HEIGHT, WIDTH), 255, np.uint8)
    alpha[: HEIGHT // 2, : WIDTH // 3] = 0
    both = image.convert(mode)
    both.putalpha(Image.fromarray(alpha))
    return both


def seen(data: bytes) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 BGR as Pillow shows it, turned by its EXIF block, on white."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image.convert("RGBA"))
    return np.asarray(white.convert("RGB"))[:, :, ::-1]


CANNOT = {".jpg": set(MODES) - {"colour", "grey"}, ".tiff": {"grey and alpha"}}  # JPEG has no such pixels, OpenCV drops this alpha of TIFF
FORMS = [(suffix, mode) for suffix in (".jpg", ".png", ".webp", ".tiff") for mode in MODES if mode not in CANNOT.get(suffix, ())]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("suffix", "mode"), FORMS)
def test_exif_rotation_is_applied(tmp_path: Path, suffix: str, mode: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = MODES[mode](Image.fromarray(picture()[:, :, ::-1]))
    options: dict[str, object] = {".jpg": {"quality": 95}, ".webp": {"lossless": True, "exact": True}}.get(suffix, {})
    if mode.startswith("palette with"):
        options["transparency"] = 0
    stored.save(tmp_path / f"turned{suffix}", exif=exif, **options)
    image, expected = read_image(tmp_path / f"turned{suffix}"), seen((tmp_path / f"turned{suffix}").read_bytes())
    assert image.shape == expected.shape and image.dtype == np.uint8
    assert np.abs(image.astype(int) - expected).mean() < 2


@pytest.mark.parametrize("damage", [b"", b"II*\0", b"MM\0*\0\0\0\x08\xff\xff", b"II*\0\xff\xff\xff\xff", b"\0" * 40])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_a_damaged_exif_block_turns_nothing(tmp_path: Path, suffix: str, damage: bytes) -> None:
    image = read_image(written(tmp_path, suffix, exif=b"Exif\0\0" + damage, quality=95))
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(image.astype(int) - picture()).mean() < 6


def test_an_exif_block_behind_the_pixels_counts(tmp_path: Path) -> None:
    """PNG allows it at either end."""
    block = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    data = written(tmp_path, ".png").read_bytes()
    chunk = struct.pack(">I", len(block)) + b"eXIf" + block + struct.pack(">I", zlib.crc32(b"eXIf" + block))
    (tmp_path / "late.png").write_bytes(data[:-12] + chunk + data[-12:])
    assert np.array_equal(read_image(tmp_path / "late.png"), np.rot90(picture(), -1))


@pytest.mark.parametrize("suffix", sorted(images.IMAGE_SUFFIXES))
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.97])
def test_truncated(tmp_path: Path, suffix: str, kept: float) -> None:
    path = written(tmp_path, suffix)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(ImageError, match=f"picture{suffix}") as caught:
        read_image(path)
    assert caught.value.code in ("image.incomplete", "image.damaged")


def test_truncated_with_a_thumbnail(tmp_path: Path) -> None:
    """The thumbnail inside the EXIF block is complete, the picture itself is not."""
    small = io.BytesIO()
    Image.fromarray(picture()).save(small, "JPEG")
    comment = b"\xff\xe1" + struct.pack(">H", 2 + len(small.getvalue())) + small.getvalue()
    whole = written(tmp_path, ".jpg").read_bytes()
    path = tmp_path / "thumbnail.jpg"
    path.write_bytes(whole[:2] + comment + whole[2:])
    assert read_image(path).shape == (HEIGHT, WIDTH, 3)
    path.write_bytes((whole[:2] + comment + whole[2:])[:-40])
    with refused("image.incomplete", "thumbnail.jpg"):
        read_image(path)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "image.empty"),
        (b"dear sir, find my photo enclosed\n" * 20, "image"),
        (b"GIF89a" + bytes(40), "image"),
        (b"\xff\xd8", "image.incomplete"),
        (b"\xff\xd8\xff\xe0\x00\x00" * 5, "image.incomplete"),
        (images.PNG_MAGIC, "image.incomplete"),
        (b"BM" + bytes(4), "image.incomplete"),
        (b"II*\0\xff\xff\xff\xff", "image.incomplete"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image.incomplete"),
    ],
)
def test_a_file_without_a_picture_is_refused(tmp_path: Path, content: bytes, code: str) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with refused(code, "photo.jpg"):
        read_image(path)


def headers(width: int, height: int) -> dict[str, bytes]:
    frame = b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", height, width) + b"\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01"
    return {
        "jpg": b"\xff\xd8" + frame + b"\xff\xda\x00\x02",
        "png": images.PNG_MAGIC + b"\0\0\0\rIHDR" + struct.pack(">II", width, height) + b"\x08\x02\0\0\0",
        "bmp": b"BM" + bytes(12) + struct.pack("<Iii", 40, width, -height),
        "tif": b"II*\0\x08\0\0\0\x02\0" + struct.pack("<HHIIHHII", 256, 4, 1, width, 257, 4, 1, height),
        "webp": b"RIFF\0\0\0\0WEBPVP8X" + bytes(8) + (16_383).to_bytes(3, "little") * 2,
    }


@pytest.mark.parametrize("kind", headers(1, 1))
def test_too_large_is_known_before_decoding(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"huge.{kind}"
    path.write_bytes(headers(40_000, 40_000)[kind])
    with refused("image.too_large", f"huge.{kind}", "megapixels"):
        read_image(path)


@pytest.mark.parametrize("kind", ["jpg", "png", "bmp", "tif"])
@pytest.mark.parametrize(("width", "height"), [(40, 0), (0, 40)])
def test_a_side_of_0_px_is_damage(tmp_path: Path, kind: str, width: int, height: int) -> None:
    path = tmp_path / f"nothing.{kind}"
    path.write_bytes(headers(width, height)[kind])
    with refused("image.damaged", f"nothing.{kind}"):
        read_image(path)


def test_too_large_a_file_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "big.jpg", "wb") as file:
        file.truncate(images.MAX_BYTES + 1)  # sparse: takes no space
    with refused("image.too_large", "big.jpg", "MB"):
        read_image(tmp_path / "big.jpg")


def test_missing_and_folder(tmp_path: Path) -> None:
    with refused("image.missing", "nobody.jpg"):
        read_image(tmp_path / "nobody.jpg")
    with refused("image.unreadable", str(tmp_path)):
        read_image(tmp_path)


@pytest.mark.parametrize("options", [{"lossless": True}, {"lossless": False}, {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"}])
def test_webp_sizes(tmp_path: Path, options: dict[str, object]) -> None:
    assert image_size(written(tmp_path, ".webp", **options).read_bytes()) == (WIDTH, HEIGHT)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8),
    kind=st.sampled_from(sorted(images.IMAGE_SUFFIXES)),
)
def test_damage_gives_a_picture_or_a_named_error(tmp_path: Path, flips: list[tuple[float, int]], kind: str) -> None:
    data = bytearray(written(tmp_path, kind).read_bytes())
    for where, value in flips:
        data[int(where * len(data))] = value
    path = tmp_path / f"damaged{kind}"
    path.write_bytes(data)
    try:
        image = read_image(path)
    except ImageError as error:
        assert error.code in ("image", "image.incomplete", "image.damaged", "image.too_large")
        assert str(error).startswith(f"{path}: ")
    else:
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
        stated = sorted(image_size(bytes(data)))
        assert sorted(image.shape[:2]) == stated or (kind in (".heic", ".heif") and sorted(image.shape[:2]) <= stated)  # whole blocks, of which a part is shown
