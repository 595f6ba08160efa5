"""Pictures from files: (H, W, 3) uint8 BGR the right way up, or an error that says what to do.

The size is read from the header before anything is decoded, so that a picture of billions of pixels takes no memory. Where OpenCV would read
another size than this module, its own limit holds (`device/__init__.py`); pictures from others are decoded in a process apart (`picture_process.py`).
"""

from __future__ import annotations

import struct
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from device.contract import ClockfaceError, phrase, phrases
from device.vision import heif, jpeg
from device.vision.exif import PNG_MAGIC, first_directory, turned

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".avif"}) | (heif.HEIC_SUFFIXES if heif.readable() else set())
LITTER = frozenset({  # without case; what archives, systems and network drives put beside people's files
    "__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "recycler", "recycled", "system volume information", "lost+found", "lost.dir",
    "@eadir", "@tmp", "@recycle", "#recycle", "#snapshot", "network trash folder", "temporary items", "icon\r",
})  # fmt: skip
MAX_PIXELS = 50_000_000  # a phone's largest picture; three bytes each once decoded
MAX_BYTES = 256 * 1024 * 1024
ROWS = 64  # blended at a time

NOT_A_PICTURE = phrase("image.no_picture", "is not a JPEG, PNG, WebP, HEIC, AVIF, BMP or TIFF picture; save it as JPEG or PNG")
HEIC = phrase(
    "image.heic",
    "is a HEIC picture, which is read where the package pi-heif is installed; save it as JPEG (an iPhone does: Settings, Camera, Formats, Most Compatible)",
)
INCOMPLETE = phrase("image.incomplete", "is incomplete; copy it again from its source")
DAMAGED = phrase("image.damaged", "is damaged inside; copy it again from its source")


class ImageError(ClockfaceError):
    """A picture file cannot be used; the message names the file and says what to do."""

    code = "image"


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read one picture file.

    The rotation that the file states is applied, 16 bits per channel become 8, grey becomes colour, and transparent pixels become white,
    so that only what a viewer of the picture sees is used.

    Args:
        path: a JPEG, PNG, WebP, HEIC, AVIF, BMP or TIFF file, recognised by its content, not by its name.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        ImageError: missing, unreadable, empty, cut off, not a picture, or more than MAX_PIXELS.
    """
    return picture(bytes_of(path), str(path))


def picture(data: bytes, name: str) -> NDArray[np.uint8]:
    """Decode the bytes of a picture file as `read_image` does; errors call it `name`."""
    try:
        width, height = image_size(data)
    except (struct.error, IndexError) as error:
        raise ImageError(phrases(": ", (name, INCOMPLETE)), code="image.incomplete") from error
    except ValueError as error:
        raise ImageError(phrases(": ", (name, str(error) if not error.args else error.args[0]))) from error
    if width < 1 or height < 1:
        raise ImageError(phrases(": ", (name, DAMAGED)), code="image.damaged")
    if width * height > MAX_PIXELS:
        english = "{width} x {height} pixels, at most {most:.0f} megapixels are accepted; make it smaller"
        words = phrase("image.pixels", english, width=width, height=height, most=MAX_PIXELS / 1e6)
        raise ImageError(phrases(": ", (name, words)), code="image.too_large")
    if not _complete(data):
        raise ImageError(phrases(": ", (name, INCOMPLETE)), code="image.incomplete")
    if data.startswith(jpeg.START) and not jpeg.intact(data):
        raise ImageError(phrases(": ", (name, DAMAGED)), code="image.damaged")
    image = _decode(data)
    if image is None:
        words = phrase("image.kind", "is damaged or of an unsupported kind; save it again as JPEG or PNG")
        raise ImageError(phrases(": ", (name, words)), code="image.damaged")
    return image


def bytes_of(path: Path) -> bytes:
    """The bytes of a picture file, undecoded.

    Raises:
        ImageError: missing, unreadable, empty, or more than MAX_BYTES.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ImageError(f"{path}: {size / 1e6:.0f} MB, at most {MAX_BYTES / 1e6:.0f} MB are accepted; make it smaller", code="image.too_large")
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ImageError(f"{path}: does not exist; check the name", code="image.missing") from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise ImageError(f"{path}: cannot be read ({error}); check that it is a file and that you may read it", code="image.unreadable") from error
    if not data:
        raise ImageError(f"{path}: is empty (0 bytes); copy it again from its source", code="image.empty")
    return data


def is_litter(path: str) -> bool:
    """Whether a file is what systems leave behind, beside people's photos: ._x.jpg, .thumbnails, .Trash-1000, __MACOSX, #recycle, Thumbs.db."""
    parts = [part for part in PurePosixPath(path).parts if part not in ("..", "/")]
    return any(part.startswith(".") or part.casefold() in LITTER for part in parts)


def _decode(data: bytes) -> NDArray[np.uint8] | None:
    if heif.starts(data) and heif.is_heic(data):
        image = heif.decoded(data)  # turned already
        return _over_white(image) if image is not None and image.shape[2] == 4 else image
    try:
        image = _as_stored(data)
    except cv2.error:
        return None
    if image is None:
        return None
    return heif.turned(image, data) if heif.starts(data) else turned(image, data)


def _as_stored(data: bytes) -> NDArray[np.uint8] | None:
    """(H, W, 3) uint8 BGR before any rotation, except of TIFF, which OpenCV always rotates."""
    buffer = np.frombuffer(data, dtype=np.uint8)
    if not data.startswith(jpeg.START):  # JPEG has no alpha
        image = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED)
        if image is not None and image.ndim == 3 and image.shape[2] == 4:
            return _over_white(image)
    return cv2.imdecode(buffer, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)  # type: ignore[return-value]  # None where it cannot be decoded


def _over_white(image: NDArray[np.generic]) -> NDArray[np.uint8]:
    """(H, W, 4) BGRA of 8 or 16 bits -> (H, W, 3) uint8 BGR on a white background; some rows at a time, for a float takes four bytes."""
    full = 255 if image.dtype == np.uint8 else 65535
    result = np.empty((*image.shape[:2], 3), np.uint8)
    for start in range(0, len(image), ROWS):
        scaled = image[start : start + ROWS].astype(np.float32) / full
        colour, alpha = scaled[:, :, :3], scaled[:, :, 3:]
        result[start : start + ROWS] = np.rint(255 * (colour * alpha + 1 - alpha))
    return result


def image_size(data: bytes) -> tuple[int, int]:
    """Width and height in px as the header of a picture file states them, before rotation.

    Raises:
        ValueError: not a known kind of picture.
        struct.error, IndexError: the header is cut off.
    """
    if data.startswith(jpeg.START):
        return jpeg.size(data)
    if data.startswith(PNG_MAGIC):
        width, height = struct.unpack_from(">II", data, 16)
        return width, height
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp_size(data)
    if data[:2] == b"BM":
        width, height = struct.unpack_from("<ii", data, 18)
        return width, abs(height)  # a negative height means top to bottom
    if data[:4] in (b"II*\0", b"MM\0*"):
        return _tiff_size(data)
    if heif.starts(data):
        return _heif_size(data)
    raise ValueError(NOT_A_PICTURE)


def _heif_size(data: bytes) -> tuple[int, int]:
    if heif.is_heic(data) and not heif.readable():
        raise ValueError(HEIC)
    if not heif.is_heic(data) and not heif.is_avif(data):
        raise ValueError(NOT_A_PICTURE)
    return heif.size(data)


def _webp_size(data: bytes) -> tuple[int, int]:
    """The size as the WebP container specification stores it (RFC 9649, sections 2.5 to 2.7)."""
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def _tiff_size(data: bytes) -> tuple[int, int]:
    """The size in tags 256 and 257 of the first directory (TIFF 6.0, section 2). A tag that stands twice is refused: readers differ in which they take."""
    tags = first_directory(data, (256, 257), once=True)
    return tags.get(256, 0), tags.get(257, 0)


def _complete(data: bytes) -> bool:
    """Whether the file has its end: decoders fill missing parts with grey and report nothing."""
    if data.startswith(jpeg.START):
        return jpeg.ends(data)
    if data.startswith(PNG_MAGIC):
        return data.rfind(b"IEND") >= 0
    if data[:4] == b"RIFF":
        return len(data) >= 8 + int(struct.unpack_from("<I", data, 4)[0])
    if heif.starts(data):
        return heif.complete(data)
    return True  # BMP and TIFF decoders refuse a short file themselves
