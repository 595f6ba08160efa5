"""From a picture to aligned, assessed and embedded faces; shared by `identify`, enrolment and the terminal."""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from device.config import Settings
from device.contract import OperatingPoint, align
from device.system.memory import keep_working_blocks
from device.vision import catalogue
from device.vision.camera.frame import turned
from device.vision.cohort import Comparison
from device.vision.decision import Bar
from device.vision.detector import Detector, Face
from device.vision.embedder import Embedder
from device.vision.liveness import LivenessModel, open_liveness
from device.vision.precision import Opened, open_embedder
from device.vision.quality import NOT_UPRIGHT, Quality, assess
from device.vision.upright import TURNS, UNCLEAR, placed_back, turn_of

STILL_EYE_PX = 12.0  # px between the eyes of the smallest face searched for in a photo...
STILL_SIDE_PX = 1600.0  # ... whose longer side has at most this many px at the detector's input
PLAIN = 0.85  # the detector's score of a face in a photo from which the photo is not searched at other turns


@dataclass(frozen=True)
class Sample:
    """One face of one picture, ready to be embedded."""

    face: Face  # in px of the picture, landmarks read at full resolution
    crop: NDArray[np.uint8]  # (112, 112, 3) uint8 RGB
    quality: Quality  # of an inverted face never acceptable
    turn: int | None = None  # degrees clockwise that make the face upright, or UNCLEAR; None: not looked at
    picture_turn: int = 0  # degrees clockwise by which the photo was turned before this face was read; `face` is in px of the photo as it was


def surely_faces(samples: Sequence[Sample]) -> list[Sample]:
    """Without what the detector is not sure of, such as a hand or a curtain, where it is sure of any face."""
    return [sample for sample in samples if "not_sure" not in sample.quality.reasons] or list(samples)


class Recogniser:
    """Detector, quality gate and embedder, built once.

    Args:
        settings: of the terminal.
        opened: the embedder; None: the one that the settings name.
        coming: the embedder that will take over after a change of model: whoever is enrolled meanwhile gets templates of both.

    Raises:
        ModelError: a model file is missing or is not the expected one.
        ContractError: the embedder breaks the contract.
        ChoiceError: no artefact of the embedder's family runs here.
        LivenessError: the liveness model has no threshold to enforce.
    """

    def __init__(self, settings: Settings, opened: Opened | None = None, coming: Embedder | None = None) -> None:
        self.settings, self.coming = settings, coming
        self.detector = Detector(catalogue.path("yunet"), settings.detector)
        opened = opened or open_embedder(settings)
        self.embedder, self.choice = opened.embedder, opened.words
        self.liveness: LivenessModel | None = open_liveness(settings.liveness)
        keep_working_blocks()

    def for_thread(self) -> Recogniser:
        """This recogniser with a detector of its own, which a loop that is short of time does not make coarser."""
        twin = copy.copy(self)
        twin.detector = Detector(catalogue.path("yunet"), self.settings.detector)
        return twin

    def with_embedder(self, opened: Opened) -> Recogniser:
        """This recogniser with another embedder; detector and liveness model stay those of this one, so it takes its place."""
        twin = copy.copy(self)
        twin.embedder, twin.choice, twin.coming = opened.embedder, opened.words, None
        return twin

    def sample(self, image: NDArray[np.uint8], face: Face, upright: bool = False) -> Sample:
        """Read the landmarks again, align and assess one face of an image (H, W, 3) uint8 BGR; a good one must be upright as well, unless that is known."""
        sample = self._assessed(image, self.detector.refine(image, face))
        return self.upright(image, sample) if sample.quality.acceptable and not upright else sample

    def upright(self, image: NDArray[np.uint8], sample: Sample, photo: bool = False) -> Sample:
        """The sample with its turn; a face that is not clearly upright is not acceptable."""
        turn, quality = turn_of(self.detector, image, sample.face, photo), sample.quality
        if turn:
            quality = replace(quality, reasons=(*quality.reasons, NOT_UPRIGHT))
        return replace(sample, quality=quality, turn=turn)

    def quick(self, image: NDArray[np.uint8], face: Face) -> Sample:
        """`sample` without reading the landmarks again or looking for motion: good enough to choose among the frames of a track."""
        return self._assessed(image, face, quick=True)

    def _assessed(self, image: NDArray[np.uint8], face: Face, quick: bool = False) -> Sample:
        crop = align(image, face.landmarks)
        return Sample(face, crop, assess(face, crop, self.settings.quality, quick))

    def still(self, image: NDArray[np.uint8]) -> list[Sample]:
        """All faces of a photo (H, W, 3) uint8 BGR, the largest first, small ones included; a photo that is not upright is turned first.

        The largest face decides. Where it is neither surely upright nor a good face of unclear turn, the photo is searched at the other turns as well: in one
        that lies on its side, no face may be found at all, or something that is none. A good face of unclear turn stays, and is not acceptable.
        """
        samples = self._still(image)
        first = samples[0] if samples else None
        if first and (first.turn == 0 and first.face.score >= PLAIN or first.quality.reasons == (NOT_UPRIGHT,) and first.turn == UNCLEAR):
            return samples
        everywhere = [(0, samples), *((turn, self._still(turned(image, turn))) for turn in TURNS[1:])]
        found = [(turn, again) for turn, again in everywhere if again and again[0].turn == 0]
        if not found:
            return samples
        turn, again = max(found, key=lambda pair: pair[1][0].face.score)
        height, width = image.shape[:2]
        return [replace(sample, face=placed_back(sample.face, turn, width, height), picture_turn=turn) for sample in again]

    def _still(self, image: NDArray[np.uint8]) -> list[Sample]:
        """The faces of a photo as it is; each is looked at in four turns."""
        smallest = max(STILL_EYE_PX, 10.0 * max(image.shape[:2]) / STILL_SIDE_PX)
        faces = [self.detector.refine(image, face) for face in self.detector.detect(image, smallest, agreed=True)]
        return [self.upright(image, self._assessed(image, face), photo=True) for face in faces]

    def embed(self, samples: Sequence[Sample]) -> NDArray[np.float32]:
        """(N, D) float32 of unit length for N samples."""
        if not samples:
            return np.zeros((0, self.embedder.card.embedding_size), dtype=np.float32)
        return self.embedder.embed(np.stack([sample.crop for sample in samples]))

    def bar(self, people: int) -> Bar:
        """What the score of a visit must exceed in a gallery of so many people."""
        visits = self.embedder.card.visits
        bar = Bar(self.threshold(people), cohort=self.embedder.cohort)
        return bar if visits is None else replace(bar, early=visits.margin, changed=visits.changed)

    def threshold(self, people: int) -> float:
        """The card's threshold for a gallery of so many people, see `ModelCard.operating_point`."""
        threshold = self._point(people).threshold
        assert threshold is not None  # operating_point raises otherwise
        return threshold

    @property
    def capacity(self) -> int:
        """The largest number of people that the card has a threshold for at the wanted FPIR; without any threshold, `bar` refuses to decide at all."""
        return self.embedder.card.capacity(self.settings.decision.fpir) or sys.maxsize

    def same_person(self) -> Comparison:
        """When two pictures are taken to show one person: by the card's threshold for its smallest gallery."""
        return Comparison(self.embedder.card.loosest_threshold(), self.embedder.cohort)

    def expected_fpir(self, people: int) -> tuple[float, float] | None:
        """The card's 95 % interval of the FPIR with this threshold in a gallery of so many people; None where an older card has none.

        The threshold belongs to the next larger calibrated size; FPIR = 1 - (1 - FMR)^N converts its interval to N.
        """
        point = self._point(people)
        if point.fpir_low is None or point.fpir_high is None:
            return None
        share = people / point.gallery_size
        return 1 - (1 - point.fpir_low) ** share, 1 - (1 - point.fpir_high) ** share

    def _point(self, people: int) -> OperatingPoint:
        decision = self.settings.decision
        return self.embedder.card.operating_point(max(people, decision.at_least_templates), decision.fpir)
