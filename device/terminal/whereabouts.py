"""Where recognised faces are, and for how long: who was recorded and stays in view is not recorded again, a picture holds back nobody but itself.

Pure: people, faces and times are passed in.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from device.vision.detector import Face, overlap
from device.vision.liveness import State

SAME_PLACE = 0.75  # overlap from which a face has not moved; somebody who sits and works moves more within a minute
STILL_SECONDS = 60.0  # a face that has not moved for so long may be a picture
PASSED_SECONDS, FORGOTTEN_SECONDS = 60.0, 600.0  # without its person: a place where somebody moved or one where nobody did is forgotten
NEARER = 1.5  # factor of the eye distance: who lingers and comes so much nearer comes anew
LINGERING_SECONDS = (70.0, 10.0)  # ago: the time at whose nearest somebody lingers; the newest part of it may be the way to the terminal
NOTED_SECONDS = 1.0  # between two notes of how near somebody is


@dataclass
class Place:
    """Where a face of one person is or was."""

    person_id: int
    face: Face  # when it was first seen there
    since: float  # s
    last: float
    recorded: float = float("-inf")  # s, when somebody who was recorded was last seen there
    refused: bool = False  # whether liveness takes it for a picture
    picture: bool = False  # whether it is known to be one that stays there

    @property
    def still(self) -> bool:
        return self.last - self.since >= STILL_SECONDS


class Whereabouts:
    """Places and nearness of everybody recognised."""

    def __init__(self) -> None:
        self._places: list[Place] = []
        self._left: dict[int, float] = {}  # by person id: s, when they last lingered at a place that is forgotten
        self._nearness: dict[int, deque[tuple[float, float]]] = {}  # by person id: (s, px between the eyes) while lingering

    def see(self, person_id: int, face: Face, now: float, recorded: bool, state: State = "undecided") -> None:
        """Take in a recognised face of one frame.

        Args:
            person_id: who it is.
            face: in px of the frame.
            now: s.
            recorded: it belongs to somebody who was recorded.
            state: what liveness says of it.
        """
        self._forget(now)
        place = self._place(person_id, face)
        if place is None or now < place.last:
            place = Place(person_id, face, now, now)
            self._places.append(place)
        place.last, place.refused = now, state == "refused"
        if recorded:
            place.recorded = now
        if recorded and not place.refused:
            self._note_nearness(person_id, face.eye_distance, now)
        place.picture = place.still and state != "live" and (place.picture or place.refused)
        self._tell_apart(place)

    def last_seen(self, person_id: int, face: Face, since: float, now: float) -> float | None:
        """When somebody who was recorded was last in view; a picture of them holds back itself alone.

        Args:
            person_id: who it is.
            face: of the same person, not recorded yet, in px of the frame.
            since: s, when this face came into view. One that has not moved and was still there then is another.
            now: s.

        Returns:
            s; None where nothing holds this face back.
        """
        if self.nearer(person_id, face.eye_distance, now):
            return None
        here = self._place(person_id, face)
        times = [place.recorded for place in self._of(person_id) if place is here or not (place.refused or place.picture or self._beside(place, face, since))]
        newest = max([*times, self._left.get(person_id, float("-inf"))])
        return newest if newest > float("-inf") else None

    def nearer(self, person_id: int, eye_distance: float, now: float) -> bool:
        """Whether somebody who lingers has come clearly nearer."""
        earliest, latest = (now - ago for ago in LINGERING_SECONDS)
        lingered = [eyes for at, eyes in self._nearness.get(person_id, ()) if earliest <= at <= latest]
        return bool(lingered) and eye_distance >= NEARER * max(lingered)

    def is_picture(self, person_id: int, face: Face) -> bool:
        """Whether this face is known to be a picture that stays in its place."""
        place = self._place(person_id, face)
        return place is not None and place.picture

    def picture_in_view(self, now: float) -> bool:
        """Whether a picture of somebody enrolled hangs in view, or did minutes ago: people pass before it."""
        return any(place.picture and now - place.last <= FORGOTTEN_SECONDS for place in self._places)

    def _note_nearness(self, person_id: int, eye_distance: float, now: float) -> None:
        noted = self._nearness.setdefault(person_id, deque())
        if not noted or not 0 <= now - noted[-1][0] < NOTED_SECONDS:
            noted.append((now, eye_distance))

    def _forget(self, now: float) -> None:
        for place in self._places:
            if now - place.last > (FORGOTTEN_SECONDS if place.still else PASSED_SECONDS):
                if not (place.refused or place.picture):
                    self._left[place.person_id] = max(place.recorded, self._left.get(place.person_id, place.recorded))
                self._places = [other for other in self._places if other is not place]
        for noted in self._nearness.values():
            while noted and not 0 <= now - noted[0][0] <= LINGERING_SECONDS[0]:
                noted.popleft()

    def _of(self, person_id: int) -> list[Place]:
        return [place for place in self._places if place.person_id == person_id]

    def _place(self, person_id: int, face: Face) -> Place | None:
        return next((place for place in self._of(person_id)[::-1] if overlap(place.face.box, face.box) >= SAME_PLACE), None)

    @staticmethod
    def _beside(place: Place, face: Face, since: float) -> bool:
        """Whether a face that came into view at `since` is another than the one that does not move at this place."""
        return place.still and place.last >= since and _apart(place.face, face)

    def _tell_apart(self, place: Place) -> None:
        """Of two faces of one person in one frame, the one that does not move is a picture."""
        for other in self._of(place.person_id):
            if other is not place and other.last == place.last and _apart(other.face, place.face):
                place.picture, other.picture = place.picture or place.still, other.picture or other.still


def _apart(one: Face, other: Face) -> bool:
    return overlap(one.box, other.box) == 0
