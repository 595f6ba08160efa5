"""Faces keep an id from frame to frame: constant velocity, nearest first, time in seconds and not in frames.

A terminal sees a handful of faces at once, so greedy assignment over all pairs is exact enough; why not a library
stands in docs/decisions/0002-own-tracker.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from device.config import TrackerSettings
from device.vision.detector import Face, overlap

GATE = 0.8  # a face may be off its predicted place by this many face widths...
GATE_PER_SECOND = 2.0  # ... and by so many more for each second it was not seen
SIZE_RATIO = 1.8  # and be this much larger or smaller
VELOCITY_SECONDS = 0.2  # memory of the velocity


@dataclass
class Track:
    """One face over time.

    `stretch` counts the stretches of undisturbed sight: it goes up when the face comes back after it was hidden near
    another one, so that nothing concluded before is carried over to somebody else.
    """

    id: int
    face: Face
    first_seen: float  # seconds
    last_seen: float
    velocity: NDArray[np.float64]  # (2,) px a second
    hits: int = 1
    stretch: int = 0
    crowded: bool = False  # touched another face when last seen

    def predicted(self, time: float) -> tuple[float, float, float, float]:
        """Where the box should be at `time`."""
        x, y, width, height = self.face.box
        shift = self.velocity * (time - self.last_seen)
        return x + float(shift[0]), y + float(shift[1]), width, height


class Tracker:
    """Pure: is given the faces and the time, reads no clock."""

    def __init__(self, settings: TrackerSettings) -> None:
        self.settings = settings
        self.tracks: list[Track] = []  # in sight or lost for a short while
        self._next_id = 1

    def update(self, faces: Sequence[Face], time: float) -> list[Track]:
        """Take in the faces of one frame.

        Args:
            faces: of this frame.
            time: of this frame, seconds, not before the last one.

        Returns:
            The tracks in sight, in the order of `faces`.
        """
        self.tracks = [t for t in self.tracks if 0 <= time - t.last_seen <= self.settings.max_lost_seconds]
        matched = self._assign(faces, time)
        for index, track in matched.items():
            _continue(track, faces[index], time)
        for index in range(len(faces)):
            if index not in matched:
                matched[index] = self._begin(faces[index], time)
        self._mark_crowded(time)
        return [matched[index] for index in range(len(faces))]

    def _assign(self, faces: Sequence[Face], time: float) -> dict[int, Track]:
        pairs = sorted(
            (cost, index, position)
            for position, track in enumerate(self.tracks)
            for index, face in enumerate(faces)
            if (cost := _cost(track, face, time)) is not None
        )
        matched: dict[int, Track] = {}
        taken: set[int] = set()
        for _, index, position in pairs:
            if index not in matched and position not in taken:
                matched[index] = self.tracks[position]
                taken.add(position)
        return matched

    def _begin(self, face: Face, time: float) -> Track:
        track = Track(self._next_id, face, time, time, np.zeros(2))
        self._next_id += 1
        self.tracks.append(track)
        return track

    def _mark_crowded(self, time: float) -> None:
        boxes = [track.predicted(time) for track in self.tracks]
        for i, track in enumerate(self.tracks):
            touching = any(overlap(boxes[i], other) > 0.05 for j, other in enumerate(boxes) if j != i)
            # A hidden face stays crowded until it is seen again: it was lost beside somebody.
            track.crowded = touching or (track.crowded and track.last_seen < time)


def _cost(track: Track, face: Face, time: float) -> float | None:
    """Distance of a face from where the track should be, in face widths; None where it cannot be the same face."""
    x, y, width, height = track.predicted(time)
    ratio = face.box[2] / max(width, 1e-6)
    if not 1 / SIZE_RATIO <= ratio <= SIZE_RATIO:
        return None
    centre = face.centre
    distance = float(np.hypot(centre[0] - x - width / 2, centre[1] - y - height / 2)) / max(width, face.box[2])
    allowed = GATE + GATE_PER_SECOND * (time - track.last_seen)
    return distance if distance <= allowed else None


def _continue(track: Track, face: Face, time: float) -> None:
    elapsed = time - track.last_seen
    if elapsed > 0:
        velocity = (np.array(face.centre) - np.array(track.face.centre)) / elapsed
        weight = 1.0 - float(np.exp(-elapsed / VELOCITY_SECONDS))
        track.velocity = track.velocity + weight * (velocity - track.velocity)
    if track.crowded:
        track.stretch += 1
    track.face, track.last_seen = face, time
    track.hits += 1
