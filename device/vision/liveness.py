"""Is it a person, or a picture of one? A liveness model judges frames with their surroundings; several pictures of one track decide.

What gives a phone or a print away lies around the face, so the tight crop that is embedded is never judged. The gate fails closed: a picture
that cannot be judged counts for nothing, and without enough of them nobody is let through. docs/liveness.md says what was measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from device.config import LivenessSettings
from device.contract import LIVENESS_KEY, ClockfaceError, ContractError, LivenessCard, LivenessCrop
from device.vision import catalogue
from device.vision.detector import Face
from device.vision.embedder import open_session

Box = tuple[float, float, float, float]
State = Literal["undecided", "live", "refused"]

OUTPUT = "liveness"


class LivenessError(ClockfaceError):
    """The liveness model cannot be used with these settings."""

    code = "liveness"


@dataclass(frozen=True)
class Judgement:
    """What one picture showed."""

    score: float | None  # 0..1, 1 a living face; None: not judged
    reason: str = ""  # why not: "step_back" where the surroundings are not in the frame, "not_judged" where the model gave no number


STEP_BACK, NOT_JUDGED = Judgement(None, "step_back"), Judgement(None, "not_judged")


class LivenessModel:
    """A liveness model that keeps the contract.

    Args:
        path: verified .onnx file, see `device.vision.catalogue.path`.
        threads: per run.

    Raises:
        ContractError: no card, or a graph that does not match it.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        self._session = open_session(path, threads)
        text = self._session.get_modelmeta().custom_metadata_map.get(LIVENESS_KEY)
        if text is None:
            raise ContractError(f"{path} has no liveness card; adopt it with `python -m export adopt-liveness`", code="contract.card")
        self.card = LivenessCard.from_json(text)
        expected = {crop.input: ["tensor(uint8)", crop.size, crop.size, 3] for crop in self.card.crops}
        found = {value.name: [value.type, *value.shape[1:]] for value in self._session.get_inputs()}
        outputs = [value.name for value in self._session.get_outputs()]
        if found != expected or outputs != [OUTPUT]:
            raise ContractError(f"{path}: expected inputs {expected} and output {OUTPUT!r}, got {found} and {outputs}", code="contract.graph")

    def judge(self, image: NDArray[np.uint8], face: Face) -> Judgement:
        """Judge one picture.

        Args:
            image: the whole frame, (H, W, 3) uint8 BGR.
            face: in px of the frame.
        """
        height, width = image.shape[:2]
        if not context(face.box, width, height) >= self.card.min_context:  # NaN as well
            return STEP_BACK
        crops = {crop.input: surroundings(image, face.box, crop)[None] for crop in self.card.crops}
        score = float(self._session.run([OUTPUT], crops)[0][0])
        return Judgement(score) if 0.0 <= score <= 1.0 else NOT_JUDGED


def open_liveness(settings: LivenessSettings) -> LivenessModel | None:
    """The liveness model in the settings; None where nothing is judged.

    Raises:
        ModelError: the file is missing or is not the expected one.
        ContractError: the model breaks the contract.
        LivenessError: it is to be enforced, and its card states no threshold or no error rates.
    """
    if settings.mode == "off":
        return None
    model = LivenessModel(catalogue.path(settings.model, settings.sha256, "liveness"))
    if settings.mode == "enforce":
        check_measured(model.card)
    return model


def check_measured(card: LivenessCard) -> None:
    """Refuse a model that cannot be enforced.

    Raises:
        LivenessError: its card states no threshold or no error rates.
    """
    if card.threshold is None or not card.measured:
        wanted = 'measure it with `python -m device liveness-trial`, or set [liveness] mode = "observe"'
        words = f"liveness model {card.name!r} states no threshold and error rates, so it cannot be enforced; {wanted}"
        raise LivenessError(words, code="liveness.not_measured")


def context(box: Box, width: int, height: int) -> float:
    """Least distance from the centre of the face to a border of the frame, in half sides of the face; below 1 the face is cut off."""
    x, y, w, h = box
    if not (w > 0 and h > 0):
        return 0.0
    across, down = 2 * min(x + w / 2, width - x - w / 2) / w, 2 * min(y + h / 2, height - y - h / 2) / h
    return float(min(across, down))


def surroundings(image: NDArray[np.uint8], box: Box, crop: LivenessCrop) -> NDArray[np.uint8]:
    """(size, size, 3) uint8 RGB: the face's box enlarged about its centre, moved into the frame, and enlarged less where the frame is too small.

    As minivision's nets were trained: the box keeps its own shape, and nothing is filled up.
    """
    height, width = image.shape[:2]
    x, y, w, h = box
    scale = min(crop.scale, (width - 1) / w, (height - 1) / h)
    left = min(max(x + w / 2 - w * scale / 2, 0.0), width - 1 - w * scale)
    top = min(max(y + h / 2 - h * scale / 2, 0.0), height - 1 - h * scale)
    part = image[int(top) : int(top + h * scale) + 1, int(left) : int(left + w * scale) + 1]
    resized: NDArray[Any] = cv2.resize(part, (crop.size, crop.size), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(resized[:, :, ::-1])


class Presentation:
    """What the pictures of one face in view come to. Pure.

    All pictures count, not the newest alone: who stays longer gets no further tries.
    """

    def __init__(self, card: LivenessCard) -> None:
        self._card = card
        self._scores: list[float] = []
        self.hint = ""  # why the newest picture was not judged

    def add(self, judgement: Judgement) -> None:
        """Take in one picture of the face; a score that is none counts for nothing."""
        self.hint = judgement.reason
        if judgement.score is not None and 0.0 <= judgement.score <= 1.0:
            self._scores.append(judgement.score)

    @property
    def pictures(self) -> int:
        return len(self._scores)

    @property
    def score(self) -> float | None:
        """The median of all pictures so far; None before the first."""
        return median(self._scores) if self._scores else None

    @property
    def state(self) -> State:
        if self.score is None or self.pictures < self._card.pictures or self._card.threshold is None:
            return "undecided"
        return "live" if self.score > self._card.threshold else "refused"
