"""A site records its own liveness trial: which presentations are wanted, and one short clip of each, in folders by species.

The clips show faces, so they are readable by their owner alone. Recording can be stopped at any time and goes on where it was.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import cv2

from device.config import CameraSettings
from device.contract import ClockfaceError
from device.vision.camera.source import Source, open_source
from device.vision.detector import Detector

RATE = 20.0  # frames/s of a clip, so that every second one is searched, as with a camera of 30 frames/s every third
QUALITY = 95  # of its JPEG pictures, 0..100
SETTLE_SECONDS = 1.0  # of a live camera that are not recorded: it adjusts to the light first
SUFFIX = ".avi"  # Motion JPEG, which every OpenCV writes and which keeps the fine detail of a screen

HOLD = "fill the place where a face would be, move it a little, come nearer and go back"
ATTACKS = {  # species -> how to present it
    "phone-1": f"a photo, then a video, of a face on a phone: {HOLD}",
    "phone-2": f"the same on another phone, brighter or darker: {HOLD}",
    "tablet": f"a photo, then a video, of a face on a tablet: {HOLD}",
    "print-matt": f"a face printed on plain paper, life-size, flat: {HOLD}",
    "print-glossy": f"a face on photo paper, flat, without the glare of a lamp on it: {HOLD}",
    "print-bent": f"a print bent like a cylinder, as a face is: {HOLD}",
    "print-cut": f"a print cut out along the outline of the face, the edges of the sheet gone: {HOLD}",
}
KEYS = "Enter records, r deletes the last one to record it again, s skips the rest of these, q stops"
REAL = "another person, or the same one in other light, with or without glasses, at another distance: as people come to the terminal"


class RecordingError(ClockfaceError):
    """A clip cannot be recorded."""

    code = "recording"


@dataclass(frozen=True)
class Wanted:
    """One kind of presentation and how many of it."""

    species: str
    count: int
    words: str


def plan(each: int) -> tuple[Wanted, ...]:
    """What an hour is enough for: `each` presentations of every species of attack, and three times as many of living faces."""
    return (Wanted("real", 3 * each, REAL), *(Wanted(species, each, words) for species, words in ATTACKS.items()))


def recorded(folder: Path, species: str) -> list[Path]:
    """The clips of a species that were recorded here, by number."""
    return sorted(path for path in (folder / species).glob(f"*{SUFFIX}") if path.stem.isdecimal())


def next_clip(folder: Path, species: str) -> Path:
    """Where the next clip goes: FOLDER/SPECIES/001.avi and so on."""
    last = max((int(path.stem) for path in recorded(folder, species)), default=0)
    return folder / species / f"{last + 1:03}{SUFFIX}"


def record(source: str, settings: CameraSettings, clip: Path, seconds: float) -> int:
    """Record one clip as the camera gives it; a half recorded one is removed.

    Args:
        source: as for `device.vision.camera.source.open_source`.
        settings: its turn and mirror are left for when the clip is played.
        clip: with the suffix SUFFIX; its folder is made.

    Returns:
        Frames in the clip.

    Raises:
        CameraError: the source cannot be opened.
        RecordingError: it gives no picture, or the clip cannot be written.
    """
    with open_source(source, replace(settings, rotate=0, mirror=False)) as opened, _draft(clip) as draft:
        frames = _write(opened, draft, seconds)
    return frames


@contextmanager
def _draft(clip: Path) -> Iterator[Path]:
    """A file beside the clip that becomes the clip when everything is written, mode 600 from the start."""
    draft = clip.with_name(f".{clip.stem}.part{SUFFIX}")
    try:
        for folder in (clip.parent.parent, clip.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft.unlink(missing_ok=True)
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        try:
            yield draft
            os.replace(draft, clip)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise RecordingError(f"{clip} cannot be written ({error.strerror}); name a folder on a disk with room", code="recording.not_written") from error


def _write(source: Source, draft: Path, seconds: float) -> int:
    """Write the frames of a source by the clock of its frames: a slow camera's are repeated, a fast one's left out."""
    writer, begin, written = cv2.VideoWriter(), None, 0
    try:
        for frame in source:
            begin = frame.time + (SETTLE_SECONDS if source.live else 0.0) if begin is None else begin
            if frame.time - begin >= seconds:
                break
            height, width = frame.image.shape[:2]
            if not writer.isOpened():
                writer.open(str(draft), cv2.CAP_OPENCV_MJPEG, cv2.VideoWriter.fourcc(*"MJPG"), RATE, (width, height))
                writer.set(cv2.VIDEOWRITER_PROP_QUALITY, QUALITY)
            while written <= (frame.time - begin) * RATE:
                writer.write(frame.image)
                written += 1
    finally:
        writer.release()
    _check(draft, written)
    return written


def _check(draft: Path, written: int) -> None:
    """OpenCV says nothing when it cannot write, so the frames are counted again."""
    if not written:
        raise RecordingError("the source gave no picture; see that the camera works: `python -m device doctor`", code="recording.no_picture")
    read = cv2.VideoCapture(str(draft))
    found = int(read.get(cv2.CAP_PROP_FRAME_COUNT))
    read.release()
    if found != written:
        words = f"{found} of {written} frames could be written; name a folder on a disk with room"
        raise RecordingError(f"{draft.parent}: {words}", code="recording.not_written")


def faces_seen(detector: Detector, settings: CameraSettings, clip: Path) -> tuple[int, int]:
    """In how many pictures of a clip a face is found, and how many were searched: two a second."""
    with open_source(str(clip), settings, once=True) as source:
        found = [bool(detector.detect(frame.image)) for frame in source if frame.index % (RATE // 2) == 0]
    return sum(found), len(found)


Ask = Callable[[str], str]  # shows words and returns what was typed


def guide(folder: Path, wanted: Sequence[Wanted], record_clip: Callable[[Path], None], ask: Ask) -> int:
    """Lead through the presentations that are missing and record each.

    Returns:
        Clips recorded.
    """
    made: list[Path] = []
    skipped: set[str] = set()
    while kind := next((kind for kind in wanted if kind.species not in skipped and len(recorded(folder, kind.species)) < kind.count), None):
        number = len(recorded(folder, kind.species)) + 1
        answer = ask(f"{kind.species}, {number} of {kind.count}: {kind.words}\n{KEYS}: ").strip().lower()
        if answer == "q":
            break
        if answer == "s":
            skipped.add(kind.species)
        elif answer == "r" and made:
            made.pop().unlink(missing_ok=True)
        elif answer == "":
            made.append(next_clip(folder, kind.species))
            record_clip(made[-1])
    return len(made)
