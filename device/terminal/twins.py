"""Looks for one face under two names among people whose templates came from other terminals: enrolment has asked there, but did not know them all."""

from __future__ import annotations

import numpy as np

from device.storage import findings
from device.storage.store import Store
from device.terminal.capture_session import Booth
from device.terminal.enrolment import mean_template
from device.vision.decision import judge
from device.vision.recogniser import Recogniser

TEMPLATES = 300  # looked at in one go


class Twins:
    """The search of one running terminal: what is new is looked at, some hundred templates at a time.

    Args:
        booth: has the recogniser in force and everybody enrolled.
        device: name of this terminal.
    """

    def __init__(self, booth: Booth, device: str) -> None:
        self._booth, self._device = booth, device
        self._looked_at = ("", 0)  # model and newest template of those

    def look(self, store: Store) -> int:
        """Look at the next people; returns how many findings are new."""
        recogniser = self._booth.recogniser
        if recogniser is None:
            return 0
        model_id = recogniser.embedder.card.model_id
        after = self._looked_at[1] if self._looked_at[0] == model_id else 0
        new = sorted(owned for owned in store.template_owners(model_id) if owned[0] > after)[:TEMPLATES]
        if not new:
            return 0
        pairs = [pair for person in dict.fromkeys(person for _, person in new) if (pair := self._like(store, recogniser, person))]
        self._looked_at = (model_id, new[-1][0])
        return self._note(store, pairs) if pairs else 0

    def _like(self, store: Store, recogniser: Recogniser, person: int) -> tuple[int, int, float] | None:
        """Who else has this person's face, and the score."""
        known, gallery = store.embeddings(person, recogniser.embedder.card.model_id), self._booth.enrolled().current(store)
        match = gallery.search(mean_template(np.stack(known)), person) if known else None
        if match is None or judge(match, recogniser.threshold(len(gallery)), 0.0).person_id is None:
            return None
        return person, match.person_id, float(match.score)

    def _note(self, store: Store, pairs: list[tuple[int, int, float]]) -> int:
        with store.transaction() as db:
            before = db.execute("SELECT count(*) FROM findings").fetchone()[0]
            for one, other, score in pairs:
                uuids = dict(db.execute("SELECT id, uuid FROM people WHERE id IN (?, ?)", [one, other]).fetchall())
                findings.tell(db, uuids[one], uuids[other], score, self._device)
            return int(db.execute("SELECT count(*) FROM findings").fetchone()[0] - before)
