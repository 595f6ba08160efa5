"""`python -m export conditions MODEL... --people DIR`: in which light, before which camera, behind which covering are people missed, or strangers accepted?

Some photos of each person are made worse in one way at a time (`export/degrade.py`), searched for the face again, aligned, and compared with the untouched
photos of everybody, with the model's cohort as on a terminal. The threshold stays that for an FMR of 0.1 % between untouched photos. Pose cannot be changed
in a photo: its rows are pairs of untouched photos, by how far the heads are turned apart. The worst row of the first model comes first.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from device.config import DetectorSettings, QualitySettings
from device.contract import ClockfaceError, align
from device.vision import catalogue
from device.vision.cohort import scores
from device.vision.detector import Detector, Face
from device.vision.embedder import Embedder
from device.vision.quality import assess
from device.vision.visit_trial import Share, pooled
from export.crops import Crops, Embeddings
from export.degrade import CONDITIONS
from export.shots import SMALLEST, pictures
from export.spoilt import Image

FMR = 1e-3
NOSE = 0.41  # how far the tip of the nose is in front of the eyes, in eye distances: 135 of 330 in the widely used face of six points for `solvePnP`
APART = ((0, 10), (10, 30), (30, 50))  # degrees between two heads


class ConditionsError(ClockfaceError):
    """The photos cannot be used to measure conditions."""

    code = "conditions"


@dataclass(frozen=True)
class FacePhoto:
    """A photo and the largest face in it, as the device sees it."""

    person: int
    image: Image
    face: Face
    crop: Crops  # (112, 112, 3) uint8 RGB
    accepted: bool  # by the quality gate
    degrees: float  # the head's turn to the side, about


@dataclass(frozen=True)
class Condition:
    """What one condition does; `tar` and `fmr` have one entry per model, at the model's threshold for untouched photos."""

    name: str
    found: float | None  # share of the photos in which the detector finds a face; None for pose
    accepted: float | None  # share that the quality gate accepts; the others are compared all the same
    tar: tuple[Share, ...]  # intervals over people; a photo without a face is missed
    fmr: tuple[Share, ...]


class Untouched:
    """The N untouched photos as one model sees them, and the threshold that lets through FMR of all pairs of different people."""

    def __init__(self, embedder: Embedder, photos: Sequence[FacePhoto]) -> None:
        self.embedder, self.person = embedder, np.array([photo.person for photo in photos])
        self.rows = self.embed(photos)
        different = self.person[:, None] != self.person
        self.threshold = float(np.quantile(scores(self.rows, self.rows, embedder.cohort)[different], 1 - FMR))

    def embed(self, photos: Sequence[FacePhoto | None]) -> Embeddings:
        """(P, D), NaN where there is no face: such a row exceeds no threshold."""
        rows = np.full((len(photos), self.embedder.card.embedding_size), np.nan, np.float32)
        for row, photo in enumerate(photos):
            if photo is not None:
                rows[row] = self.embedder.embed(photo.crop[None])[0]
        return rows

    def compare(self, probes: NDArray[np.int64], rows: Embeddings, counted: NDArray[np.bool_] | np.bool_ = np.True_) -> tuple[Share, Share]:
        """TAR and FMR of probes against all untouched photos but their own.

        Args:
            probes: (P,) numbers of the photos that the probes were made of.
            rows: (P, D) their embeddings now.
            counted: (P, N) which pairs count.
        """
        above = scores(rows, self.rows, self.embedder.cohort) > self.threshold
        same = self.person[probes][:, None] == self.person
        mated = same & (probes[:, None] != np.arange(len(self.person)))
        return self._share(probes, above, mated & counted), self._share(probes, above, ~same & counted)

    def _share(self, probes: NDArray[np.int64], above: NDArray[np.bool_], pairs: NDArray[np.bool_]) -> Share:
        _, rows = np.unique(self.person[probes], return_inverse=True)
        return pooled(np.bincount(rows, (pairs & above).sum(axis=1)), np.bincount(rows, pairs.sum(axis=1)))


def look(person: int, image: Image, detector: Detector) -> FacePhoto | None:
    """A picture and its largest face; None where there is none."""
    found = detector.detect(image, SMALLEST)[:1]
    if not found:
        return None
    face = detector.refine(image, found[0])
    crop = align(image, face.landmarks)
    quality = assess(face, crop, QualitySettings())
    return FacePhoto(person, image, face, crop, quality.acceptable, degrees(quality.yaw))


def degrees(yaw: float) -> float:
    """From the nose's shift in eye distances, seen from afar: shift = NOSE * tan(angle)."""
    return float(np.degrees(np.arctan(yaw / NOSE)))


def read(folder: Path, detector: Detector) -> list[FacePhoto]:
    """The photos of all people.

    Raises:
        ConditionsError: fewer than two people have two photos with a face.
    """
    people = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    photos = [photo for person, path in enumerate(people) for _, image in pictures(path) if (photo := look(person, image, detector))]
    if sum(np.unique([photo.person for photo in photos], return_counts=True)[1] > 1) < 2:
        raise ConditionsError(f"{folder}: at least two people with two photos of their face are needed, one sub-folder per person")
    return photos


def measure(paths: Sequence[Path], folder: Path, probes_per_person: int) -> list[Condition]:
    """All conditions, the worst of the first model first.

    Args:
        paths: model files.
        folder: one sub-folder of photos per person.
        probes_per_person: photos of each person that are made worse.
    """
    detector = Detector(catalogue.path("yunet"), DetectorSettings())
    photos = read(folder, detector)
    models = [Untouched(Embedder(path, "cpu"), photos) for path in paths]
    person = models[0].person
    probes = np.arange(len(person))[np.arange(len(person)) - np.searchsorted(person, person) < probes_per_person]
    names = track(list(CONDITIONS), "conditions", console=Console(stderr=True), transient=True)
    found = [*worse(names, photos, probes, models, detector), *turned(photos, models)]
    return sorted(found, key=lambda row: row.tar[0].value)


def worse(names: Iterable[str], photos: Sequence[FacePhoto], probes: NDArray[np.int64], models: Sequence[Untouched], detector: Detector) -> Iterable[Condition]:
    """Photos made worse; what is random in one depends on its number alone."""
    for name in names:
        made = [CONDITIONS[name](photos[row].image, photos[row].face, np.random.default_rng(row)) for row in probes]
        seen = [look(photos[row].person, image, detector) for row, image in zip(probes, made, strict=True)]
        tar, fmr = zip(*(model.compare(probes, model.embed(seen)) for model in models), strict=True)
        yield Condition(name, float(np.mean([one is not None for one in seen])), float(np.mean([one is not None and one.accepted for one in seen])), tar, fmr)


def turned(photos: Sequence[FacePhoto], models: Sequence[Untouched]) -> Iterable[Condition]:
    """Pairs of untouched photos by the angle between the heads, as far as people have such pairs."""
    angles, person = np.array([photo.degrees for photo in photos]), models[0].person
    between = np.abs(angles[:, None] - angles)
    for least, most in APART:
        counted = (between >= least) & (between < most)
        if (np.triu(counted, 1) & (person[:, None] == person)).any():
            tar, fmr = zip(*(model.compare(np.arange(len(person)), model.rows, counted) for model in models), strict=True)
            yield Condition(f"heads turned {least} to {most} degrees apart", None, None, tar, fmr)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL", help="files that meet the contract; rows are sorted by the first")
    parser.add_argument("--people", type=Path, required=True, metavar="DIR", help="photos before alignment, one sub-folder per person")
    parser.add_argument("--probes", type=int, default=2, help="photos of each person that are made worse")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    if args.probes < 1:
        raise ConditionsError("--probes: expected at least 1")
    rows = measure(args.models, args.people, args.probes)
    names = [Embedder(path, "cpu").card.name for path in args.models]
    if args.json:
        print(json.dumps({"models": names, "conditions": [asdict(row) for row in rows]}, indent=1))
        return 0
    head = ["condition", "found", "accepted", *(f"{name}: TAR %" for name in names), *(f"{name}: FMR, per mille" for name in names)]
    print("\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *map(_cells, rows)]))
    return 0


def _cells(row: Condition) -> list[str]:
    def interval(share: Share, unit: float, digits: int) -> str:
        return f"{unit * share.value:.{digits}f} ({unit * share.low:.{digits}f} to {unit * share.high:.{digits}f})"

    seen = ["" if share is None else f"{100 * share:.0f} %" for share in (row.found, row.accepted)]
    return [row.name, *seen, *(interval(share, 100, 1) for share in row.tar), *(interval(share, 1000, 1) for share in row.fmr)]
