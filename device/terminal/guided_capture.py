"""Guided capture of front, left and right views: it gives guidance and selects good crops automatically, but takes no picture for a person.

Pure but for the recogniser it is given: frames come in, progress comes out, time is the frames' own.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from device.terminal.enrolment import BYSTANDER, best_apart, enforced
from device.vision.camera.source import Frame
from device.vision.liveness import Presentation, State
from device.vision.recogniser import Recogniser, Sample

View = Literal["front", "left", "right"]
VIEWS: tuple[View, ...] = ("front", "left", "right")
WANTED: dict[View, int] = {"front": 3, "left": 2, "right": 2}  # crops
FEWEST, MOST = 5, 8  # number of crops of an enrolment
TURNED = 0.12  # yaw, eye distances: more is a side view, less a front view
SECONDS_A_VIEW = 8.0  # longest time for one view; a side view may stay empty
SETTLE_SECONDS = 1.0  # shortest time for one view, so that there is a choice of crops
LONGEST_SECONDS = 45.0
REFUSED = "turn_to_light"  # what helps somebody whose face is taken for a picture
UNLIKE_A_PERSON = ("step_back", "not_judged", REFUSED)


@dataclass(frozen=True)
class Progress:
    """Progress of a capture, for the screen."""

    state: Literal["capturing", "done", "failed"]
    view: View  # view requested now
    taken: int  # good crops so far, at most `wanted`
    wanted: int
    reason: str  # a key of quality.GUIDANCE or of UNLIKE_A_PERSON, "nobody", "two_people", or "" if nothing is wrong


class GuidedCapture:
    """One capture of one person.

    Args:
        recogniser: of the camera loop.
        seconds_a_view: how long one view is waited for.
    """

    def __init__(self, recogniser: Recogniser, seconds_a_view: float = SECONDS_A_VIEW) -> None:
        self._recogniser = recogniser
        self._seconds_a_view = seconds_a_view
        self._model = enforced(recogniser)
        self._presentation = Presentation(self._model.card) if self._model else None
        self._pools: dict[View, list[tuple[float, Sample]]] = {view: [] for view in VIEWS}
        self._faults: Counter[str] = Counter()
        self._index = 0  # of the requested view
        self._began: float | None = None
        self._view_began = 0.0
        self.progress = Progress("capturing", "front", 0, sum(WANTED.values()), "nobody")

    def add(self, frame: Frame) -> Progress:
        """Process one frame."""
        if self.progress.state != "capturing":
            return self.progress
        if self._began is None:
            self._began = self._view_began = frame.time
        reason = self._take(frame)
        self._faults[reason] += 1
        self._move_on(frame.time)
        self.progress = self._progress(frame.time, reason)
        return self.progress

    def _take(self, frame: Frame) -> str:
        """Keep the crop if it is good; returns the reason if it is not, else an empty text."""
        faces = self._recogniser.detector.detect(frame.image)
        if not faces:
            return "nobody"
        if any(face.eye_distance >= BYSTANDER * faces[0].eye_distance for face in faces[1:]):
            return "two_people"
        sample = self._recogniser.sample(frame.image, faces[0])
        if not sample.quality.acceptable:
            return sample.quality.reasons[0]
        if unclear := self._judge(frame, sample):
            return unclear
        self._pools[view_of(sample.quality.yaw)].append((frame.time, sample))
        return REFUSED if self._state == "refused" else ""

    def _judge(self, frame: Frame, sample: Sample) -> str:
        """Judge a good picture; returns the reason if that is not possible, else an empty text."""
        if self._model is None or self._presentation is None:
            return ""
        self._presentation.add(self._model.judge(frame.image, sample.face))
        return self._presentation.hint

    @property
    def _state(self) -> State:
        return self._presentation.state if self._presentation else "live"

    def _move_on(self, now: float) -> None:
        """Go on to the next view when this one has enough crops or takes too long."""
        if self._index >= len(VIEWS):
            return
        view, spent = VIEWS[self._index], now - self._view_began
        enough = len(best_apart(self._pools[view], WANTED[view])) >= WANTED[view] and spent >= SETTLE_SECONDS
        if enough or spent >= self._seconds_a_view:
            self._index, self._view_began = self._index + 1, now

    def _progress(self, now: float, reason: str) -> Progress:
        assert self._began is not None
        chosen, finished = len(self.samples()), self._index >= len(VIEWS)
        enough = finished and chosen >= FEWEST
        failed = now - self._began > LONGEST_SECONDS or (enough and self._state == "refused")
        state: Literal["capturing", "done", "failed"] = "done" if enough and self._state == "live" else "failed" if failed else "capturing"
        if state == "failed":
            reason = REFUSED if self._state == "refused" else self.worst()
        wanted = sum(WANTED.values())
        return Progress(state, VIEWS[min(self._index, len(VIEWS) - 1)] if not finished else "front", min(chosen, wanted), wanted, reason)

    def samples(self) -> list[Sample]:
        """The crops to enrol with: the best of each view, filled up from all views if one stayed empty."""
        chosen = [found for view in VIEWS for found in best_apart(self._pools[view], WANTED[view])]
        if len(chosen) < FEWEST:
            everything = [found for pool in self._pools.values() for found in pool]
            chosen = best_apart(everything, FEWEST, chosen)
        return [sample for _, sample in chosen[:MOST]]

    def worst(self) -> str:
        """The most frequent reason for rejected crops."""
        return next((reason for reason, _ in self._faults.most_common() if reason), "nobody")


def view_of(yaw: float) -> View:
    """The view that a crop shows. Left is the person's own left: the nose moves to the right of the picture."""
    return "left" if yaw > TURNED else "right" if yaw < -TURNED else "front"
