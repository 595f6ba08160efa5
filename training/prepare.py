"""Cut aligned crops out of photos, one folder per person; an interrupted run is resumed by the same command.

    python -m training prepare photos crops [--model models/clockface-mobile.pt]

`photos` is a folder per person, a list, WebDataset shards or InsightFace records (training/photos.py). `report.tsv` beside the crops has the result for
each photo, `left_out.tsv` what was left out and why; `index.html` shows both, duplicates, and photos that look like another person.
"""

from __future__ import annotations

import argparse
import csv
import os
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from device.config import DetectorSettings
from device.contract import CROP_SIZE, ClockfaceError, align
from device.vision import catalogue
from device.vision.camera.frame import turned
from device.vision.detector import Detector, Face
from device.vision.images import ImageError, picture
from device.vision.upright import TURNS, turn_of
from training import arguments, prepare_page
from training.embedding import open_model
from training.photos import CropFolder, LabelledPhoto, PhotoSet, listed

Image = NDArray[np.uint8]  # (H, W, 3) BGR
Search = Callable[[Image], tuple[Image, list[Face]]]
KEPT = "kept"
ALIGNED = "kept, aligned already"


@dataclass(frozen=True)
class PhotoResult:
    """The result for one photo."""

    photo: str  # its name in the source
    result: str  # "kept" or the reason why not

    @property
    def kept(self) -> bool:
        return self.result in (KEPT, ALIGNED)


def prepare(photos: PhotoSet, crops: CropFolder, search: Search, min_eye_distance: float, workers: int = 2) -> list[PhotoResult]:
    """Crop every photo that has no result yet; returns the results of all, and of what is no photo.

    Args:
        crops: where they are written; results go to `report.tsv` there, reasons to `left_out.tsv`.
        search: (H, W, 3) uint8 BGR -> the picture with its largest face upright, and its faces; called from several threads.
        min_eye_distance: px between the eyes; smaller faces are not cropped.
    """
    out = crops.path
    done = read_report(out)
    waiting = [photo for photo in photos.photos if photo.name not in done]
    out.mkdir(parents=True, exist_ok=True)
    with _report(out) as write, ThreadPoolExecutor(workers) as pool, Progress(transient=True) as progress:
        task = progress.add_task("photos", total=len(waiting))
        try:
            for outcome in pool.map(lambda photo: crop_one(photo, crops, search, min_eye_distance), waiting):
                write(outcome)
                done[outcome.photo] = outcome
                progress.advance(task)
        except BaseException:  # Ctrl-C, a full disk: photos that wait are not begun
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    results = [*(done[photo.name] for photo in photos.photos), *(PhotoResult(name, reason) for name, reason in photos.left_out.items())]
    with (out / "left_out.tsv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter="\t", lineterminator="\n").writerows((found.photo, found.result) for found in results if not found.kept)
    return results


def crop_one(photo: LabelledPhoto, crops: CropFolder, search: Search, min_eye_distance: float) -> PhotoResult:
    """Crop the face of a photo; of several faces the largest, if it is at least twice as large as the next."""
    try:
        image = picture(photo.read(), photo.name)
    except ClockfaceError as error:
        reason = " ".join(str(error).removeprefix(f"{photo.name}: ").split())
        return PhotoResult(photo.name, reason if isinstance(error, ImageError) else f"cannot be read: {reason}")
    if image.shape[:2] == (CROP_SIZE, CROP_SIZE):
        return _kept(photo, crops, image, ALIGNED)
    image, faces = search(image)
    faces = sorted(faces, key=_area, reverse=True)
    if not faces:
        return PhotoResult(photo.name, "no upright face found")
    if len(faces) > 1 and _area(faces[1]) > 0.5 * _area(faces[0]):
        return PhotoResult(photo.name, "several faces of similar size")
    if faces[0].eye_distance < min_eye_distance:
        return PhotoResult(photo.name, f"eyes closer than {min_eye_distance:g} px")
    return _kept(photo, crops, align(image, faces[0].landmarks)[:, :, ::-1], KEPT)


def _kept(photo: LabelledPhoto, crops: CropFolder, crop: Image, result: str) -> PhotoResult:
    target = crops.file(photo)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    part.write_bytes(cv2.imencode(".png", crop)[1].tobytes())
    os.chmod(part, 0o600)
    part.replace(target)
    return PhotoResult(photo.name, result)


def _area(face: Face) -> float:
    return face.box[2] * face.box[3]


def read_report(out: Path) -> dict[str, PhotoResult]:
    """Results so far by photo; an incomplete line, left by a kill, does not count, and its photo is processed again."""
    path = out / "report.tsv"
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file, delimiter="\t") if len(row) == 3 and row[2] == "."]
    return {row[0]: PhotoResult(row[0], row[1]) for row in rows}


class _report:
    """Appends results to the report; each line ends with a full stop, so that an incomplete one is detected."""

    def __init__(self, out: Path) -> None:
        self._file = (out / "report.tsv").open("a", encoding="utf-8", newline="")
        self._csv = csv.writer(self._file, delimiter="\t", lineterminator="\n")

    def __enter__(self) -> Callable[[PhotoResult], None]:
        return self._write

    def _write(self, outcome: PhotoResult) -> None:
        self._csv.writerow([outcome.photo, outcome.result, "."])
        self._file.flush()

    def __exit__(self, *_: object) -> None:
        self._file.close()


def search_by(detector: Detector) -> Search:
    """A search with one detector: a picture in which the largest face is not upright is turned; no face is found where no turn shows one that is."""

    def search(image: Image) -> tuple[Image, list[Face]]:
        for turn in TURNS:
            found = turned(image, turn)
            faces = [detector.refine(found, face) for face in detector.detect(found, agreed=True)]
            if faces and turn_of(detector, found, faces[0]) == 0:
                return found, faces
        return image, []

    return search


def search_for_threads(min_eye_distance: float) -> Search:
    """One detector per thread, because a network cannot be used by two threads at once."""
    own = threading.local()
    model = catalogue.path("yunet")

    def search(image: Image) -> tuple[Image, list[Face]]:
        if not hasattr(own, "search"):
            own.search = search_by(Detector(model, DetectorSettings(min_eye_distance=int(min_eye_distance))))
        found: tuple[Image, list[Face]] = own.search(image)
        return found

    return search


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photos", type=Path, help="a folder with one sub-folder per person, a list (path, identity), WebDataset shards (.tar) or a .rec")
    parser.add_argument("out", type=arguments.folder, help="folder for the crops")
    parser.add_argument("--model", type=Path, help="embedder that finds photos in the wrong folder")
    parser.add_argument("--min-eye-distance", type=arguments.number(1), default=24.0, help="px between the eyes; smaller faces are not cropped (default 24)")
    parser.add_argument("--hold-out", action="store_true", help="a third of the people go to OUT/held_out, to measure on; the others to OUT/train")
    parser.add_argument("--workers", type=arguments.count, default=os.cpu_count() or 1, help="threads (default: one per core)")


def run(args: argparse.Namespace) -> int:
    embed = open_model(args.model) if args.model else None
    photos = listed(args.photos)
    crops = CropFolder(args.out, args.hold_out)
    crops.check()
    outcomes = prepare(photos, crops, search_for_threads(args.min_eye_distance), args.min_eye_distance, args.workers)
    for reason, count in Counter(outcome.result for outcome in outcomes).most_common():
        print(f"{count:7d}  {reason}")
    page = prepare_page.write(crops, photos, {outcome.photo: outcome.result for outcome in outcomes if not outcome.kept}, embed)
    print(f"{page.duplicates:7d}  pairs of the same photo")
    print(f"{page.mislabelled:7d}  photos that look like another person" if embed else "photos of the wrong person were not looked for; --model finds them")
    print(f"look through {page.path}; to leave a photo out, delete its crop: it is not made again")
    return 0
