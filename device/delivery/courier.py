"""The outbox: delivers punches and corrections to the company's systems, in order, at least once, across any outage.

One row per target is written in the punch's own transaction (`Store.record_punch`). One courier per target takes the
events that are due, passes them to the connector and stores the outcomes, one round in one transaction and never before
the answer. So a process that is killed sends the events of one round again, with the same keys, and loses none.

Rules: events of one person are delivered in the order in which they were recorded; one that waits for a retry holds back
later events of this person and target, but of nobody else. An event becomes a dead letter when the target refuses it, or
fails on it repeatedly while it accepts others; the following events go on. A failure of the target as a whole does not
count against any event: the events wait, for weeks if necessary. The same refusal for several people in a row is such a
failure (`breaker.py`).
"""

from __future__ import annotations

import dataclasses
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from device.config import OutboxSettings
from device.contract import ClockfaceError
from device.delivery.breaker import Breaker
from device.delivery.connectors import Connector
from device.delivery.outcomes import Delivered, Failed, Outcome, Refused, shortened
from device.storage.events import Letter
from device.storage.outbox_rows import Mark, Waiting
from device.storage.store import Store
from device.system.clock import to_ms
from device.system.restart import Backoff

ROUND_EVENTS = 1000  # at most so many events are sent again after a kill
ROUND_NEIGHBOURS = 100  # the same for a connector that gets each event with its neighbours, which takes longer to read
ROUND_SECONDS = 2.0  # a round starts no further event after so long, so that outcomes are soon stored
DOWN_AFTER = 5  # failures in a row: the target is down, the events are not at fault
LONGEST_RETRY_AFTER = 86400.0  # s; a target that asks for a longer wait is tried again after a day

Say = Callable[[str], None]
Write = Callable[[Store, int], Letter | None]  # the letter of a notice, by its number; None: nothing is left to tell
REFUSES_EVERYBODY = "it refuses several people in a row alike ({}): "
HEALTHY: dict[str, Any] = {"failures": 0, "next_attempt_at": None, "error": None, "error_at": None}


class Courier:
    """Delivers the events of one target. A courier and its store are used by one thread."""

    def __init__(
        self,
        store: Store,
        connector: Connector,
        settings: OutboxSettings,
        clock: Callable[[], float] = time.time,
        say: Say = print,
        stop: threading.Event | None = None,
        write: Write | None = None,
    ) -> None:
        self._write = write
        self.store = store
        self.connector = connector
        self.settings = settings
        self.backoff = Backoff(settings.first_retry_seconds, settings.longest_retry_seconds, random.random)
        self.clock = clock
        self.say = say
        self.stop = stop or threading.Event()
        self._target = store.outbox.target(connector.name)
        self._answered_at = self._target.last_delivered_at  # when the target last accepted or refused an event
        self._breaker = Breaker(clock, self._target.last_delivered_at)
        self._complaint = ""  # what was said last of something other than events
        self._pool = ThreadPoolExecutor(connector.lanes, thread_name_prefix=f"outbox-{connector.name}") if connector.lanes > 1 else None

    def run(self) -> None:
        """Deliver until `stop` is set; a failure is reported, and after a wait the round is tried again."""
        while not self.stop.is_set():
            try:
                busy = self.round() > 0
                if not busy:
                    self.tick()
            except Exception as error:  # the terminal goes on; the courier starts its round again
                self.say(f"outbox {self.connector.name}: {self._describe(error)}")
                self.stop.wait(self.backoff.wait(5))
                continue
            if not busy:
                self.stop.wait(self.settings.poll_seconds)

    def drain(self) -> int:
        """Deliver until nothing is due any more or the target fails; returns how many events are finished (delivered or dead)."""
        total = 0
        while not self.stop.is_set():
            done = self.round()
            total += done
            if done == 0 or self._target.failures:
                break
        return total

    def round(self) -> int:
        """Try once what is due; returns how many events are finished (delivered or dead)."""
        if self._pausing():
            return 0
        limit = ROUND_NEIGHBOURS if self.connector.around_seconds else ROUND_EVENTS
        due = separate_corrections(self.store.outbox.due(self.connector.name, self.clock(), limit, self.connector.around_seconds))
        due = list(self._written(due))
        if not due:
            return 0
        due = self._breaker.ordered(due)
        begun = Round(self.connector, self.stop, self._breaker)
        try:
            begun.run(parcels(due, self.connector.batch), self._pool)
        finally:
            marks = self._judge(begun.outcomes)
        return sum(mark.state != "waiting" for mark in marks)

    def _written(self, due: Sequence[Waiting]) -> Iterator[Waiting]:
        """The events, and the notices among them as letters. One with nothing left to tell is given up; without a writer notices wait."""
        for waiting in due:
            if waiting.event.kind != "notice":
                yield waiting
            elif self._write is not None and (letter := self._write(self.store, waiting.event.id)):
                yield dataclasses.replace(waiting, event=dataclasses.replace(waiting.event, letter=letter))
            elif self._write is not None:
                self._conclude([Mark(waiting.event, "discarded", "nothing was left to tell", to_ms(self.clock()))])

    def tick(self) -> None:
        """Let the connector do what its target needs in addition to events."""
        if self._pausing():
            return
        outcome = self.connector.tick(self.clock(), _Queue(self.store, self.connector.name))
        if isinstance(outcome, Failed):
            self._target_failed(outcome, [])
        elif isinstance(outcome, Refused):
            self._complain(outcome.answer)
        elif isinstance(outcome, Delivered):
            self._complaint = ""
            if self._target.error:
                self._conclude([], **HEALTHY)

    def close(self) -> None:
        if self._pool:
            self._pool.shutdown(wait=False, cancel_futures=True)
        self.connector.close()

    def _pausing(self) -> bool:
        """Whether the target pauses; read again each time, because `outbox replay` and `fill` in another process end a pause."""
        self._target = self.store.outbox.target(self.connector.name)
        return self._target.pauses(self.clock())

    def _judge(self, outcomes: Sequence[tuple[Waiting, Outcome]]) -> list[Mark]:
        """Turn outcomes into marks and store them with the state of the target."""
        now, answered_at = self.clock(), self._answered_at
        if self._breaker.tripped:
            outcomes = self._given_back(outcomes)
        failed = [outcome for _, outcome in outcomes if isinstance(outcome, Failed)]
        answered = len(failed) < len(outcomes)
        marks = [mark for waiting, outcome in outcomes if (mark := self._mark(waiting, outcome, now, answered_at, answered))]
        if answered:
            self._answered_at = now
        down = next((outcome for outcome in failed if outcome.whole_target), failed[0] if len(failed) >= DOWN_AFTER and not answered else None)
        if down:
            self._target_failed(down, marks)
        elif marks:
            self._conclude(marks, **(HEALTHY if answered and self._target.failures else {}))  # what the connector complains of stays told
        return marks

    def _given_back(self, outcomes: Sequence[tuple[Waiting, Outcome]]) -> list[tuple[Waiting, Outcome]]:
        """The outcomes with every refusal of the streak as a failure of the target, those that are dead letters since an earlier round included."""
        streak = self._breaker.trip()
        ids = {waiting.row_id for waiting, _ in streak}
        why = REFUSES_EVERYBODY.format(streak[-1][1].cause) + streak[-1][1].answer
        failed = Failed(why, whole_target=True, cause=streak[-1][1].cause)
        return [*((w, o) for w, o in outcomes if w.row_id not in ids), *((waiting, failed) for waiting, _ in streak)]

    def _mark(self, waiting: Waiting, outcome: Outcome, now: float, answered_at: float | None, answered: bool) -> Mark | None:
        answer, at = self._scrubbed(outcome.answer), to_ms(now)
        if isinstance(outcome, Delivered):
            return Mark(waiting.event, "delivered", answer, at, waiting.attempts, waiting.blamed, reference=outcome.reference, others=outcome.others)
        if isinstance(outcome, Refused):
            return Mark(waiting.event, "dead", answer, at, waiting.attempts + 1, waiting.blamed + 1, others=outcome.others)
        if outcome.cause:  # it waits longer than its target, so that another person's event shows whether the target still refuses everybody
            again = now + 2 * pause_seconds(self.backoff, max(waiting.attempts, self._target.failures) + 1, outcome)
            return Mark(waiting.event, "waiting", answer, at, waiting.attempts + 1, waiting.blamed, to_ms(again))
        if outcome.whole_target:
            return None
        works = answered or (answered_at is not None and (waiting.tried_at is None or answered_at > waiting.tried_at))
        blamed = waiting.blamed + works
        if blamed >= self.settings.attempts:
            return Mark(waiting.event, "dead", answer, at, waiting.attempts + 1, blamed)
        again = now + pause_seconds(self.backoff, waiting.attempts + 1, outcome)
        return Mark(waiting.event, "waiting", answer, at, waiting.attempts + 1, blamed, to_ms(again))

    def _target_failed(self, failed: Failed, marks: Sequence[Mark]) -> None:
        failures, now, error = self._target.failures + 1, self.clock(), self._scrubbed(failed.answer)
        pause = pause_seconds(self.backoff, failures, failed)
        if failed.cause and self._target.error and self._target.error.startswith(REFUSES_EVERYBODY.format(failed.cause)):
            error = self._target.error  # it was told
        if error != self._target.error:
            self.say(f"outbox {self.connector.name}: {error}; next attempt in {pause:.0f} s")
        self._conclude(marks, failures=failures, next_attempt_at=now + pause, error=error, error_at=now)

    def _complain(self, answer: str) -> None:
        """Report that something other than the events does not work; the events go on."""
        error = self._scrubbed(answer)
        if error != self._complaint:
            self._complaint = error
            self.say(f"outbox {self.connector.name}: {error}")
        if error != self._target.error:
            self._conclude([], error=error, error_at=self.clock())

    def _conclude(self, marks: Sequence[Mark], **changes: Any) -> None:
        if any(mark.state == "delivered" for mark in marks):
            changes["last_delivered_at"] = self.clock()
        self._target = dataclasses.replace(self._target, **changes)
        self.store.outbox.conclude(marks, self._target)

    def _scrubbed(self, text: str) -> str:
        return shortened(self.connector.scrubbed(text))  # in this order: a secret that is cut would not be found

    def _describe(self, error: Exception) -> str:
        """The message of one of our own errors; of any other only its type and place, since its text may hold secrets."""
        if isinstance(error, ClockfaceError):
            return self._scrubbed(str(error))
        frame = error.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        place = f" at {Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}" if frame else ""
        return f"{type(error).__name__}{place}; the round starts again"


class Round:
    """The events of one round: parcels go to the connector and outcomes come back, until the target is down or time is up."""

    def __init__(self, connector: Connector, stop: threading.Event, breaker: Breaker) -> None:
        self.outcomes: list[tuple[Waiting, Outcome]] = []
        self._breaker = breaker
        self._connector = connector
        self._stop = stop
        self._until = time.monotonic() + ROUND_SECONDS
        self._down = False
        self._failures = 0  # in a row

    def run(self, parcels: Sequence[list[Waiting]], pool: ThreadPoolExecutor | None) -> None:
        """Deliver all parcels; when this returns or raises, no call is under way any more."""
        if pool is None:
            for parcel in parcels:
                self._deliver(parcel)
            return
        calls = [pool.submit(self._deliver, parcel) for parcel in parcels]
        wait(calls)
        for call in calls:
            call.result()

    def _deliver(self, parcel: list[Waiting]) -> None:
        if self._must_end():
            return
        deliverable = [waiting for waiting in parcel if not self._refused_without_code(waiting)]
        outcomes = self._connector.deliver([waiting.event for waiting in deliverable])
        for waiting, outcome in zip(deliverable, outcomes, strict=False):  # the outcomes end early after a failure
            if outcome is None:
                continue
            self._note(waiting, outcome)
            alone = self._connector.batch == 1
            if (alone and isinstance(outcome, Failed)) or ((alone or not isinstance(outcome, Delivered)) and self._must_end()):
                return

    def _note(self, waiting: Waiting, outcome: Outcome) -> None:
        self.outcomes.append((waiting, outcome))
        self._breaker.take(waiting, outcome)
        self._failures = self._failures + 1 if isinstance(outcome, Failed) else 0
        self._down = self._down or (isinstance(outcome, Failed) and outcome.whole_target)

    def _refused_without_code(self, waiting: Waiting) -> bool:
        """Refuse an event of a person without a code, since targets know people by their code."""
        event = waiting.event
        if event.code or event.person_id is None:
            return False
        why = "was erased before this was delivered" if event.erased else "has no code"
        remedy = "discard it" if event.erased else "give them one (`python -m device people`), then replay"
        self.outcomes.append((waiting, Refused(f"person {event.person_id} {why}; {remedy}")))
        return True

    def _must_end(self) -> bool:
        return self._down or self._breaker.tripped or self._failures >= DOWN_AFTER or self._stop.is_set() or time.monotonic() > self._until


def pause_seconds(backoff: Backoff, failures: int, failed: Failed) -> float:
    """How long to wait after so many failures (at least 1): not less than the target asked for, up to a day."""
    return max(backoff.wait(failures), min(failed.retry_after_seconds or 0.0, LONGEST_RETRY_AFTER))


def separate_corrections(due: Sequence[Waiting]) -> list[Waiting]:
    """Leave a correction, and later events of this person, for the next round if an earlier event of theirs is in this one.

    A correction needs the target's reference of the punch, which is known once its outcome is stored.
    """
    seen: set[int | None] = set()
    postponed: set[int | None] = set()
    kept = []
    for waiting in due:
        person = waiting.event.person_id
        if person in postponed or (waiting.event.kind == "correction" and person in seen):
            postponed.add(person)
            continue
        seen.add(person)
        kept.append(waiting)
    return kept


def parcels(due: Sequence[Waiting], batch: int) -> list[list[Waiting]]:
    """The events of one call each: those of one person, all alarms, the notices to one recipient; or batches in order where the target accepts many at once."""
    if batch > 1:
        return [list(due[start : start + batch]) for start in range(0, len(due), batch)]
    lines: dict[tuple[str, int], list[Waiting]] = {}
    for waiting in due:
        lines.setdefault(waiting.event.line, []).append(waiting)
    return list(lines.values())


class _Queue:
    """What a connector may ask of its queue (`connectors.Queue`)."""

    def __init__(self, store: Store, connector: str) -> None:
        self._store = store
        self._connector = connector

    def complete_until(self, dead_count: bool) -> float | None:
        return self._store.outbox.complete_until(self._connector, dead_count)

    def never_queued(self, since: float) -> float | None:
        return self._store.outbox.never_queued(self._connector, since)

    def requeue(self, since: float, until: float) -> int:
        return self._store.outbox.fill(self._connector, since, until, again=True)
