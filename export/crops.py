"""Aligned crops of different people, from folders, pairs or records: the data for quantization ranges and thresholds."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from device.config import DetectorSettings
from device.contract import CANONICAL_LANDMARKS, CROP_SIZE, ClockfaceError, similarity_transform
from device.vision import catalogue
from device.vision.detector import Detector
from device.vision.images import IMAGE_SUFFIXES, read_image
from training import arguments
from training.data import RecordReader, decode
from training.pairs import from_text
from training.recordio import RecordFile
from training.teacher import embeddings

Crops = NDArray[np.uint8]  # (P, 112, 112, 3) RGB, one per person
Embeddings = NDArray[np.float32]  # (P, D) unit length

FEWEST_PEOPLE = 20
PEOPLE = 6000  # crops drawn from a RecordIO file
SAME_PERSON = 0.4  # cosine of the teacher above which two unlabelled crops count as one person
BORDER = CROP_SIZE // 2  # px added around a crop, because the detector needs some surroundings of a face
FAR_OFF = 8.0  # px between the middle of the face and its canonical place; a crop fails only if ...
OTHER_SCALE = 0.25  # ... its size differs as well, by this in log2; aligned crops hardly ever exceed both
FEW_WRONG = 0.04  # share of crops that may fail: 1 % of aligned crops do, and 99 % of photos that were merely resized


class CropsError(ClockfaceError):
    """The crops cannot be used."""

    code = "crops"


@dataclass(frozen=True)
class CropSet:
    """Crops of one source, with names for messages."""

    name: str
    crops: Crops
    labels: tuple[str, ...]
    checked: bool = False  # whether a teacher has searched it for people shown twice


def from_folder(folder: Path) -> CropSet:
    """The pictures of a folder, one per person, and the first picture of each sub-folder, which holds one person.

    Raises:
        CropsError: there are too few people, or a picture is not 112 x 112.
    """
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES) if folder.is_dir() else []
    people = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    paths += [first for person in people if (first := min((p for p in person.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES), default=None))]
    if len(paths) < FEWEST_PEOPLE:
        raise CropsError(f"{folder}: {len(paths)} people with aligned crops, at least {FEWEST_PEOPLE} are needed")
    return CropSet(folder.name, np.stack([_checked(read_image(path), str(path)) for path in paths]), tuple(map(str, paths)))


def _checked(image: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    if image.shape != (CROP_SIZE, CROP_SIZE, 3):
        size = f"{image.shape[1]} x {image.shape[0]}"
        raise CropsError(f"{name}: expected an aligned crop of {CROP_SIZE} x {CROP_SIZE}, got {size}; run `python -m training prepare`")
    return np.asarray(image[:, :, ::-1], dtype=np.uint8)


def first_of_pairs(path: Path, images: Path) -> CropSet:
    """The first crop of each person of an LFW-style pairs.txt."""
    pairs = from_text(path, images)
    people = [name.rsplit("_", 1)[0] for name in pairs.names]
    first = np.unique(people, return_index=True)[1]
    return CropSet(path.parent.name, pairs.crops[first], tuple(pairs.names[index] for index in first))


def from_records(path: Path, people: int, teacher: Path | None, seed: int = 0) -> CropSet:
    """`people` unlabelled crops (label -1) of a RecordIO file, drawn at random.

    Unlabelled sets show some people twice; such a pair would wrongly count as a false match in the tail. The teacher
    file holds another model's embeddings of the same records in key order (`embedding`, `scale`): of two crops that
    they show to be one person, the second is left out.
    """
    records = RecordFile(path)
    unlabelled = [(row, key) for row, key in enumerate(records.keys) if records.record(key).label == -1]
    if len(unlabelled) < FEWEST_PEOPLE:
        raise CropsError(f"{path}: {len(unlabelled)} crops with the label -1, which stands for different people; at least {FEWEST_PEOPLE} are needed")
    chosen = np.random.default_rng(seed).permutation(unlabelled)[:people]  # (P, 2): row of the teacher, key
    if teacher is not None:
        chosen = chosen[~repeated(embeddings(str(teacher), RecordReader(path))[chosen[:, 0]], SAME_PERSON)]
    labels = tuple(f"{path}, record {key}" for key in chosen[:, 1])
    crops = [decode(records.record(int(key)).payload, label) for key, label in zip(chosen[:, 1], labels, strict=True)]
    return CropSet(path.stem, np.stack(crops), labels, checked=teacher is not None)


def repeated(embeddings: Embeddings, threshold: float) -> NDArray[np.bool_]:
    """(P,) bool: which rows have a cosine above the threshold to an earlier row, so that they show the same person."""
    alike = np.triu(embeddings @ embeddings.T, 1) > threshold
    return np.asarray(alike.any(axis=0))


def misplaced(crop: NDArray[np.uint8], detector: Detector) -> bool | None:
    """Whether the face in a crop, (112, 112, 3) uint8 RGB, is not where the contract places it; None if no face is found.

    The similarity transform from the landmarks to their canonical places gives the error of position and size.
    """
    around = cv2.copyMakeBorder(np.ascontiguousarray(crop[:, :, ::-1]), *(BORDER,) * 4, cv2.BORDER_REPLICATE)
    faces = detector.detect(np.asarray(around, np.uint8))
    if not faces:
        return None
    matrix = similarity_transform(faces[0].landmarks - BORDER, CANONICAL_LANDMARKS)
    middle = CANONICAL_LANDMARKS.mean(axis=0)
    shift = float(np.linalg.norm(matrix @ [*middle, 1.0] - middle))
    return bool(shift > FAR_OFF and abs(np.log2(np.hypot(*matrix[:, 0]))) > OTHER_SCALE)


def check_aligned(chosen: CropSet) -> None:
    """Refuse a set of photos that were merely resized to 112 x 112.

    Raises:
        CropsError: too many faces are not where an aligned crop has them, or most crops show no face at all.
    """
    detector = Detector(catalogue.path("yunet"), DetectorSettings(min_eye_distance=16))
    verdicts = [misplaced(crop, detector) for crop in track(chosen.crops, f"{chosen.name}: aligned?", console=Console(stderr=True), transient=True)]
    wrong = [label for label, verdict in zip(chosen.labels, verdicts, strict=True) if verdict]
    unseen = sum(verdict is None for verdict in verdicts)
    if unseen > len(verdicts) / 2:
        raise CropsError(f"{chosen.name}: no face found in {unseen} of {len(verdicts)} crops; give aligned crops of faces")
    if len(wrong) > FEW_WRONG * len(verdicts):
        raise CropsError(
            f"{chosen.name}: {len(wrong)} of {len(verdicts)} crops are not aligned, such as {wrong[0]}; run `python -m training prepare`",
            code="crops.not_aligned",
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", type=Path, action="append", default=[], help="aligned crops, one per person, or one sub-folder per person; may be repeated")
    parser.add_argument("--pairs-people", type=Path, help="LFW-style pairs.txt beside its crops: the first crop of each person is used")
    parser.add_argument("--rec", type=Path, help="InsightFace .rec file, whose unlabelled crops count as different people")
    parser.add_argument("--people", type=arguments.count, default=PEOPLE, help="number of crops drawn from --rec")
    parser.add_argument("--teacher", type=Path, help="another model's embeddings of --rec (.npz), to leave out repeated people")


def from_arguments(args: argparse.Namespace) -> list[CropSet]:
    """All requested sets, each checked to be aligned.

    Raises:
        CropsError: no set is named, or one cannot be used.
    """
    sets = [from_folder(folder) for folder in args.folder]
    if args.pairs_people is not None:
        sets.append(first_of_pairs(args.pairs_people, args.pairs_people.parent))
    if args.rec is not None:
        sets.append(from_records(args.rec, args.people, args.teacher))
    if not sets:
        raise CropsError("no crops: give at least one of --folder, --pairs-people and --rec")
    for chosen in sets:
        check_aligned(chosen)
    return sets


def embed(run: Callable[[Crops], Embeddings], sets: Sequence[CropSet], batch: int = 16) -> list[Embeddings]:
    """The embeddings of each set."""
    done = []
    for chosen in sets:
        starts = range(0, len(chosen.crops), batch)
        parts = [run(chosen.crops[start : start + batch]) for start in track(starts, f"{chosen.name}: embedding", console=Console(stderr=True), transient=True)]
        done.append(np.concatenate(parts))
    return done
