"""HEIF files (ISO/IEC 23008-12): HEIC, as phones write it, decoded by libheif; and which way up an AVIF picture is shown.

HEIC stores its rotation in the boxes `irot` and `imir`, which libheif applies. An EXIF block beside them repeats it for information and is not read
(section 6.5.10): otherwise the picture would be turned twice. OpenCV decodes AVIF, but does not look at these boxes.
"""

from __future__ import annotations

import importlib.util
import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

HEIC_SUFFIXES = frozenset({".heic", ".heif"})
AVIF_BRANDS, HEIC_BRANDS = (b"avif", b"avis"), (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")
PACKAGE = "pi_heif"  # libheif and libde265 without an encoder, LGPL-3.0
SIZE_BYTES = 100_000  # the properties stand before the pixels


def starts(data: bytes) -> bool:
    return data[4:8] == b"ftyp"


def is_avif(data: bytes) -> bool:
    return any(brand in _brands(data) for brand in AVIF_BRANDS)


def is_heic(data: bytes) -> bool:
    return not is_avif(data) and any(brand in _brands(data) for brand in HEIC_BRANDS)


def _brands(data: bytes) -> bytes:
    return data[8 : min(int.from_bytes(data[:4], "big"), 256)]


def readable() -> bool:
    """Whether the package that decodes HEIC is installed."""
    return importlib.util.find_spec(PACKAGE) is not None


def size(data: bytes) -> tuple[int, int]:
    """The largest size that a property `ispe` states (section 6.5.3): that of the whole picture, which parts and a thumbnail stay below."""
    head, sizes, at = data[:SIZE_BYTES], [], 0
    while (at := head.find(b"ispe", at)) >= 0:
        sizes.append(struct.unpack_from(">II", head, at + 8))
        at += 4
    return max(sizes, key=lambda one: one[0] * one[1]) if sizes else (0, 0)


def complete(data: bytes) -> bool:
    """Whether the file is as long as its boxes say: a decoder paints what is missing grey."""
    return max((end for _, _, end in _boxes(data, 0, len(data))), default=0) == len(data)


def decoded(data: bytes) -> NDArray[np.uint8] | None:
    """A HEIC file -> (H, W, 3 or 4) uint8 BGR or BGRA, the right way up; None where it is damaged, or larger than its boxes say."""
    import pi_heif  # brings Pillow, which only the process that reads pictures loads

    pi_heif.options.DECODE_THREADS = 1
    pi_heif.options.THUMBNAILS = pi_heif.options.DEPTH_IMAGES = pi_heif.options.AUX_IMAGES = False
    try:
        file = pi_heif.open_heif(data, convert_hdr_to_8bit=True, bgr_mode=True)
        if any(own > stated for own, stated in zip(sorted(file.size), sorted(size(data)), strict=True)):
            return None
        image = np.array(np.asarray(file)[:, : file.size[0]])  # a copy: the pixels end with the file
    except (ValueError, EOFError, SyntaxError, RuntimeError, OSError, IndexError):
        return None
    return np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image


def turned(image: NDArray[np.uint8], data: bytes) -> NDArray[np.uint8]:
    """(H, W, 3) as stored in an AVIF file -> (H, W, 3) or (W, H, 3), the right way up."""
    for kind, value in _turns(data):
        image = np.rot90(image, value & 3) if kind == b"irot" else image[:, ::-1] if value & 1 else image[::-1]
    return np.ascontiguousarray(image)


def _turns(data: bytes) -> list[tuple[bytes, int]]:
    """The rotations and mirrorings of the primary picture, in the order in which they apply; none where the boxes are damaged."""
    try:
        meta = _inside(data, 0, len(data), b"meta", 4)
        primary = _primary(data, *_inside(data, *meta, b"pitm"))
        both = _inside(data, *meta, b"iprp")
        properties = list(_boxes(data, *_inside(data, *both, b"ipco")))
        chosen = [properties[index - 1] for index in _associated(data, _inside(data, *both, b"ipma")[0], primary) if index]
        return [(kind, data[start]) for kind, start, _ in chosen if kind in (b"irot", b"imir")]
    except (struct.error, IndexError, StopIteration):
        return []


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The boxes that follow each other in a part of the file: kind, start of the content, end. (ISO/IEC 14496-12, section 4.2)"""
    while start + 8 <= end:
        length, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if length == 1:
            length, head = struct.unpack_from(">Q", data, start + 8)[0], 16
        after = end if length == 0 else start + length
        if after < start + head:
            raise IndexError("a box that is shorter than its head")
        yield kind, start + head, after
        start = after


def _inside(data: bytes, start: int, end: int, wanted: bytes, skip: int = 0) -> tuple[int, int]:
    """Where the content of the first box of a kind lies."""
    return next((begin + skip, after) for kind, begin, after in _boxes(data, start, end) if kind == wanted)


def _primary(data: bytes, start: int, end: int) -> int:
    return int(struct.unpack_from(">I" if data[start] else ">H", data, start + 4)[0])


def _associated(data: bytes, start: int, item: int) -> list[int]:
    """The properties of an item by their number from 1, in order (section 9.3.1)."""
    large, long = data[start] > 0, data[start + 3] & 1
    at = start + 8
    for _ in range(struct.unpack_from(">I", data, start + 4)[0]):
        this, count = struct.unpack_from(">IB" if large else ">HB", data, at)
        at += 5 if large else 3
        numbers = [value & (0x7FFF if long else 0x7F) for value in struct.unpack_from(f">{count}{'H' if long else 'B'}", data, at)]
        if this == item:
            return numbers
        at += count * (2 if long else 1)
    return []
