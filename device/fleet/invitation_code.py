"""An invitation as QR codes, for a terminal whose camera is the quickest way in.

Small codes are read from far and at an angle, large ones are not: a text of more than `LONGEST` characters is split over several, which may be
shown and read in any order. Each begins with `clockface:1/3:` and the start of the SHA-256 of the whole, so that two invitations never mix.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from device.fleet.owner import Invitation
from device.fleet.server import FleetError

LONGEST = 220  # characters of the text in one code, 61 modules a side with its head (ISO/IEC 18004, version 11, level M)
MARGIN = 4  # modules of white around a code, as the standard asks
SCALE = 8  # px per module in a picture
PART = re.compile(r"clockface:(\d+)/(\d+):([0-9a-f]{8}):(.*)", re.DOTALL)
PEM = re.compile(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)
BEGIN, END = "-----BEGIN CERTIFICATE-----\n", "\n-----END CERTIFICATE-----\n"
Bits = NDArray[np.uint8]


def parts(invitation: Invitation) -> list[str]:
    """The texts of the codes, in order."""
    fields = asdict(invitation)
    fields["authority"] = [re.sub(r"\s", "", body) for body in PEM.findall(invitation.authority)]
    text = json.dumps(list(fields.values()), separators=(",", ":"), ensure_ascii=True)
    pieces = [text[at : at + LONGEST] for at in range(0, len(text), LONGEST)]
    return [f"clockface:{number}/{len(pieces)}:{_tag(text)}:{piece}" for number, piece in enumerate(pieces, 1)]


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


class CodeReader:
    """Collects the codes of one invitation from pictures until it is whole."""

    def __init__(self) -> None:
        self._found: dict[str, dict[int, str]] = {}
        self._detector = cv2.QRCodeDetectorAruco()  # reads codes at an angle that QRCodeDetector misses

    @property
    def found(self) -> int:
        """How many codes were read so far."""
        return max((len(pieces) for pieces in self._found.values()), default=0)

    def take(self, image: Bits) -> Invitation | None:
        """Read the codes in a picture, (H, W, 3) or (H, W) uint8; the invitation once all of its codes were seen."""
        for text in self._texts(image):
            if part := PART.fullmatch(text):
                number, count, tag, piece = part.groups()
                pieces = self._found.setdefault(tag, {})
                pieces[int(number)] = piece
                whole = "".join(pieces[number] for number in sorted(pieces))
                if len(pieces) == int(count) and _tag(whole) == tag:
                    return _invitation(whole)
        return None

    def _texts(self, image: Bits) -> Sequence[str]:
        try:
            return self._detector.detectAndDecodeMulti(image)[1]
        except cv2.error:  # of a picture in which something looks like a code
            return []


def _invitation(text: str) -> Invitation:
    try:
        fields: dict[str, Any] = dict(zip(Invitation.__dataclass_fields__, json.loads(text), strict=True))
        bodies = [base64.b64encode(base64.b64decode(body)).decode() for body in fields["authority"]]
    except ValueError as error:
        raise FleetError(f"this code is no invitation ({error}); make one with `python -m device fleet invite --qr`", code="fleet.invitation") from error
    fields["authority"] = "".join(BEGIN + "\n".join(body[at : at + 64] for at in range(0, len(body), 64)) + END for body in bodies)
    return Invitation(**fields)
