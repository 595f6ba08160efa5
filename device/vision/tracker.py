"""A tracker gives each face an id that stays from frame to frame: constant velocity, nearest first, time in seconds instead of frames.

Only a few faces are in front of a terminal at once, so greedy assignment over all pairs is exact enough;
docs/decisions/0002-own-tracker.md says why no library is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from device.config import TrackerSettings
from device.vision.detector import Face, overlap

SLOW_SECONDS = 2.0  # a face seen in both of two pictures this far apart may be one face: a slow camera has no others
GATE = 0.8  # face widths that a face may be away from its predicted place...
GATE_PER_SECOND = 2.0  # ... and further face widths for each second it was not seen
SIZE_RATIO = 1.8  # factor by which it may be larger or smaller
VELOCITY_SECONDS = 0.2  # time constant of the velocity's exponential average


@dataclass
class Track:
    """One face over time.

    `stretch` counts the periods in which the face was seen without a possible mix-up: it increases when the face returns
    after it was close to another one, so that no earlier result is carried over to another person.
    """

    id: int
    face: Face
    first_seen: float  # seconds
    last_seen: float
    velocity: NDArray[np.float64]  # (2,) px/s
    hits: int = 1
    stretch: int = 0
    crowded: bool = False  # touched another face when last seen
    patience: float = 0.0  # s that it may be lost from view beyond the settings

    def predicted(self, time: float) -> tuple[float, float, float, float]:
        """Where the box should be at `time`."""
        x, y, width, height = self.face.box
        shift = self.velocity * (time - self.last_seen)
        return x + float(shift[0]), y + float(shift[1]), width, height


class Tracker:
    """Assigns faces to tracks. Pure: faces and time are passed in, no clock is read."""

    def __init__(self, settings: TrackerSettings) -> None:
        self.settings = settings
        self.tracks: list[Track] = []  # in view, or lost for a short time
        self._next_id = 1
        self._latest = float("-inf")  # time of the frame before, s

    def update(self, faces: Sequence[Face], time: float) -> list[Track]:
        """Process the faces of one frame.

        Args:
            faces: of this frame.
            time: of this frame, seconds, not before the last one.

        Returns:
            The tracks in view, in the order of `faces`.
        """
        slow = 0 <= time - self._latest <= SLOW_SECONDS
        self.tracks = [t for t in self.tracks if self._alive(t, time) or (slow and t.last_seen == self._latest)]
        self._latest = time
        matched = self._assign(faces, time)
        for index, track in matched.items():
            _continue(track, faces[index], time)
        for index in range(len(faces)):
            if index not in matched:
                matched[index] = self._begin(faces[index], time)
        self._mark_crowded(time)
        return [matched[index] for index in range(len(faces))]

    def _alive(self, track: Track, time: float) -> bool:
        return 0 <= time - track.last_seen <= self.settings.max_lost_seconds + track.patience

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
            # A hidden face stays crowded until it is seen again, because it was lost beside another one.
            track.crowded = touching or (track.crowded and track.last_seen < time)


def _cost(track: Track, face: Face, time: float) -> float | None:
    """Distance of a face from the track's predicted place, in face widths; None where it cannot be the same face."""
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
