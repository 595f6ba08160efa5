"""Crops of known people, good and spoilt, with all that the device measures of them and their embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper
from rich.console import Console
from rich.progress import track

from device.config import DetectorSettings, QualitySettings
from device.contract import ClockfaceError, align
from device.vision import catalogue
from device.vision.camera.files import Clip
from device.vision.detector import Detector, Face
from device.vision.images import IMAGE_SUFFIXES, read_image
from device.vision.quality import Quality, assess
from export import artefact
from export.spoilt import KINDS, Image, spoilt

Array = NDArray[np.float64]
Rows = NDArray[np.int64]

SMALLEST = 10.0  # px between the eyes of the smallest face searched for
UNWEIGHTED = "unweighted"


@dataclass(frozen=True)
class Shots:
    """N crops of known people; a take is a photo or a clip, and crops of one take do not judge each other."""

    person: Rows  # (N,)
    take: Rows  # (N,) from 0 for each person
    spoilt: NDArray[np.bool_]  # (N,)
    embedding: Array  # (N, D) unit length
    weights: dict[str, Array]  # measure -> (N,), more is better
    accepted: NDArray[np.bool_]  # (N,) by the gate

    def only(self, kept: NDArray[np.bool_]) -> Shots:
        """Some of the crops."""
        weights = {name: values[kept] for name, values in self.weights.items()}
        return Shots(self.person[kept], self.take[kept], self.spoilt[kept], self.embedding[kept], weights, self.accepted[kept])


def measures(face: Face, quality: Quality, norm: float) -> dict[str, float]:
    """Everything that could be a weight; `norm` is the length of the embedding before its normalisation."""
    pose = max(0.0, 1 - abs(quality.yaw) / 0.7) * max(0.0, 1 - abs(quality.pitch) / 0.7)
    product = face.score * min(1.0, face.eye_distance / 60) * pose * min(1.0, quality.sharpness / 0.15) * min(1.0, quality.contrast / 30)
    found = {UNWEIGHTED: 1.0, "embedding norm": norm, "score": quality.score, "product of all": product, "sharpness": quality.sharpness, "pose": pose}
    return found | {"size": quality.eye_distance, "detection score": face.score, "contrast": quality.contrast}


def exposed(path: Path) -> Any:
    """A session of the model with a second output: the embedding before its normalisation."""
    model = artefact.read(path)
    (last,) = (node for node in model.graph.node if model.graph.output[0].name in node.output)
    if last.op_type not in ("Div", "LpNormalization"):
        raise ClockfaceError(f"{path} ends with {last.op_type}, not with a normalisation to unit length; build it with `python -m export build`")
    model.graph.output.append(helper.make_tensor_value_info(last.input[0], TensorProto.FLOAT, None))
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    floats = artefact.card_of(model, path).precision != "int8"  # packed weights are unpacked once, as `device/vision/embedder.py` does
    options.add_session_config_entry("session.disable_quant_qdq", str(int(floats)))
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def pictures(person: Path) -> Iterator[tuple[int, Image]]:
    """(take, picture) from the photos and clips of one person."""
    for take, path in enumerate(sorted(person.iterdir())):
        images = [read_image(path)] if path.suffix.lower() in IMAGE_SUFFIXES else (frame.image for frame in Clip(path, 0.0))
        yield from ((take, image) for image in images)


def faces(person: Path, first: int, detector: Detector, rng: np.random.Generator) -> Iterator[tuple[int, bool, Image, Face]]:
    """(take, spoilt, picture, its largest face): each picture as it is, then spoilt in one way, the ways in turn from number `first`."""
    for number, (take, image) in enumerate(pictures(person)):
        for worse in (False, True):
            found = detector.detect(image, SMALLEST)[:1]
            if found and worse:
                image = spoilt(image, detector.refine(image, found[0]), KINDS[(first + number) % len(KINDS)], rng)
                found = detector.detect(image, SMALLEST)[:1]
            yield from ((take, worse, image, detector.refine(image, face)) for face in found)


def read(model: Path, folder: Path, seed: int) -> Shots:
    """All crops of a folder, measured and embedded."""
    detector, session, rng = Detector(catalogue.path("yunet"), DetectorSettings()), exposed(model), np.random.default_rng(seed)
    people = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    rows = []
    for number, person in enumerate(track(people, "reading", console=Console(stderr=True), transient=True)):
        for take, worse, image, face in faces(person, number, detector, rng):
            crop = align(image, face.landmarks)
            quality = assess(face, crop, QualitySettings())
            unit, raw = session.run(None, {session.get_inputs()[0].name: crop[None]})
            rows.append((number, take, worse, unit[0], measures(face, quality, float(np.linalg.norm(raw))), quality.acceptable))
    if not rows:
        raise ClockfaceError(f"{folder}: no faces; give a folder that has one sub-folder of photos or clips per person")
    persons, takes, spoils, units, found, good = (list(column) for column in zip(*rows, strict=True))
    weights = {name: np.array([values[name] for values in found]) for name in found[0]}
    return Shots(np.array(persons), np.array(takes), np.array(spoils), np.array(units, np.float64), weights, np.array(good))
