"""May a face in view be recorded, as far as liveness goes? What its pictures come to, a turn of the head where one is asked for, and refused attempts.

It fails closed: who cannot be judged is not recorded. Pure: judgements and times come in, nothing is stored here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from device.config import Settings
from device.contract import LivenessCard
from device.storage.refusals import RefusalReason
from device.terminal.head_turn import HeadTurn, Side, any_side
from device.vision.liveness import Judgement, Presentation, State

MOST_PICTURES = 100  # of one presentation: the median hardly moves any more; who is refused leaves the view and begins anew
NOT_JUDGED_SECONDS = 5.0  # somebody known about whom nothing can be said for so long is refused
AGAIN_SECONDS = 15.0  # a face that stays and is refused is another attempt after this time
ALARM_ATTEMPTS, ALARM_SECONDS = 3, 60.0


class LivenessGate:
    """The gate before one face, from when it came into view or another face was seen in its place.

    Args:
        settings: of the terminal.
        card: of the liveness model; None where nothing is judged.
        side: to which the head is to be turned.
    """

    def __init__(self, settings: Settings, card: LivenessCard | None, side: Callable[[], Side] = any_side) -> None:
        self._settings, self._side = settings.liveness, side
        self._mirrored = settings.camera.mirror
        self.presentation = Presentation(card) if card else None
        self.turn: HeadTurn | None = None  # once it is asked for
        self._known_since: float | None = None

    @property
    def enforced(self) -> bool:
        return self._settings.mode == "enforce"

    @property
    def score(self) -> float | None:
        """For the punch."""
        return self.presentation.score if self.presentation else None

    @property
    def pictures(self) -> int:
        """That were judged."""
        return self.presentation.pictures if self.presentation else 0

    @property
    def full(self) -> bool:
        """Whether further pictures change nothing."""
        return self.presentation is None or self.pictures >= MOST_PICTURES

    @property
    def state(self) -> State:
        """What the pictures come to."""
        return self.presentation.state if self.presentation else "undecided"

    @property
    def live(self) -> bool:
        """Whether somebody recognised may be taken for present."""
        return not self.enforced or self.state == "live"

    @property
    def failed(self) -> bool:
        """Whether the turn of the head was not made."""
        return self.turn is not None and self.turn.state == "failed"

    @property
    def waits(self) -> bool:
        """Whether a known face may still pass, so that it is to be looked at closely."""
        turns = self.turn is not None and self.turn.open
        return self.enforced and not self.failed and (turns or not self.full)

    def add(self, judgement: Judgement) -> None:
        """Take in what a picture of the face was judged."""
        if self.presentation is not None:
            self.presentation.add(judgement)

    def turned_back(self, yaw: float) -> None:
        """Take in the yaw of a good picture of the same face, as `device.vision.quality.pose` gives it."""
        if self.turn is not None:
            self.turn.back(yaw)

    def passes(self, now: float) -> bool:
        """Whether a known face may be recorded at this moment; asks for the turn of the head once everything else is right."""
        self._known_since = now if self._known_since is None or now < self._known_since else self._known_since
        if self.enforced and self.live and self.turn is None and self._settings.challenge == "turn":
            self.turn = HeadTurn(self._side(), now + self._settings.challenge_seconds, self._mirrored)
        return self.live and (self.turn is None or self.turn.state == "passed")

    def refusal(self, now: float) -> RefusalReason | None:
        """Why a known face that does not pass is refused; None while it is still open."""
        if self.state == "refused":
            return "picture"
        late = self._known_since is not None and now - self._known_since >= NOT_JUDGED_SECONDS
        return "not_judged" if self.failed or (late and not self.live) else None

    @property
    def challenge(self) -> Side | None:
        """The side to which the person is to turn the head now."""
        return self.turn.side if self.turn and self.turn.state == "asked" else None

    @property
    def advice(self) -> str:
        """What the person in front of the terminal can do: a key of `device.terminal.subject.ADVICE`, or an empty text."""
        if not self.enforced or self.presentation is None:
            return ""
        if self.turn is not None:
            return {"asked": f"turn_{self.turn.side}", "turned": "turned", "passed": "", "failed": "come_again"}[self.turn.state]
        if self.state == "refused":
            return "come_again" if self.full else "turn_to_light"
        return "step_back" if self.presentation.hint == "step_back" and not self.live else ""


class Attempts:
    """Refused attempts of one track."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=ALARM_ATTEMPTS)  # s
        self._alarmed = False

    def due(self, now: float) -> bool:
        """Whether a face that is refused at this moment is an attempt that was not counted yet."""
        return not self._times or not 0 <= now - self._times[-1] < AGAIN_SECONDS

    def counted(self, now: float) -> None:
        self._times.append(now)

    def alarm(self) -> int:
        """How many attempts in a short time are to be reported; 0 for none. Once reported, `alarmed` is called."""
        several = len(self._times) == ALARM_ATTEMPTS and 0 <= self._times[-1] - self._times[0] <= ALARM_SECONDS
        return ALARM_ATTEMPTS if several and not self._alarmed else 0

    def alarmed(self) -> None:
        self._alarmed = True
