"""Is a face upright? The detector decides: it scores an upright face higher than the same face turned.

Landmarks cannot tell, because YuNet places them in upright order on an inverted face as well; neither pose nor alignment nor
the embedder notices, and everybody then looks like somebody else (docs/experiments-device.md).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from device.config import CameraSettings
from device.contract import phrase
from device.vision.camera.frame import turned
from device.vision.detector import Detector, Face, overlap, resized

TURNS = (0, 90, 180, 270)  # degrees clockwise that make a face upright
UNCLEAR = -1  # in place of such a turn: none has a clear lead
CLEAR = 0.01  # lead of the best turn's score over the others; upright faces lead by 0.023 and more, inverted ones trail by 0.018 and more
SIDES = (96, 128)  # px of the surroundings as the detector sees them; the larger ones only where the smaller ones leave it unclear
REACH = 1.6  # their side in sides of the face's box
CLEAN = 0.9  # a lower best score is checked aslant as well
ASLANT = {135: 0.0, 225: 0.0}  # degrees -> lead over the best turn by which a face is aslant
ASLANT_PHOTO = {45: 0.04, **ASLANT, 315: 0.04}  # of a photo, which may be turned by half a quarter; upright faces trail by 0.06 and more there
CENTRAL = 0.2  # sides of the surroundings that a face found there may be off their middle

SEARCHED = (180, 90, 270)  # one after the other
SEARCH_SECONDS = 1.5  # without a look at a face, the whole frame is searched at one of the other turns
SURE = 0.8  # score of a face that is found there, or that shows the camera to be upright
LOOKS, ENOUGH, SHARE = 12, 3, 0.75  # latest looks that count; of one turn in them, as a number and as a share of all
SPAN_SECONDS, REMEMBERED_SECONDS = 1.0, 3600.0  # between the first and the last look of that turn; a look is forgotten after
SAME_PLACE = 0.9  # overlap from which a turned face has not moved: a poster counts once


def turn_of(detector: Detector, image: NDArray[np.uint8], face: Face, photo: bool = False) -> int:
    """Degrees clockwise by which the picture must be turned so that this face is upright, or UNCLEAR.

    Args:
        image: (H, W, 3) uint8 BGR.
        face: in px of the image.
        photo: one that is turned by half a quarter is UNCLEAR as well. Its landmarks are placed as on a face that leans less, so its embedding is nobody's.
            Before a camera somebody may lean the head, and stands straight when asked.
    """
    for px in SIDES:
        scores = {turn: central_score(detector, surroundings(image, face, px, turn)) for turn in TURNS}
        second, best = sorted(scores, key=lambda turn: scores[turn])[-2:]
        if scores[best] - scores[second] >= CLEAR:
            return best if scores[best] >= CLEAN or not _slanted(detector, image, face, px, best, scores[best], photo) else UNCLEAR
    return UNCLEAR


def _slanted(detector: Detector, image: NDArray[np.uint8], face: Face, px: int, turn: int, score: float, photo: bool) -> bool:
    """Whether a poor view is better aslant: a head that leans in a picture that hangs upside down, or a photo turned by half a quarter."""
    leads = ASLANT_PHOTO if photo else ASLANT
    return any(central_score(detector, surroundings(image, face, px, turn + aslant)) > score + lead for aslant, lead in leads.items())


def surroundings(image: NDArray[np.uint8], face: Face, px: int, turn: int) -> NDArray[np.uint8]:
    """(px, px, 3) around a face, turned clockwise, and levelled by the lean of its eyes, so that a head that leans is compared as an upright one."""
    side = REACH * max(face.box[2:])
    fold = max(1, int(side // px))  # a whole factor is averaged afterwards
    dx, dy = (face.landmarks[1] - face.landmarks[0]).tolist()
    lean = float(np.degrees(np.arctan2(dy, dx)))
    matrix: NDArray[Any] = cv2.getRotationMatrix2D(face.centre, lean - 90 * round(lean / 90) - turn, px * fold / side)
    matrix[:, 2] += px * fold / 2 - np.array(face.centre)
    around = cv2.warpAffine(image, matrix, (px * fold, px * fold), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return resized(around, (px, px)) if fold > 1 else np.asarray(around, np.uint8)


def central_score(detector: Detector, around: NDArray[np.uint8]) -> float:
    """The detector's score of the face in the middle of its surroundings; 0 without one."""
    px = len(around)
    found = detector.find(around, (px, px))
    return max((face.score for face in found if max(abs(at - px / 2) for at in face.centre) < CENTRAL * px), default=0.0)


def placed_back(face: Face, turn: int, width: int, height: int) -> Face:
    """A face found in a picture (width x height px) after it was turned clockwise by `turn`, in px of that picture as it was."""
    origin = np.array({0: (0, 0), 90: (0, height), 180: (width, height), 270: (width, 0)}[turn], np.float32)  # where (0, 0) of the turned picture was
    step = {0: (1, 0), 90: (0, -1), 180: (-1, 0), 270: (0, 1)}[turn]  # where a step in its x leads; one in its y leads a quarter further
    back = np.array([step, (-step[1], step[0])], np.float32)
    x, y, w, h = face.box
    corners = np.array([(x, y), (x + w, y + h)], np.float32) @ back + origin
    (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    return Face((left, top, right - left, bottom - top), face.landmarks @ back + origin, face.score)


@dataclass(frozen=True)
class Look:
    """What one look at one face showed."""

    turn: int  # of TURNS, or UNCLEAR
    box: tuple[float, float, float, float]
    time: float  # s
    score: float  # the detector's, of the face as it is in the frame


class Hanging:
    """Whether the camera hangs turned, from looks at several faces over time. Pure but for the detector it is handed."""

    def __init__(self) -> None:
        self._looks: deque[Look] = deque(maxlen=LOOKS)
        self._looked = float("-inf")  # s; also a search
        self._next = 0  # index in SEARCHED

    def see(self, detector: Detector, image: NDArray[np.uint8], now: float, looks: Iterable[Look]) -> None:
        """Take in the looks of one frame; without any for some time, search the whole frame at one other turn.

        A sideways face is often not found at all in the frame as it is, so nobody would look at it.
        """
        for look in looks:
            self.add(look)
        if not 0 <= now - self._looked < SEARCH_SECONDS:
            self._looked = now
            self._search(detector, image, now)

    def add(self, look: Look) -> None:
        """One look; a turned face that has not moved since an earlier look counts once."""
        self._looked = look.time
        doubtful = look.turn == UNCLEAR or (look.turn == 0 and look.score < SURE)  # a face printed on a shirt is found as well
        if doubtful or (look.turn and any(old.turn == look.turn and overlap(old.box, look.box) > SAME_PLACE for old in self._looks)):
            return
        self._looks.append(look)

    def turn(self, now: float) -> int:
        """Degrees clockwise by which the picture must be turned to be upright; 0 where it is, or where too little was seen."""
        recent = [look for look in self._looks if abs(now - look.time) < REMEMBERED_SECONDS]
        times = {turn: [look.time for look in recent if look.turn == turn] for turn in TURNS}
        turn = max(TURNS, key=lambda one: len(times[one]))
        found = times[turn]
        sure = len(found) >= max(ENOUGH, SHARE * len(recent)) and max(found) - min(found) >= SPAN_SECONDS
        return turn if sure else 0

    def _search(self, detector: Detector, image: NDArray[np.uint8], now: float) -> None:
        if look := upright_at(detector, image, SEARCHED[self._next], now):
            self.add(look)
        else:
            self._next = (self._next + 1) % len(SEARCHED)


def upright_at(detector: Detector, image: NDArray[np.uint8], turn: int, now: float) -> Look | None:
    """The largest face of the frame once it is turned clockwise by `turn`, where there is one and it is upright then."""
    picture = turned(image, turn)
    faces = [face for face in detector.detect(picture) if face.score >= SURE]
    return Look(turn, faces[0].box, now, faces[0].score) if faces and turn_of(detector, picture, faces[0]) == 0 else None


def remedy(turn: int, camera: CameraSettings) -> str:
    """What to do about a camera that hangs turned, in words; "" for one that does not."""
    rotate = (camera.rotate + (-turn if camera.mirror else turn)) % 360
    if not turn:
        return ""
    return phrase("camera.turned", "the camera hangs turned by {turn} degrees; set [camera] rotate = {rotate}", turn=turn, rotate=rotate)


def turned_words(turn: int) -> str:
    """What was done to a photo, for the person who gave it."""
    return phrase("photo.turned", "the picture was turned by {turn} degrees to be upright", turn=turn)
