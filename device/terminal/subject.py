"""A person in front of the camera, and what the screen tells them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from device.attendance.policy import NotRecorded
from device.storage.records import Person, Punch
from device.terminal.head_turn import Side
from device.terminal.liveness_gate import Attempts, LivenessGate
from device.vision.decision import Outcome
from device.vision.quality import GUIDANCE, Quality
from device.vision.recogniser import Sample
from device.vision.tracker import Track
from device.vision.upright import Look
from device.vision.visit import Visit

ADVICE = {  # key -> instruction for a person whose face is not taken for a living one, or not yet
    **GUIDANCE,
    "step_back": "step back a little",
    "turn_to_light": "turn to the light",
    "come_again": "step aside and come again",
    "turn_left": "turn your head to the left",
    "turn_right": "turn your head to the right",
}


@dataclass
class Subject:
    """A person in front of the camera: one track, its visit and its liveness."""

    track: Track
    stretch: int
    visit: Visit
    gate: LivenessGate
    since: float  # s
    next_look: float  # s; when the best crop so far goes into the embedder
    attempts: Attempts = field(default_factory=Attempts)  # of the track
    best: tuple[Sample, NDArray[np.uint8]] | None = None  # with its frame
    quality: Quality | None = None  # of the newest crop, for guidance
    look: Look | None = None  # the latest at the four turns of the face
    outcome: Outcome = field(default_factory=lambda: Outcome("undecided", "no good picture yet"))
    person: Person | None = None  # once known, and past the gate
    result: Punch | NotRecorded | None = None  # result for such a person
    picture: bool = False  # known to be a picture that hangs there

    @property
    def settled(self) -> bool:
        """Whether there is nothing to wait for: unknown, or known and not held up by the gate."""
        known = self.outcome.state == "known" and (self.person is not None or not self.gate.waits)
        return self.outcome.state == "unknown" or known

    @property
    def recorded(self) -> bool:
        """Whether this is somebody who was recorded, now or before, and stays in view."""
        return isinstance(self.result, Punch) or (self.result is not None and self.result.at > 0)

    @property
    def judged(self) -> bool:
        """Whether its pictures are to be judged: if it may be somebody enrolled, until it is recorded, or was recorded and enough is known."""
        alike = self.outcome.state != "unknown" and self.outcome.score >= self.outcome.threshold
        return alike and not self.gate.full and (self.result is None or self.gate.state == "undecided")

    @property
    def upright(self) -> bool:
        """Whether its turn need not be looked at again: it is known by upright pictures and waits for the gate."""
        return self.outcome.state == "known" and not self.settled and self.look is not None and self.look.turn == 0

    @property
    def challenge(self) -> Side | None:
        """The side to which the person is to turn the head now."""
        return None if self.result else self.gate.challenge

    @property
    def advice(self) -> str:
        """What the person can do: a key of ADVICE, or an empty text."""
        if self.result is not None or self.picture or self.outcome.state == "unknown":
            return ""
        if self.outcome.state == "known" and self.gate.turn is not None:
            return self.gate.advice
        return self.quality.reasons[0] if self.quality and self.quality.reasons else self.gate.advice

    @property
    def words(self) -> str:
        """For the status line and the picture."""
        if self.person is not None and isinstance(self.result, Punch):
            return f"{self.person.name}: recorded ({self.result.direction})"
        if self.person is not None and isinstance(self.result, NotRecorded):
            return f"{self.person.name}: {self.result.reason}"
        if self.person is not None:
            return f"{self.person.name}: in or out?"
        if self.outcome.state == "unknown":
            return "unknown"
        return ADVICE.get(self.advice, "looking")
