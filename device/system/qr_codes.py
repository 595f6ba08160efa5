"""A text as QR codes, for a terminal whose camera is the quickest way in.

Small codes are read from far and at an angle, large ones are not: a text of more than `LONGEST` characters is split over several, which may be
shown and read in any order. Each begins with what the text is for, its place, such as `:1/3:`, and the start of the SHA-256 of the whole, so that
the codes of two texts never mix.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

LONGEST = 220  # characters of the text in one code, 61 modules a side with its head (ISO/IEC 18004, version 11, level M)
MOST_PARTS = 40  # of one text
MOST_TEXTS = 4  # that are collected at a time; whoever shows more begins anew
MARGIN = 4  # modules of white around a code, as the standard asks
SCALE = 8  # px per module in a picture
Bits = NDArray[np.uint8]


def parts(text: str, head: str) -> list[str]:
    """The texts of the codes, in order."""
    pieces = [text[at : at + LONGEST] for at in range(0, len(text), LONGEST)]
    return [f"{head}:{number}/{len(pieces)}:{_tag(text)}:{piece}" for number, piece in enumerate(pieces, 1)]


def _tag(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def modules(text: str) -> Bits:
    """(N, N) uint8, 0 black and 255 white, one value per module, with its white margin."""
    asked = cv2.QRCodeEncoder.Params()
    asked.mode, asked.correction_level = cv2.QRCODE_ENCODER_MODE_BYTE, cv2.QRCODE_ENCODER_CORRECT_LEVEL_M
    code = np.asarray(cv2.QRCodeEncoder.create(asked).encode(text), np.uint8)
    dark = np.argwhere(code == 0)
    (top, left), (bottom, right) = dark.min(axis=0), dark.max(axis=0)
    return np.pad(code[top : bottom + 1, left : right + 1], MARGIN, constant_values=255)


def picture(texts: Sequence[str]) -> bytes:
    """A PNG with the codes one below the other."""
    codes = [modules(text) for text in texts]
    width = max(code.shape[1] for code in codes)
    stack = np.vstack([np.pad(code, ((0, 0), (0, width - code.shape[1])), constant_values=255) for code in codes])
    done, data = cv2.imencode(".png", np.kron(stack, np.ones((SCALE, SCALE), np.uint8)))
    assert done
    return data.tobytes()


def drawn(text: str) -> str:
    """The code for a terminal window: two modules per character, black on white whatever the colours there are."""
    code = modules(text)
    rows = np.pad(code, ((0, len(code) % 2), (0, 0)), constant_values=255)
    glyphs = {(0, 0): " ", (0, 255): "▄", (255, 0): "▀", (255, 255): "█"}  # white on black
    lines = ["".join(glyphs[int(up), int(down)] for up, down in zip(*pair, strict=True)) for pair in zip(rows[::2], rows[1::2], strict=True)]
    return "\n".join(f"\033[97;40m{line}\033[0m" for line in lines)


class PartsReader:
    """Collects the codes of one text from pictures until it is whole.

    Args:
        head: of the codes that are looked for.
    """

    def __init__(self, head: str) -> None:
        self._part = re.compile(re.escape(head) + r":(\d{1,2})/(\d{1,2}):([0-9a-f]{8}):(.*)", re.DOTALL)
        self._found: dict[tuple[str, int], dict[int, str]] = {}  # by tag and number of codes
        self._detector = cv2.QRCodeDetectorAruco()  # reads codes at an angle that QRCodeDetector misses
        self.foreign = False  # whether the last picture showed a code of something else, and none that is looked for
        self.torn = False  # whether the codes in the last picture completed a text that is not the one they were made of

    @property
    def found(self) -> int:
        """How many codes of one text were read so far."""
        return max((len(pieces) for pieces in self._found.values()), default=0)

    @property
    def wanted(self) -> int:
        """How many codes the text has of which most were read; 0 before the first."""
        return max(((len(pieces), count) for (_, count), pieces in self._found.items()), default=(0, 0))[1]

    def take(self, image: Bits) -> str | None:
        """Read the codes in a picture, (H, W, 3) or (H, W) uint8; the text once all of its codes were seen."""
        texts = [text for text in self._texts(image) if text]
        matched = [found for text in texts if (found := self._part.fullmatch(text))]
        self.foreign, self.torn = bool(texts) and not matched, False
        for found in matched:
            number, count, tag, piece = int(found[1]), int(found[2]), found[3], found[4]
            if 1 <= number <= count <= MOST_PARTS and (whole := self._whole(number, count, tag, piece)) is not None:
                return whole
        return None

    def _whole(self, number: int, count: int, tag: str, piece: str) -> str | None:
        if (tag, count) not in self._found and len(self._found) >= MOST_TEXTS:
            self._found.clear()
        pieces = self._found.setdefault((tag, count), {})
        pieces[number] = piece
        if len(pieces) < count:
            return None
        whole = "".join(pieces[number] for number in sorted(pieces))
        if _tag(whole) == tag:
            return whole
        self.torn = True
        del self._found[tag, count]
        return None

    def _texts(self, image: Bits) -> Sequence[str]:
        try:
            return self._detector.detectAndDecodeMulti(image)[1]
        except (cv2.error, UnicodeError, SystemError):  # of a picture in which something looks like a code, or of one whose content is no text
            return []
