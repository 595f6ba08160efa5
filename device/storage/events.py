"""The event that the outbox gives to a connector, with what its punch counts as now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from device.storage.records import Direction, LastPunch
from device.system.clock import iso_utc


@dataclass(frozen=True)
class PunchHistory:
    """One punch, recorded or added by a correction, as it was stated over time, and what one target calls it."""

    key: tuple[Literal["punch", "added"], int]  # the id of the punch, or of the correction that added it
    states: tuple[LastPunch | None, ...]  # as recorded or added, then as each correction states it; None: it does not count
    reference: str | None = None  # the target's own name for it; '': it has none, None: the target never got it

    @property
    def counts(self) -> LastPunch | None:
        """What counts now; None: it does not count any more."""
        return self.states[-1]


@dataclass(frozen=True)
class Letter:
    """A notice as its recipient gets it: by mail as text and HTML, by a webhook as data."""

    to: str  # mail address; "" for a target that has one place alone
    subject: str
    text: str
    html: str
    data: dict[str, Any]


@dataclass(frozen=True)
class Event:
    """A punch, a correction of one, an alarm of refused attempts, or a notice of open matters, on its way to one target. Times are s since the epoch, UTC."""

    kind: Literal["punch", "correction", "refused_attempts", "notice", "test"]
    id: int  # of the punch, the correction, the alarm or the notice
    key: str  # the same at every attempt and of no other event anywhere: receivers detect duplicates by it
    person_id: int | None  # None: an alarm or a notice
    name: str
    code: str | None
    occurred_at: float | None  # the time that counts now; None: the punch does not count any more
    direction: Direction | None
    device: str
    method: str
    clock_synchronised: bool
    score: float | None = None
    lead: float | None = None
    threshold: float | None = None
    erased: bool = False
    punch_id: int | None = None  # of a correction: the punch it is about; None with `amends` None adds one that was never recorded
    amends: int | None = None  # of a correction: the earlier one whose added punch it is about
    reason: str | None = None
    corrected_by: str | None = None
    corrected_at: float | None = None
    history: PunchHistory | None = None  # of the punch that a punch or a correction is about
    around: tuple[PunchHistory, ...] = ()  # what the target was given of this person near that time, itself included: see `Connector.around_seconds`
    tried_at: float | None = None
    attempts: int | None = None  # of an alarm: how often one face was refused
    recipient_id: int | None = None  # of a notice
    letter: Letter | None = None  # of a notice, once it is written

    @property
    def line(self) -> tuple[str, int]:
        """Whose events are delivered one after the other: those of one person, all alarms, the notices to one recipient."""
        return ("recipient", self.recipient_id) if self.recipient_id is not None else ("person", self.person_id or 0)

    @property
    def reference(self) -> str | None:
        """The target's own name for the punch; '': it has none, None: the target never got it."""
        return self.history.reference if self.history else None

    @property
    def counts(self) -> LastPunch | None:
        """What counts of its punch now, whatever this row of the outbox says; None: the punch does not count."""
        if self.history:
            return self.history.counts
        return LastPunch(self.occurred_at, self.direction) if self.occurred_at is not None and self.direction else None

    def columns(self) -> dict[str, Any]:
        """The columns of `device log --format json`; a correction has some of its own, an alarm names no person."""
        if self.letter is not None:
            return self.letter.data
        if self.kind == "refused_attempts":
            return {"occurred_at": self._occurred(), "attempts": self.attempts, "device": self.device}
        row: dict[str, Any] = {
            "punch_id": self.id if self.kind == "punch" else self.punch_id,
            "person_id": self.person_id,
            "name": self.name,
            "code": self.code,
            "occurred_at": self._occurred(),
            "direction": self.direction,
            "method": self.method,
            "score": self.score,
            "lead": self.lead,
            "threshold": self.threshold,
            "clock_synchronised": self.clock_synchronised,
            "device": self.device,
        }
        if self.kind == "correction":
            at = None if self.corrected_at is None else iso_utc(self.corrected_at)
            row |= {"correction_id": self.id, "amends": self.amends, "reason": self.reason, "corrected_by": self.corrected_by, "corrected_at": at}
        return row

    def _occurred(self) -> str | None:
        return None if self.occurred_at is None else iso_utc(self.occurred_at)
