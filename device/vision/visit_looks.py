"""The pictures that visits are made of: the usable photos of people and strangers, and the looks that a terminal takes at a clip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device.vision.camera.source import open_source
from device.vision.evaluation import Progress
from device.vision.images import IMAGE_SUFFIXES, ImageError, read_image
from device.vision.recogniser import Recogniser, surely_faces
from device.vision.tracker import Tracker

CLIP_SUFFIXES = (".mkv", ".mp4", ".avi", ".mov", ".webm", ".gif")


@dataclass(frozen=True)
class VisitPicture:
    """One good picture."""

    time: float  # s
    embedding: NDArray[np.float32]  # (D,)
    quality: float


@dataclass(frozen=True)
class Looks:
    """The usable pictures of a folder of people and of strangers, embedded once for visits of any length."""

    folder: Path  # of the people
    photos: list[list[VisitPicture]]  # one list per person
    clips: list[list[list[VisitPicture]]]  # per person one list per clip
    strangers: list[list[VisitPicture]]


def read_looks(recogniser: Recogniser, enrolled: Path, strangers: Path, progress: Progress) -> Looks:
    """Read them.

    Args:
        enrolled: one sub-folder per person with photos, clips or both.
        strangers: photos of people who are in none of these folders: one photo or one sub-folder each.
        progress: wraps a list of paths and shows how far it is.
    """
    folders = sorted(path for path in enrolled.iterdir() if path.is_dir()) if enrolled.is_dir() else []
    photos, clips = [], []
    for folder in progress(folders, "people"):
        photos.append(_photo_looks(recogniser, folder))
        clips.append([looks for path in sorted(folder.iterdir()) if path.suffix.lower() in CLIP_SUFFIXES and (looks := clip_looks(recogniser, path))])
    outside = sorted(strangers.iterdir()) if any(photos) and strangers.is_dir() else []  # strangers are compared with photos alone
    return Looks(enrolled, photos, clips, [looks for path in progress(outside, "strangers") if (looks := _photo_looks(recogniser, path))])


def _photo_looks(recogniser: Recogniser, path: Path) -> list[VisitPicture]:
    """The usable photos of a folder, or the one photo."""
    photos = [photo for photo in (sorted(path.iterdir()) if path.is_dir() else [path]) if not photo.name.startswith(".")]
    found = [_usable(recogniser, photo) for photo in photos if photo.suffix.lower() in IMAGE_SUFFIXES and photo.suffix.lower() not in CLIP_SUFFIXES]
    return [look for look in found if look is not None]


def _usable(recogniser: Recogniser, photo: Path) -> VisitPicture | None:
    try:
        samples = surely_faces(recogniser.still(read_image(photo)))
    except ImageError:
        return None
    if not samples or not samples[0].quality.acceptable:
        return None
    return VisitPicture(0.0, recogniser.embed(samples[:1])[0], samples[0].quality.score)


def clip_looks(recogniser: Recogniser, path: Path) -> list[VisitPicture]:
    """The looks that the terminal takes at the largest face of a clip: the best good picture of each interval."""
    tracker, interval = Tracker(recogniser.settings.tracker), recogniser.settings.decision.interval_ms / 1000
    looks: dict[int, list[VisitPicture]] = {}
    size: dict[int, float] = {}
    with open_source(str(path), recogniser.settings.camera, once=True, start=0.0) as source:
        for frame in source:
            for track in tracker.update(recogniser.detector.detect(frame.image), frame.time):
                size[track.id] = size.get(track.id, 0.0) + track.face.eye_distance
                taken = looks.setdefault(track.id, [])
                if taken and frame.time < taken[-1].time + interval:
                    continue
                sample = recogniser.sample(frame.image, track.face)
                if sample.quality.acceptable:
                    taken.append(VisitPicture(frame.time, recogniser.embed([sample])[0], sample.quality.score))
    return looks.get(max(size, key=lambda key: size[key]), []) if size else []
