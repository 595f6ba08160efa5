"""From a scene to the view of the kiosk: one large state, cards of people just recorded, boxes. Pure; the clock is passed in.

Only names of people recognised at this moment or in the last seconds are in it, for everybody can read this page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from device.attendance.policy import NotRecorded
from device.maintenance.doctor import EARLIEST
from device.storage.records import Person, Punch
from device.system.time_zones import LocalClock, zone
from device.terminal.pipeline import Scene
from device.terminal.prompts import Question
from device.terminal.subject import Subject
from device.vision.camera.health import CameraState

State = Literal[
    "idle",
    "looking",
    "guidance",
    "challenge",
    "unclear",
    "recognised",
    "already",
    "asked",
    "unknown",
    "refused",
    "camera_lost",
    "camera_frozen",
    "camera_black",
    "camera_dark",
    "camera_bright",
    "camera_slow",
    "camera_turned",
    "not_recording",
    "clock_not_set",
]
CARD_SECONDS = 5.0  # how long a card stays
CLOCK_BACK_SECONDS = 3600.0  # a clock this far behind the newest punch is wrong
MOST_CARDS = 3
UTC = LocalClock(zone("UTC"))
LONG_SECONDS = 2.0  # somebody who is recognised but not judged yet is then asked to go on looking


@dataclass(frozen=True)
class Card:
    """A person who was just recorded, or was recorded before."""

    id: str
    kind: Literal["recognised", "already"]
    name: str
    time: str  # HH:MM by the site's clock
    direction: str
    at: float  # s since the epoch: first shown


@dataclass(frozen=True)
class Box:
    """A face in view; coordinates are shares of the picture's width and height."""

    x: float
    y: float
    width: float
    height: float
    kind: str


@dataclass(frozen=True)
class View:
    state: State
    reason: str  # key of a message that says more than the state; for a camera that hangs turned what to set, in words
    cards: tuple[Card, ...]
    question: dict[str, Any] | None
    challenge: dict[str, Any] | None  # until when a turn of the head is waited for
    boxes: tuple[Box, ...]
    clock: Literal["ok", "unsynchronised", "not_set"]
    ratio: float  # width / height of the picture
    resetting: int = 0  # s until everything is erased, because somebody asked for it here; 0: nobody did
    alone: str = ""  # since when nothing was heard of the other doors, HH:MM

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def kind(subject: Subject, now: float) -> State:
    """The state of one person in view. `now`: s since the epoch, of the frame."""
    if isinstance(subject.result, Punch):
        return "recognised"
    if isinstance(subject.result, NotRecorded):
        return "already" if subject.result.at else "refused"
    if subject.person is not None:
        return "asked"
    if subject.outcome.state == "unknown":
        return "unknown"
    return _held_up(subject, now) or ("guidance" if subject.advice else "looking")


def _held_up(subject: Subject, now: float) -> Literal["challenge", "unclear"] | None:
    """The state of somebody recognised who is to turn the head, or is not taken for a living person; None while that is open."""
    gate = subject.gate
    if subject.outcome.state != "known" or not gate.enforced:
        return None
    if gate.turn is not None and gate.turn.open:
        return "challenge"
    return "unclear" if gate.refusal(now) else None


def _reason(subject: Subject, state: State, now: float) -> str:
    """What is said beyond the state: the key of a message, or an empty text."""
    if state == "challenge":
        return "look_back" if subject.challenge is None else subject.advice
    if state == "unclear":
        return "come_again" if subject.advice == "come_again" else ""
    if state == "looking" and subject.outcome.state == "known" and now - subject.since >= LONG_SECONDS:
        return "a_moment"
    return subject.advice if state == "guidance" else ""


def recorded(person: Person, punch: Punch, now: float, local: LocalClock) -> Card:
    return Card(f"punch-{punch.id}", "recognised", person.name, clock_time(punch.occurred_at, local), punch.direction, now)


def clock_time(seconds: float, local: LocalClock) -> str:
    return local.said(seconds, "%H:%M")


def clock_state(now: float, synchronised: bool, newest_punch: float) -> Literal["ok", "unsynchronised", "not_set"]:
    """Whether the clock is set. It is not if it shows a time before this program existed or, without a time server, well before the newest punch."""
    if now < EARLIEST or (not synchronised and now < newest_punch - CLOCK_BACK_SECONDS):
        return "not_set"
    return "ok" if synchronised else "unsynchronised"


def seen(
    scene: Scene | None,
    camera: CameraState,
    trouble: str,
    cards: Sequence[Card],
    questions: Sequence[Question],
    clock: Literal["ok", "unsynchronised", "not_set"],
    now: float,
    hangs: str = "",
    local: LocalClock = UTC,
) -> View:
    """The content of the page.

    Args:
        scene: the newest one; None before the first.
        camera: what is wrong with it.
        trouble: with the recogniser or the store; "" for none.
        cards: of those recorded lately.
        questions: that wait for an answer.
        hangs: what to set where the camera hangs turned; "" where it does not.
        local: the site's clock.
    """
    lost = camera in ("lost", "frozen")
    subjects = () if scene is None or lost else tuple(subject for subject in scene.subjects if not subject.picture)
    fresh = [card for card in cards if 0 <= now - card.at < CARD_SECONDS]
    shown = {card.name for card in fresh}
    held = [card for subject in subjects if (card := _held(subject, local)) and card.name not in shown]
    asked = None if lost or not questions else _question(questions[0], now)
    at = scene.frame.time if scene else now
    nearest = max(subjects, key=lambda subject: subject.track.face.eye_distance, default=None)
    state, reason = _state(nearest, [*fresh[::-1], *held], asked is not None, at)
    wrong = _wrong(camera, trouble, clock, state == "idle")
    state, reason = (wrong, "") if wrong else (state, reason)
    if hangs and state in ("idle", "looking", "guidance"):  # whoever is recognised all the same sees it
        state, reason = "camera_turned", hangs
    height, width = scene.frame.image.shape[:2] if scene else (3, 4)
    boxes = tuple(_box(subject, width, height, at) for subject in subjects)
    turn = nearest.gate.turn if nearest and state == "challenge" else None
    challenge = {"until": turn.until, "seconds": round(max(0.0, turn.until - now), 1)} if turn else None
    return View(state, reason, tuple([*fresh[::-1], *held][:MOST_CARDS]), asked, challenge, boxes, clock, round(width / height, 4))


def _wrong(camera: CameraState, trouble: str, clock: str, idle: bool) -> State | None:
    """What prevents recording. A slow camera, or one with too little or too much light, is reported only while nobody is recognised."""
    if trouble:
        return "not_recording"
    if camera == "lost" or camera == "frozen":
        return "camera_lost" if camera == "lost" else "camera_frozen"
    if clock == "not_set":
        return "clock_not_set"
    shown: dict[CameraState, State] = {"black": "camera_black", "dark": "camera_dark", "bright": "camera_bright", "slow": "camera_slow"}
    return shown.get(camera) if idle else None


def _state(nearest: Subject | None, cards: Sequence[Card], asked: bool, now: float) -> tuple[State, str]:
    """The state of the screen: an open question first, then people just recorded, else the nearest person."""
    if asked:
        return "asked", ""
    if cards:
        return cards[0].kind, ""
    if nearest is None:
        return "idle", ""
    state = kind(nearest, now)
    return state, _reason(nearest, state, now)


def _held(subject: Subject, local: LocalClock) -> Card | None:
    """The card of a person who stays in view."""
    if subject.person is None:
        return None
    if isinstance(subject.result, Punch):
        return recorded(subject.person, subject.result, subject.result.occurred_at, local)
    if isinstance(subject.result, NotRecorded) and subject.result.at:
        return Card(f"held-{subject.person.id}", "already", subject.person.name, clock_time(subject.result.at, local), "", subject.result.at)
    return None


def _question(question: Question, now: float) -> dict[str, Any]:
    seconds = max(0, round(question.until - now))
    return {"token": question.token, "name": question.person.name, "suggested": question.draft.direction, "seconds": seconds}


def _box(subject: Subject, width: int, height: int, now: float) -> Box:
    x, y, w, h = subject.track.face.box
    return Box(round(x / width, 3), round(y / height, 3), round(w / width, 3), round(h / height, 3), kind(subject, now))
