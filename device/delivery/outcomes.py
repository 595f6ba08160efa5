"""Outcomes: what a connector reports about an event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from device.contract import ClockfaceError

LONGEST_ANSWER = 500  # characters of a target's answer that are stored


class ConnectorError(ClockfaceError):
    """A connector cannot be built or tested; the message says what to do."""

    code = "connector"


@dataclass(frozen=True)
class Delivered:
    """The target has the event, from now or from an earlier attempt."""

    answer: str = ""
    reference: str | None = None  # the target's own name for it; '': it has none
    others: Mapping[tuple[str, int], str] = field(default_factory=dict)  # names that other punches got meanwhile, by `PunchHistory.key`


@dataclass(frozen=True)
class Refused:
    """The target will never take this event as it is: a dead letter.

    `cause`: of a refusal that may lie with the target, what kind it is (a status, a class of error); the same for several
    people in a row makes the target wait. None: the fault is this event's own.
    """

    answer: str
    cause: str | None = None
    others: Mapping[tuple[str, int], str] = field(default_factory=dict)  # names that punches got meanwhile, this one included


@dataclass(frozen=True)
class Failed:
    """Not delivered yet. `whole_target`: every other event would fail too (no network, wrong credentials, asked to wait)."""

    answer: str
    whole_target: bool = False
    retry_after_seconds: float | None = None  # what the target asked for
    cause: str | None = None  # of a refusal that hits everybody: see `Refused`


Outcome: TypeAlias = Delivered | Refused | Failed


class Stopped(Exception):
    """A call of a target that did not succeed, with the outcome that this means for the event."""

    def __init__(self, outcome: Refused | Failed) -> None:
        super().__init__()
        self.outcome = outcome


def expect(outcome: Outcome | None) -> str:
    """The answer to a test event that was delivered.

    Raises:
        ConnectorError: it was not delivered.
    """
    if isinstance(outcome, Delivered):
        return outcome.answer
    raise ConnectorError(outcome.answer if outcome else "the test event was not sent")


def shortened(text: str) -> str:
    """A target's answer as it is stored: of a long one the beginning and the end, where our own remark may stand."""
    end = LONGEST_ANSWER // 4
    return text if len(text) <= LONGEST_ANSWER else f"{text[: LONGEST_ANSWER - end - 5]} ... {text[-end:]}"
