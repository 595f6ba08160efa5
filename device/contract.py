"""What training, export and device agree on: the aligned crop, the embedding graph, the model card.

A leaf: numpy, cv2 and the standard library only.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

CROP_SIZE = 112  # px, width and height of an aligned crop
COLOUR_ORDER = "RGB"
LANDMARK_SET = "five-point"  # left eye, right eye, nose tip, left and right mouth corner, in image order
CANONICAL_LANDMARKS: NDArray[np.float32] = np.array(  # (5, 2) px: x, y in a 112 x 112 crop
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]],
    dtype=np.float32,
)

CARD_KEY = "clockface.card"  # key of the card in the ONNX file's metadata_props
LIVENESS_KEY = "clockface.liveness"  # key of a liveness model's card
COHORT_KEY = "clockface.cohort"  # key of the cohort beside it, see `device.vision.cohort`
CARD_SCHEMA = 1


class ClockfaceError(Exception):
    """Something went wrong that a person can act on; the message says what to do next.

    `code` names the situation, such as `store.locked`, and stays when the words change: tests and programs compare it.
    A class has the code of its area; where it covers several situations, the place that raises it gives a narrower one.
    docs/errors.md lists them all.
    """

    code: str = "clockface"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code or self.code

    @property
    def message(self) -> str:
        """The message, which may be a phrase, so that pages can say it in their language."""
        return str(self) if not self.args or not isinstance(self.args[0], str) else self.args[0]


class Phrase(str):
    """An English sentence that the pages can say in another language: a str that remembers its key and the values in it.

    Logs, commands and messages of errors have the English; `device/web/messages/de/phrases.toml` has the German, by key.
    """

    key: str = ""
    values: Mapping[str, object] = MappingProxyType({})  # may be phrases themselves
    parts: tuple[str, ...] = ()  # of several sentences in one
    separator: str = ""


def phrase(key: str, english: str, /, **values: object) -> Phrase:
    """A sentence with its {values} filled in."""
    said = Phrase(english.format(**values))
    said.key, said.values = key, values
    return said


def phrases(separator: str, parts: Iterable[str]) -> Phrase:
    """Several sentences in one."""
    listed = tuple(parts)
    said = Phrase(separator.join(listed))
    said.parts, said.separator = listed, separator
    return said


class ContractError(ClockfaceError):
    """A crop, graph or card does not keep the contract."""

    code = "contract"


def similarity_transform(source: NDArray[Any], target: NDArray[Any]) -> NDArray[np.float64]:
    """Least-squares similarity (rotation, uniform scale, shift) that maps source points onto target points.

    Args:
        source: (K, 2) points, px.
        target: (K, 2) points, px.

    Returns:
        (2, 3) float64 affine matrix for `cv2.warpAffine`.

    Raises:
        ContractError: fewer than two distinct or non-finite points.

    Source: S. Umeyama, "Least-squares estimation of transformation parameters between two point patterns",
    IEEE TPAMI 13(4), 1991. In the plane the optimum has a closed form over complex numbers.
    """
    points = np.asarray(source, dtype=np.float64)
    wanted = np.asarray(target, dtype=np.float64)
    if points.shape != wanted.shape or points.ndim != 2 or points.shape[1] != 2:
        raise ContractError(f"landmarks: expected two (K, 2) arrays, got {points.shape} and {wanted.shape}", code="contract.landmarks")
    a = points[:, 0] + 1j * points[:, 1]
    b = wanted[:, 0] + 1j * wanted[:, 1]
    a_mean, b_mean = a.mean(), b.mean()
    spread = float(np.sum(np.abs(a - a_mean) ** 2))
    if not np.isfinite(spread) or spread < 1e-6:
        raise ContractError("landmarks: expected five distinct finite points; detect the face again", code="contract.landmarks")
    turn = np.sum((b - b_mean) * np.conj(a - a_mean)) / spread  # scale * e^(i * angle)
    shift = b_mean - turn * a_mean
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def align(image: NDArray[np.uint8], landmarks: NDArray[Any]) -> NDArray[np.uint8]:
    """Cut the aligned crop of one face out of an image.

    Args:
        image: (H, W, 3) uint8 BGR, as OpenCV delivers it.
        landmarks: (5, 2) px in image order: left eye of the image, right eye, nose, left and right mouth corner.

    Returns:
        (112, 112, 3) uint8 RGB.

    Raises:
        ContractError: the image or the landmarks have another shape, type or are degenerate.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ContractError(f"image: expected (H, W, 3) uint8 BGR, got {image.shape} {image.dtype}", code="contract.image")
    matrix = similarity_transform(landmarks, CANONICAL_LANDMARKS)
    crop = cv2.warpAffine(image, matrix, (CROP_SIZE, CROP_SIZE), flags=cv2.INTER_LINEAR)
    return np.ascontiguousarray(crop[:, :, ::-1])  # BGR -> RGB


@dataclass(frozen=True)
class OperatingPoint:
    """The threshold for one gallery size and target false-positive identification rate (FPIR)."""

    gallery_size: int  # people
    fpir: float  # target, 0..1 per visit; in a card without `visits`, per search with a single picture
    threshold: float | None  # score; None if the data are insufficient
    low: float | None  # 95 % interval of the threshold
    high: float | None
    method: str  # "measured", "extrapolated" or "insufficient data"
    data: str  # the data it was set on
    fpir_low: float | None = None  # 95 % interval of the FPIR that this threshold really has
    fpir_high: float | None = None


@dataclass(frozen=True)
class VisitPoints:
    """What a visit asks for besides the threshold of its operating point, see docs/decisions/0005-a-visit-decides.md."""

    early: tuple[float, ...]  # what a visit of 1, 2, ... pictures must exceed the threshold by; 0 from the next one on
    changed: float  # score of two pictures below which they show different people
    data: str  # the data it was set on

    def __post_init__(self) -> None:
        if not all(isinstance(value, (int, float)) and -1 <= value <= 1 for value in (*self.early, self.changed)):
            found = f"{self.early!r:.80} and {self.changed!r:.40}"
            raise ContractError(f"model card: visits expected numbers, got {found}; export the model again", code="contract.card")

    def margin(self, pictures: float) -> float:
        """The part of `early` in force after so many pictures; where near-duplicates count as less than one, between two entries."""
        steps = (*self.early, 0.0)
        position = min(max(pictures - 1.0, 0.0), len(steps) - 1.0)
        before = int(position)
        after = min(before + 1, len(steps) - 1)
        return steps[before] + (position - before) * (steps[after] - steps[before])


@dataclass(frozen=True)
class ModelCard:
    """The self-description of a model file: JSON under one key of the ONNX metadata."""

    schema: int
    model_id: str  # sha256 of the weights, hex
    name: str
    embedding_size: int
    crop_size: int
    colour_order: str
    landmark_set: str
    precision: str  # "float32", "int8", "float16"
    training_data: str
    licence: str
    training_commit: str
    accuracy: tuple[dict[str, Any], ...]  # measured figures, each with its data
    latency: tuple[dict[str, Any], ...]  # measured figures, each with host, threads, runtime version
    operating_points: tuple[OperatingPoint, ...]
    visits: VisitPoints | None = None  # None: the operating points are those of single pictures

    def __post_init__(self) -> None:
        expected = {
            "schema": CARD_SCHEMA,
            "crop_size": CROP_SIZE,
            "colour_order": COLOUR_ORDER,
            "landmark_set": LANDMARK_SET,
        }
        for key, value in expected.items():
            if getattr(self, key) != value:
                raise ContractError(f"model card: {key} expected {value!r}, got {getattr(self, key)!r}", code="contract.card")
        if len(self.model_id) != 64 or set(self.model_id) - set("0123456789abcdef"):
            raise ContractError(f"model card: model_id expected 64 hex digits, got {self.model_id!r:.80}", code="contract.card")
        if not 0 < self.embedding_size <= 4096:
            raise ContractError(f"model card: embedding_size expected 1..4096, got {self.embedding_size}", code="contract.card")
        if self.precision not in ("float32", "float16", "int8"):
            raise ContractError(f"model card: precision expected float32, float16 or int8, got {self.precision!r}", code="contract.card")

    @classmethod
    def from_json(cls, text: str) -> ModelCard:
        """Read a card; a missing, unknown or ill-typed field is refused by name."""
        try:
            data = json.loads(text)
            points = tuple(OperatingPoint(**point) for point in data.pop("operating_points"))
            for key in ("accuracy", "latency"):
                data[key] = tuple(data[key])
            visits = data.pop("visits", None)
            if visits is not None:
                visits = VisitPoints(tuple(visits.pop("early")), **visits)
            card = cls(**data, operating_points=points, visits=visits)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ContractError(f"model card: not readable ({error}); export the model again", code="contract.card") from error
        return card

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False, sort_keys=True)

    def operating_point(self, people: int, fpir: float) -> OperatingPoint:
        """The operating point in force for a gallery of `people` persons: the smallest calibrated size that holds them.

        Raises:
            ContractError: the card has no threshold for this size and FPIR; it says which it has.
        """
        points = [p for p in self.operating_points if abs(p.fpir - fpir) < 1e-12 and p.gallery_size >= people]
        if not points:
            most = {p.fpir: max(q.gallery_size for q in self.operating_points if q.fpir == p.fpir) for p in self.operating_points if p.threshold is not None}
            have = ", ".join(f"FPIR {fpir:g} for up to {size:,} people" for fpir, size in sorted(most.items()))
            raise ContractError(
                f"model card of {self.name!r} has no operating point for {people} people at FPIR {fpir:g}; "
                f"it has {have or 'none'}: set [decision] fpir to one of these or run `python -m export calibrate`",
                code="contract.threshold",
            )
        point = min(points, key=lambda p: p.gallery_size)
        if point.threshold is None:
            raise ContractError(
                f"model card of {self.name!r}: {point.method} for {point.gallery_size} people at FPIR {fpir:g}; "
                "choose a larger [decision] fpir or calibrate with more people",
                code="contract.threshold",
            )
        return point

    def capacity(self, fpir: float) -> int:
        """The largest number of people that the card has a threshold for at this FPIR; 0 if it has none at all."""
        return max((p.gallery_size for p in self.operating_points if abs(p.fpir - fpir) < 1e-12 and p.threshold is not None), default=0)

    def loosest_threshold(self, fpir: float = 0.01) -> float:
        """The threshold for the smallest gallery at this FPIR, or where it has none, the lowest of all.

        Raises:
            ContractError: the card has no threshold at all.
        """
        points = [point for point in self.operating_points if point.threshold is not None]
        if not points:
            raise ContractError(f"model card of {self.name!r} has no thresholds; run `python -m export calibrate`", code="contract.threshold")
        wanted = [point for point in points if abs(point.fpir - fpir) < 1e-12] or points
        return min(point.threshold for point in wanted if point.threshold is not None)


@dataclass(frozen=True)
class LivenessCrop:
    """One input of a liveness model: (N, size, size, 3) uint8 RGB, the face's box enlarged by `scale` about its centre, moved and shrunk into the frame."""

    input: str  # name of the graph's input
    scale: float  # sides of the crop in sides of the face's box
    size: int  # px

    def __post_init__(self) -> None:
        if not self.input or not 1 <= self.scale <= 10 or not 16 <= self.size <= 512:
            raise ContractError(f"liveness card: expected a crop of scale 1..10 and 16..512 px, got {self!r:.200}", code="contract.card")


@dataclass(frozen=True)
class LivenessCard:
    """The self-description of a liveness model: JSON under LIVENESS_KEY of the ONNX metadata. Terms as in ISO/IEC 30107-3.

    The graph takes its crops and gives `liveness`, (N,) float32: 0 a picture or a screen, 1 a living face.
    """

    schema: int
    model_id: str  # sha256 of the weights, hex
    name: str
    precision: str  # "float32" or "int8"
    colour_order: str
    crops: tuple[LivenessCrop, ...]
    min_context: float  # least distance from the face's centre to each border of the frame, in half sides of the face; with less nothing is judged
    pictures: int  # of one track that are judged together, by the median of their scores; with fewer nothing is decided
    threshold: float | None  # score above which a face is taken for a living one; None: not measured, the model cannot be enforced
    training_data: str
    licence: str
    measured: tuple[dict[str, Any], ...]  # APCER by species and BPCER with intervals, each with its data and command

    def __post_init__(self) -> None:
        if self.schema != CARD_SCHEMA or self.colour_order != COLOUR_ORDER:
            found = f"schema {self.schema!r}, {self.colour_order!r:.20}"
            raise ContractError(f"liveness card: expected schema {CARD_SCHEMA}, {COLOUR_ORDER}; got {found}", code="contract.card")
        if len(self.model_id) != 64 or set(self.model_id) - set("0123456789abcdef"):
            raise ContractError(f"liveness card: model_id expected 64 hex digits, got {self.model_id!r:.80}", code="contract.card")
        if not self.crops or not 1 <= self.min_context <= 10 or not 1 <= self.pictures <= 50:
            found = f"{len(self.crops)} crops, min_context {self.min_context!r}, pictures {self.pictures!r}"
            raise ContractError(f"liveness card: expected crops, min_context 1..10 and pictures 1..50, got {found}", code="contract.card")
        if self.threshold is not None and not 0 < self.threshold < 1:
            raise ContractError(f"liveness card: threshold expected a score between 0 and 1, got {self.threshold!r}", code="contract.card")

    @classmethod
    def from_json(cls, text: str) -> LivenessCard:
        """Read a card; a missing, unknown or ill-typed field is refused by name."""
        try:
            data = json.loads(text)
            crops = tuple(LivenessCrop(**crop) for crop in data.pop("crops"))
            return cls(**{**data, "crops": crops, "measured": tuple(data["measured"])})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ContractError(f"liveness card: not readable ({error}); export the model again", code="contract.card") from error

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False, sort_keys=True)
