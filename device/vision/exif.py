"""Which way up a picture file is shown: the orientation in its EXIF block (CIPA DC-008, tag 274) in JPEG, PNG and WebP.

OpenCV turns pictures itself, but none that it is asked for with their alpha channel; so it is told to turn none.
TIFF is not read here: its decoder turns by the same tag in every case.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterator

import numpy as np
from numpy.typing import NDArray

from device.vision import jpeg

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
ORIENTATION = 274
PREFIX = b"Exif\0\0"

TURNS: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {  # orientation -> the stored (H, W, 3) picture the right way up
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: image[::-1].transpose(1, 0, 2),
    7: lambda image: image[::-1, ::-1].transpose(1, 0, 2),
    8: lambda image: image[:, ::-1].transpose(1, 0, 2),
}


def turned(image: NDArray[np.uint8], data: bytes) -> NDArray[np.uint8]:
    """(H, W, 3) as stored in the bytes of a picture file -> (H, W, 3) or (W, H, 3), the right way up."""
    turn = TURNS.get(orientation(data))
    return image if turn is None else np.ascontiguousarray(turn(image))


def orientation(data: bytes) -> int:
    """1 (as stored) to 8; 1 where a picture file does not say, or has a damaged EXIF block."""
    try:
        block = next(_blocks(data), b"").removeprefix(PREFIX)
        return first_directory(block, {ORIENTATION}).get(ORIENTATION, 1) if block else 1
    except (struct.error, IndexError):
        return 1


def first_directory(block: bytes, wanted: Collection[int], once: bool = False) -> dict[int, int]:
    """The values of the wanted tags in the first directory of a TIFF file, which an EXIF block is (TIFF 6.0, section 2).

    Args:
        once: every tag must stand there once, and the wanted ones must be one SHORT or LONG each.

    Raises:
        struct.error: the directory is cut off.
        ValueError: with `once`, the directory is not so.
    """
    order = "<" if block[:2] == b"II" else ">"
    start = struct.unpack_from(order + "I", block, 4)[0]
    values: dict[int, int] = {}
    seen: set[int] = set()
    for entry in range(struct.unpack_from(order + "H", block, start)[0]):
        at = start + 2 + 12 * entry
        tag, kind, count = struct.unpack_from(order + "HHI", block, at)
        if once and (tag in seen or (tag in wanted and (kind not in (3, 4) or count != 1))):
            raise ValueError("is a TIFF with a doubtful directory; save it as JPEG or PNG")
        seen.add(tag)
        if tag in wanted:
            values[tag] = struct.unpack_from(order + ("H" if kind == 3 else "I"), block, at + 8)[0]
    return values


def _blocks(data: bytes) -> Iterator[bytes]:
    """The EXIF blocks of a picture file."""
    if data.startswith(jpeg.START):
        for segment in jpeg.segments(data):
            if segment.marker == jpeg.APP1 and data.startswith(PREFIX, segment.start + 2):
                yield data[segment.start + 2 : segment.end]
    elif data.startswith(PNG_MAGIC):
        yield from _png_blocks(data)
    elif data[:4] == b"RIFF":
        yield from _webp_blocks(data)


def _png_blocks(data: bytes) -> Iterator[bytes]:
    at = len(PNG_MAGIC)
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"eXIf":
            yield data[at + 8 : at + 8 + length]
        at += 12 + length  # with its check sum


def _webp_blocks(data: bytes) -> Iterator[bytes]:
    at = 12
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        if kind == b"EXIF":
            yield data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2  # padded to an even length
