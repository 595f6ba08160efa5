"""The parts of a JPEG file (ITU-T T.81, annex B), and whether its compressed data is whole. Nothing is decoded here."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np

from device.vision.jpeg_warnings import SPARE, complaint

START = b"\xff\xd8"
APP1 = 0xE1
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
BASELINE = (0xC0, 0xC1)  # its one scan is decoded row by row; a progressive file only when it has ended
SCAN, RESTARTS, END = 0xDA, 0xDD, 0xD9
PREFETCH = bytes(8)  # a decoder reads this far ahead before it uses the last bit


class Segment(NamedTuple):
    marker: int
    start: int  # offset of its length field
    end: int  # offset behind its last byte
    scan_end: int  # of a start of scan: offset behind the compressed data that follows it; else as `end`


def segments(data: bytes) -> Iterator[Segment]:
    """The segments up to the end of the picture, one after another; an EXIF thumbnail, which has segments of its own, lies inside one of them.

    Raises:
        IndexError, struct.error: the file is cut off, or something else stands where a marker must be.
    """
    at, restarts = len(START), False
    while True:
        marker, start = _marker(data, at)
        if marker == END:
            return
        end = start + struct.unpack_from(">H", data, start)[0]
        restarts |= marker == RESTARTS and data[start + 2 : end] != b"\0\0"
        at = _scan_end(data, end, restarts) if marker == SCAN else end
        yield Segment(marker, start, end, at)


def size(data: bytes) -> tuple[int, int]:
    """Width and height in px as the frame header states them."""
    height, width = struct.unpack_from(">HH", data, _frame(data).start + 3)
    return width, height


def ends(data: bytes) -> bool:
    """Whether the end marker of the picture is there; that of a thumbnail is none."""
    return data.rfind(bytes([0xFF, END]), _frame(data).end) >= 0


def intact(data: bytes) -> bool:
    """Whether the compressed data is as long as the picture needs, with no marker where none may be.

    A decoder that misses data paints grey, one that has too much drops it, and OpenCV tells neither. But without the end
    marker OpenCV refuses a picture whose last rows have no data: so the scan alone must do, and a shorter scan must not.
    A progressive file, one with several scans, and any file under an OpenCV that does not refuse, is judged by its markers, and in the process apart that reads
    pictures by what libjpeg says: each scan must end where the next marker stands, and have no code that means nothing (`device/vision/jpeg_warnings.py`).
    """
    try:
        found = list(segments(data))
    except (IndexError, struct.error):
        return False
    scans = [segment for segment in found if segment.marker == SCAN]
    if len(scans) != 1 or not any(segment.marker in BASELINE for segment in found) or not _refuses_missing_rows():
        return bool(scans) and not complaint(lambda: _decodes(data))
    scan = data[: scans[0].scan_end]
    return _decodes(scan + PREFETCH) and not _decodes(scan[:-SPARE])


def _frame(data: bytes) -> Segment:
    frame = next((segment for segment in segments(data) if segment.marker in FRAMES), None)
    if frame is None:
        raise IndexError("no frame header")
    return frame


def _marker(data: bytes, at: int) -> tuple[int, int]:
    """The marker at an offset, and the offset behind it."""
    if data[at] != 0xFF:
        raise IndexError("a marker is missing")
    while data[at] == 0xFF:  # any number of fill bytes
        at += 1
    if data[at] < 0xC0 or 0xD0 <= data[at] <= 0xD8:
        raise IndexError("a marker that begins no segment")
    return data[at], at + 1


def _scan_end(data: bytes, at: int, restarts: bool) -> int:
    """Where the compressed data that begins at an offset ends: at a marker other than the restart marker whose turn it is."""
    turn = 0
    while (at := data.find(b"\xff", at)) >= 0:
        if restarts and data[at + 1] == 0xD0 + turn:
            turn = (turn + 1) % 8
        elif data[at + 1] != 0:  # not a byte 0xFF of the data
            return at
        at += 2
    raise IndexError("the compressed data does not end")


def _decodes(data: bytes) -> bool:
    """Whether every row has data; at an eighth of the size, where decoding is mostly reading."""
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_COLOR_8 | cv2.IMREAD_IGNORE_ORIENTATION) is not None
    except cv2.error:
        return False


@cache
def _refuses_missing_rows() -> bool:
    """Whether this OpenCV refuses a picture whose last rows have no data (4.10 repeats the row before)."""
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    return not _decodes(cv2.imencode(".jpg", noise)[1].tobytes()[:-1000])
