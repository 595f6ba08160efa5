"""The kiosk in each of its states: real faces of the demo's public-domain portraits, real detector, the state put in by hand.

Used by `python -m tests.device.web.kiosk_pictures`, which makes the pictures of the documentation.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from device.attendance.policy import NotRecorded
from device.config import LivenessSettings, Settings
from device.contract import align
from device.storage.consents import ConsentDraft
from device.storage.records import Person, Punch, PunchDraft
from device.system.clock import ClockState
from device.terminal.head_turn import Side
from device.terminal.liveness_gate import MOST_PICTURES, LivenessGate
from device.terminal.pipeline import Scene
from device.terminal.subject import Subject
from device.vision import catalogue
from device.vision.camera.demo import COLLINS, HOPPER, Stage
from device.vision.camera.source import Frame
from device.vision.decision import Outcome
from device.vision.liveness import STEP_BACK, Judgement, LivenessModel
from device.vision.quality import assess
from device.vision.recogniser import Recogniser
from device.vision.tracker import Tracker
from device.vision.visit import Visit
from device.web.live import Live

TurnState = Literal["asked", "turned", "passed", "failed"]

CLOCK = ClockState(True, "boot", 1)
CONSENT = ConsentDraft("2026-11", "en", "as it is shown", "screen", 1.79e9)
ONE, BOTH, NOBODY = 5.2, 19.5, 0.5  # s in the demo's round

HOPPER_PERSON = Person(1, HOPPER.name, "E17", True, 0.0)
COLLINS_PERSON = Person(2, COLLINS.name, "E18", True, 0.0)


class Scenes:
    """Scenes of the demo with people whose state is chosen."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.recogniser = Recogniser(settings)
        self.stage = Stage()

    def at(self, seconds: float, change: Callable[[int, Subject], None] = lambda index, subject: None) -> Scene:
        """The picture at `seconds` of the round; `change` is given each subject, from left to right."""
        now = time.time()
        frame = Frame(self.stage.draw(seconds), now, 0, live=True)
        faces = sorted(self.recogniser.detector.detect(frame.image), key=lambda face: face.box[0])
        tracks = Tracker(self.settings.tracker).update(faces, now)
        subjects = [Subject(track, 0, Visit(self.settings.decision), LivenessGate(self.settings, None), now, now) for track in tracks]
        for index, subject in enumerate(subjects):
            subject.quality = assess(subject.track.face, align(frame.image, subject.track.face.landmarks), self.settings.quality)
            change(index, subject)
        return Scene(frame, tuple(subjects), ())


def punch(person: Person, direction: str = "in", at: float | None = None) -> Punch:
    draft = PunchDraft(person.id, time.time() if at is None else at, direction, "door", "face", CLOCK, 0.8, 0.5, 0.4, None, "m")  # type: ignore[arg-type]
    return Punch(**{**draft.__dict__, "id": person.id, "previous_hash": "", "hash": ""})


def recorded(index: int, subject: Subject) -> None:
    subject.person = (HOPPER_PERSON, COLLINS_PERSON)[index]
    subject.result = punch(subject.person)
    subject.outcome = Outcome("known", "", subject.person.id)


def already(index: int, subject: Subject) -> None:
    recorded(index, subject)
    subject.result = NotRecorded("already recorded", 0.0, time.time() - 1260)


def unknown(index: int, subject: Subject) -> None:
    subject.outcome = Outcome("unknown", "score below the threshold")


def too_small(index: int, subject: Subject) -> None:
    assert subject.quality is not None
    subject.quality = replace(subject.quality, reasons=("too_small",))


def _known(subject: Subject, side: Side | None = None) -> LivenessGate:
    """Somebody enrolled before the gate, which takes a face for a living one or not after one picture; `side`: a turn of the head is asked for."""
    card = replace(LivenessModel(catalogue.path("liveness")).card, pictures=1, threshold=0.5)
    rules = LivenessSettings(mode="enforce", challenge="turn" if side else "none", challenge_seconds=10.0)
    subject.outcome, subject.gate = Outcome("known", "", 1), LivenessGate(Settings(liveness=rules), card, lambda: side or "left")
    return subject.gate


def step_back(index: int, subject: Subject) -> None:
    _known(subject).add(STEP_BACK)


def a_moment(index: int, subject: Subject) -> None:
    _known(subject)
    subject.since -= 3.0


def unclear(index: int, subject: Subject) -> None:
    _known(subject).add(Judgement(0.01))


def come_again(index: int, subject: Subject) -> None:
    gate = _known(subject)
    for _ in range(MOST_PICTURES):
        gate.add(Judgement(0.01))


def asked_to_turn(side: Side, state: TurnState = "asked") -> Callable[[int, Subject], None]:
    def change(index: int, subject: Subject) -> None:
        gate = _known(subject, side)
        gate.add(Judgement(0.99))
        gate.passes(time.time())
        assert gate.turn is not None
        gate.turn.state = state

    return change


def ask(live: Live) -> None:
    draft = PunchDraft(1, time.time(), "in", "door", "face", CLOCK, 0.8, 0.5, 0.4, None, "m")
    live.questions.ask(HOPPER_PERSON, draft, time.time() + 8)
