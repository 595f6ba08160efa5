"""The store: people, templates and punches in one SQLite file (docs/store.md).

Enrolment adds people with their templates, the terminal reads the templates and records punches, the commands list,
export and erase. Each method that writes is one transaction, on disk when it returns. Use one Store per thread; other
processes may have the same file open at the same time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlite_utils import Database

from device.config import StoreSettings
from device.contract import phrase
from device.storage import consents, employments, people_search, recovery, templates
from device.storage.audit import Action
from device.storage.consents import ConsentDraft
from device.storage.database import StoreError, connect, explained
from device.storage.database_files import sweep
from device.storage.hash_chain import ChainReport
from device.storage.kept_copies import UNFINISHED, erase_in_copies
from device.storage.punch_records import PunchRecords
from device.storage.records import LONGEST_CODE, LONGEST_NAME, KeptCrop, Person, Punch, PunchDraft, TemplateDraft, Templates, clean_text
from device.system.clock import to_ms

__all__ = ["ChainReport", "KeptCrop", "Person", "Punch", "PunchDraft", "Store", "StoreError", "TemplateDraft", "Templates"]

DEFAULTS = StoreSettings()


class Store(PunchRecords):
    """The store: people, templates and punches, and the operations on them."""

    @classmethod
    def open(cls, path: Path, settings: StoreSettings = DEFAULTS, *, must_exist: bool = False, actor: str = "local", any_thread: bool = False) -> Store:
        """Open the store; create it if it is missing and may be created; migrate an older one.

        Args:
            any_thread: whether it may pass from one thread to another; it is still used by one at a time.

        Raises:
            StoreError: missing, of another program, damaged, locked, not writable, from a newer version.
        """
        recovery.refuse_empty(path)
        store = cls(connect(path, settings.busy_timeout_ms, must_exist, any_thread), path, actor)
        try:
            templates.seal_older(store._db, path, store.keys)
            store._erase_again()
        except BaseException:
            store.close()
            raise
        return store

    # people

    def add_person(self, name: str, code: str | None = None) -> Person:
        return self.add_person_with_templates(name, code, [])

    def add_person_with_templates(self, name: str, code: str | None, drafts: Sequence[TemplateDraft], consent: ConsentDraft | None = None) -> Person:
        """Store a person with the consent and all templates, or nothing.

        Raises:
            StoreError: the name or code is not valid, the code is somebody else's, a template does not fit its model.
        """
        name = clean_text("name", name, LONGEST_NAME)
        code = clean_text("code", code, LONGEST_CODE) if code is not None else None
        with self._writing():
            taken = self._people("code = ?", [code])
            if taken:
                raise people_search.code_taken(code, taken[0])
            row = {"name": name, "code": code, "created_at": to_ms(time.time())}
            person_id = self._db.execute("INSERT INTO people (name, code, created_at) VALUES (:name, :code, :created_at)", row).lastrowid
            assert person_id is not None
            self._audit(Action.PERSON_ADDED, person_id=person_id)
            self._add_consent(person_id, consent)
            self._insert_templates(person_id, drafts)
            return self._one(person_id)

    def rename(self, person_id: int, name: str) -> Person:
        name = clean_text("name", name, LONGEST_NAME)
        return self._change(person_id, Action.PERSON_RENAMED, "name = ?", name)

    def set_code(self, person_id: int, code: str | None) -> Person:
        """Change or remove a person's code.

        Raises:
            StoreError: it is somebody else's, the person is erased, or has a PIN and would have no code.
        """
        code = clean_text("code", code, LONGEST_CODE) if code is not None else None
        with self._writing():
            taken = self._people("code = ? AND id <> ?", [code, person_id])
            if taken:
                raise people_search.code_taken(code, taken[0])
            if code is None and self._db.execute("SELECT 1 FROM pins WHERE person_id = ?", [person_id]).fetchone():
                raise StoreError(phrase("code.pin", "a PIN needs a code: remove the PIN first"), code="store.pin")
            if self._one(person_id).erased:
                raise StoreError(phrase("person.erased", "person {id} is erased; enrol as a new person", id=person_id), code="store.erased")
            self._db.execute("UPDATE people SET code = ? WHERE id = ?", [code, person_id])
            self._audit(Action.CODE_CHANGED, person_id=person_id)
            return self._one(person_id)

    def activate(self, person_id: int) -> Person:
        """Let a person be recognised and recorded again; an employment that has ended begins again today."""
        return self._change(person_id, Action.PERSON_ACTIVATED, "active = ?", 1, employments.begin_again)

    def deactivate(self, person_id: int, last_day: date | None = None) -> Person:
        """Stop recognising and recording this person; all data is kept. Unless a last day of employment is known, it is this one or today."""
        return self._change(person_id, Action.PERSON_DEACTIVATED, "active = ?", 0, partial(employments.end, last=last_day))

    def erase(self, person_id: int) -> Person:
        """Erase a person's key, name, code, templates and crops, overwritten in the file and removed from its write-ahead log.

        Without the key the templates in older copies and backups cannot be read any more.

        The punches stay under the pseudonym, and so does their hash chain, which holds the id and never the name.

        The key goes first: from then on each opening completes the erasure, also of a copy that is restored.

        Raises:
            StoreError: no such person; or the log could not be emptied because another process was reading: erase again.
        """
        self.person(person_id)
        self.keys.erase(person_id)
        with self._writing():
            person = self._one(person_id)
            templates.remove_all(self._db, person_id)
            self._db.execute("DELETE FROM pins WHERE person_id = ?", [person_id])
            consents.withdraw(self._db, person_id)
            self._db.execute("DELETE FROM matters WHERE person_id = ?", [person_id])
            self._db.execute("UPDATE outbox SET answer = NULL WHERE person_id = ?", [person_id])  # the answers of targets may contain names
            if not person.erased:
                sql = "UPDATE people SET name = ?, code = NULL, active = 0, erased_at = ? WHERE id = ?"
                self._db.execute(sql, [f"erased-{person_id}", to_ms(time.time()), person_id])
                self._audit(Action.PERSON_ERASED, person_id=person_id)
            self._db.execute(UNFINISHED)
        self._finish_removal(f"person {person_id} is erased", "erase again")
        return self.person(person_id)

    def withdraw_consent(self, person_id: int) -> int:
        """Withdraw all consents: templates and crops are removed as by `erase`; name, code, PIN and punches stay. Returns how many templates there were.

        Raises:
            StoreError: no such person; or the log could not be emptied because another process was reading: withdraw again.
        """
        self.person(person_id)
        self.keys.forget(person_id)
        with self._writing():
            removed = templates.remove_all(self._db, person_id)
            withdrawn = consents.withdraw(self._db, person_id)
            self._audit(Action.CONSENT_WITHDRAWN, person_id=person_id, templates=removed, consents=withdrawn)
            self._db.execute(UNFINISHED)
        self._finish_removal(f"the templates of person {person_id} are removed", "withdraw again")
        return removed

    def _finish_removal(self, done: str, remedy: str) -> None:
        """Take what was removed out of the write-ahead log, the good copy, older states and the copies of killed processes; an opening repeats it."""
        self._empty_log(done, remedy)
        sweep(self.path)
        erase_in_copies(self.path, self.keys)
        recovery.renew(self.path)
        with self._writing():
            self._db.execute("DELETE FROM settings WHERE key = 'removal'")

    def _erase_again(self) -> None:
        """Erase people whom a restored backup or copy holds again, complete what was cut off, and keep their ids from being given to others."""
        forgotten = {row[0] for row in self._db.execute("SELECT id FROM people WHERE erased_at IS NOT NULL")}
        for person_id in forgotten & self.keys.holders() if forgotten else ():
            self.keys.erase(person_id)
        erased = self.keys.erased()
        restored = [person_id for person_id in erased if self._people("id = ? AND erased_at IS NULL", [person_id])]
        self._give_no_id_twice(max({0, *erased, *self.keys.holders()}))
        for person_id in restored:
            self.erase(person_id)
        if self._db.execute("SELECT 1 FROM settings WHERE key = 'removal'").fetchone():
            with suppress(StoreError, recovery.CopyError):  # another process reads, or the disk is full: the next opening tries again
                self._finish_removal("what was removed", "open it again")

    def _give_no_id_twice(self, highest: int) -> None:
        """Continue after the highest id that has or had a key: a restored back-up does not know of those who were enrolled after it."""
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'people'").fetchone()
        if (row[0] if row else 0) < highest:
            with self._writing():
                self._db.execute("DELETE FROM sqlite_sequence WHERE name = 'people'")
                self._db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('people', ?)", [highest])

    # templates

    def add_template(self, person_id: int, model_id: str, embedding: NDArray[np.float32], quality: float, crop: bytes | None, source: str) -> int:
        return self.add_templates(person_id, [TemplateDraft(model_id, embedding, quality, crop, source)])[0]

    def add_templates(self, person_id: int, drafts: Sequence[TemplateDraft], consent: ConsentDraft | None = None) -> list[int]:
        """Add templates of a person, all or none, with the consent to them; returns the ids of the templates."""
        with self._writing():
            if self._one(person_id).erased:
                raise StoreError(phrase("person.erased", "person {id} is erased; enrol as a new person", id=person_id), code="store.erased")
            self._add_consent(person_id, consent)
            return self._insert_templates(person_id, drafts)

    def enrol_again(self, person_id: int, drafts: Sequence[TemplateDraft], replace: bool, consent: ConsentDraft | None = None) -> None:
        """Give somebody who was enrolled before new templates, with the consent to them where it is asked again.

        Args:
            replace: remove the earlier templates of the models of `drafts`; otherwise they are kept beside the new ones.
        """
        with self._writing():
            if self._one(person_id).erased:
                raise StoreError(phrase("person.erased", "person {id} is erased; enrol as a new person", id=person_id), code="store.erased")
            self._add_consent(person_id, consent)
            removed = templates.remove(self._db, person_id, {draft.model_id for draft in drafts}) if replace else 0
            self._insert_templates(person_id, drafts)
            for model_id in {draft.model_id for draft in drafts if draft.crop is not None}:
                templates.keep_crops_only_with(self._db, person_id, model_id)
            self._audit(Action.ENROLLED_AGAIN, person_id=person_id, removed=removed)

    def embeddings(self, person_id: int, model_id: str) -> list[NDArray[np.float32]]:
        """A person's embeddings of one model, (D,) each, whether active or not."""
        with explained(self.path):
            return templates.of_person(self._db, self.keys.of(person_id), person_id, model_id)

    def renew_templates(self, model_id: str, made: Mapping[int, Sequence[TemplateDraft]]) -> list[int]:
        """Add templates of another model that were made from kept crops, in one transaction; the crops are then kept with these alone.

        Returns the ids of the people who got some: not of those who were erased, withdrew their consent, lost their pictures or got such templates meanwhile.
        """
        with self._writing():
            renewed = [person_id for person_id in made if templates.awaits(self._db, person_id, model_id)]
            for person_id in renewed:
                self._insert_templates(person_id, made[person_id])
                templates.keep_crops_only_with(self._db, person_id, model_id)
        return renewed

    # inside a transaction

    def _change(
        self, person_id: int, action: Action, assignment: str, value: str | int, beside: Callable[[Database, int], None] | None = None
    ) -> Person:
        with self._writing():
            if self._one(person_id).erased:
                raise StoreError(phrase("person.erased", "person {id} is erased; enrol as a new person", id=person_id), code="store.erased")
            self._db.execute(f"UPDATE people SET {assignment} WHERE id = ?", [value, person_id])
            if beside:
                beside(self._db, person_id)
            self._audit(action, person_id=person_id)
            return self._one(person_id)

    def _add_consent(self, person_id: int, consent: ConsentDraft | None) -> None:
        if consent is not None:
            consent_id = consents.give(self._db, person_id, consent, self._actor)
            self._audit(Action.CONSENT_GIVEN, person_id=person_id, consent_id=consent_id, version=consent.version, way=consent.way)

    def _insert_templates(self, person_id: int, drafts: Sequence[TemplateDraft]) -> list[int]:
        key = self.keys.ensure(person_id) if drafts else b""
        if drafts:
            templates.remove_unreadable(self._db, key, person_id)
        ids = [templates.insert(self._db, key, person_id, draft) for draft in drafts]
        if ids:
            self._audit(Action.TEMPLATES_ADDED, person_id=person_id, templates=ids)
        return ids
