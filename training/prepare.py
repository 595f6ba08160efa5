"""Cut aligned crops out of photos, one folder per person; an interrupted run is resumed by the same command.

    python -m training prepare photos crops [--model models/clockface-edge.pt]

The report beside the crops has the result for each photo; suggestions name duplicates and photos that look like another person.
"""

from __future__ import annotations

import argparse
import csv
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from device.config import DetectorSettings
from device.contract import ClockfaceError, align
from device.vision import catalogue
from device.vision.detector import Detector, Face
from training import arguments
from training.data import IMAGE_SUFFIXES, decode
from training.duplicates import duplicates
from training.embedding import Embed, embed_all, open_model
from training.mislabelled import mislabelled

Detect = Callable[[NDArray[np.uint8]], list[Face]]
KEPT = "kept"


@dataclass(frozen=True)
class PhotoResult:
    """The result for one photo."""

    photo: str  # relative to the folder of photos
    result: str  # "kept" or the reason why not


def prepare(photos: Path, out: Path, detect: Detect, min_eye_distance: float, workers: int = 2) -> list[PhotoResult]:
    """Crop every photo that has no result yet; returns the results of all.

    Args:
        photos: a folder with one sub-folder per person.
        out: crops are written to `out/person/photo.png`, results to `out/report.tsv`.
        detect: (H, W, 3) uint8 BGR -> faces; called from several threads.
        min_eye_distance: px between the eyes; smaller faces are not cropped.
    """
    done = read_report(out)
    waiting = [p for p in _photos(photos) if p.relative_to(photos).as_posix() not in done]
    out.mkdir(parents=True, exist_ok=True)
    with _report(out) as write, ThreadPoolExecutor(workers) as pool, Progress(transient=True) as progress:
        task = progress.add_task("photos", total=len(waiting))
        for outcome in pool.map(lambda p: crop_one(p, photos, out, detect, min_eye_distance), waiting):
            write(outcome)
            done[outcome.photo] = outcome
            progress.advance(task)
    return list(done.values())


def crop_one(photo: Path, photos: Path, out: Path, detect: Detect, min_eye_distance: float) -> PhotoResult:
    """Crop the face of a photo; of several faces the largest, if it is at least twice as large as the next."""
    name = photo.relative_to(photos).as_posix()
    image = cv2.imdecode(np.fromfile(photo, np.uint8), cv2.IMREAD_COLOR) if photo.stat().st_size else None
    if image is None:
        return PhotoResult(name, "not a readable image")
    faces = sorted(detect(np.asarray(image, np.uint8)), key=_area, reverse=True)
    if not faces:
        return PhotoResult(name, "no face found")
    if len(faces) > 1 and _area(faces[1]) > 0.5 * _area(faces[0]):
        return PhotoResult(name, "several faces of similar size")
    if faces[0].eye_distance < min_eye_distance:
        return PhotoResult(name, f"eyes closer than {min_eye_distance:g} px")
    target = (out / name).with_name(photo.name + ".png")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    part.write_bytes(cv2.imencode(".png", align(np.asarray(image, np.uint8), faces[0].landmarks)[:, :, ::-1])[1].tobytes())
    os.chmod(part, 0o600)
    part.replace(target)
    return PhotoResult(name, KEPT)


def _area(face: Face) -> float:
    return face.box[2] * face.box[3]


def _photos(folder: Path) -> list[Path]:
    found = sorted(p for p in folder.glob("*/*") if p.suffix.lower() in IMAGE_SUFFIXES)
    if not found:
        raise ClockfaceError(f"{folder} has no sub-folders with photos; put the photos of each person into a sub-folder of its own")
    return found


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


def detector_for_threads(min_eye_distance: float) -> Detect:
    """One detector per thread, because a network cannot be used by two threads at once."""
    own = threading.local()
    model = catalogue.path("yunet")

    def detect(image: NDArray[np.uint8]) -> list[Face]:
        if not hasattr(own, "detector"):
            own.detector = Detector(model, DetectorSettings(min_eye_distance=int(min_eye_distance)))
        found: list[Face] = own.detector.detect(image)
        return found

    return detect


def suggestions(out: Path, embed: Embed | None) -> Iterator[str]:
    """Lines for somebody to check; nothing is deleted."""
    files = sorted(out.glob("*/*.png"))
    if not files:
        return
    crops = np.stack([decode(file.read_bytes(), file.name) for file in files])
    names = [file.relative_to(out).as_posix() for file in files]
    for a, b in duplicates(crops):
        yield f"{names[a]} and {names[b]}: the same photo"
    if embed is not None:
        embeddings, _ = embed_all(embed, crops)
        people = [file.parent.name for file in files]
        for i, other in mislabelled(embeddings, np.array(people)):
            yield f"{names[i]}: looks like {other}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photos", type=Path, help="a folder with one sub-folder per person")
    parser.add_argument("out", type=arguments.folder, help="folder for the crops")
    parser.add_argument("--model", type=Path, help="embedder that finds photos in the wrong folder")
    parser.add_argument("--min-eye-distance", type=arguments.number(1), default=24.0, help="px between the eyes; smaller faces are not cropped (default 24)")
    parser.add_argument("--workers", type=arguments.count, default=os.cpu_count() or 1, help="threads (default: one per core)")


def run(args: argparse.Namespace) -> int:
    embed = open_model(args.model) if args.model else None
    detect = detector_for_threads(args.min_eye_distance)
    outcomes = prepare(args.photos, args.out, detect, args.min_eye_distance, args.workers)
    for reason, count in Counter(outcome.result for outcome in outcomes).most_common():
        print(f"{count:7d}  {reason}")
    lines = list(suggestions(args.out, embed))
    (args.out / "suggestions.txt").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    print(f"{len(lines):7d}  suggestions in {args.out / 'suggestions.txt'}")
    return 0
