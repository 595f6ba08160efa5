"""What a connector answers about an event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from device.contract import ClockfaceError

LONGEST_ANSWER = 500  # characters of a target's answer that are kept


class ConnectorError(ClockfaceError):
    """A connector that cannot be built or tested; the message says what to do."""

    code = "connector"


@dataclass(frozen=True)
class Delivered:
    """The target has it, now or already before."""

    answer: str = ""
    reference: str | None = None  # what the target calls it


@dataclass(frozen=True)
class Refused:
    """The target will never take this event as it is: a dead letter."""

    answer: str


@dataclass(frozen=True)
class Failed:
    """Not now. `whole_target`: no other event would fare better (no network, wrong credentials, asked to wait)."""

    answer: str
    whole_target: bool = False
    retry_after_seconds: float | None = None  # what the target asked for


Outcome: TypeAlias = Delivered | Refused | Failed


def expect(outcome: Outcome | None) -> str:
    """The words of a test that worked.

    Raises:
        ConnectorError: it did not.
    """
    if isinstance(outcome, Delivered):
        return outcome.answer
    raise ConnectorError(outcome.answer if outcome else "it was not tried")
