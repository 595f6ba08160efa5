"""Direction prompts: after recognition a person is asked for the direction and answers with the kiosk's buttons within a time limit.

The camera loop asks and records, a page answers: one lock, no waiting. The clock is handed in.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from device.storage.records import Direction, Person, PunchDraft


@dataclass(frozen=True)
class Question:
    token: str  # must be given with an answer, so that it belongs to this question
    person: Person
    draft: PunchDraft  # with the suggested direction
    until: float  # s since the epoch
    answer: Direction | None = None


class Questions:
    """The open questions, one per person."""

    def __init__(self, token: Callable[[], str] = lambda: secrets.token_urlsafe(12)) -> None:
        self._token = token
        self._lock = threading.Lock()
        self._open: dict[int, Question] = {}  # by person id

    def ask(self, person: Person, draft: PunchDraft, until: float) -> None:
        """Ask a person who is not being asked already."""
        with self._lock:
            self._open.setdefault(person.id, Question(self._token(), person, draft, until))

    def answer(self, token: str, direction: Direction, now: float) -> bool:
        """Take an answer; False if the question has expired or never existed."""
        with self._lock:
            found = next((q for q in self._open.values() if secrets.compare_digest(q.token.encode(), token.encode("utf-8", "replace"))), None)
            if found is None or found.answer is not None or now >= found.until:
                return False
            self._open[found.person.id] = replace(found, answer=direction)
            return True

    def open(self) -> tuple[Question, ...]:
        """Questions without an answer, in the order they were asked."""
        with self._lock:
            return tuple(question for question in self._open.values() if question.answer is None)

    def asks(self, person_id: int) -> bool:
        with self._lock:
            return person_id in self._open

    def settled(self, now: float) -> list[Question]:
        """Questions that were answered or have expired; a clock set back to before the question also ends it. They stay until they are dropped."""
        with self._lock:
            return [q for q in self._open.values() if q.answer is not None or not q.draft.occurred_at <= now < q.until]

    def drop(self, person_id: int) -> None:
        """Remove a question: its result is on disk, or the person was recorded in another way."""
        with self._lock:
            self._open.pop(person_id, None)
