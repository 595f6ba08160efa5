"""What is read of the templates in an open database file; `device/storage/store.py` adds who writes them."""

from __future__ import annotations

from collections.abc import Collection

from device.storage import templates
from device.storage.database import explained
from device.storage.records import KeptCrop, Templates
from device.storage.standing import Standing
from device.storage.store_file import StoreFile


class TemplateReads(StoreFile):
    """The gallery, whom it holds, and the crops it can be made from."""

    def templates(self, model_id: str, person_ids: Collection[int] | None = None) -> Templates:
        """The gallery of one model: every template of active people, or of some of them, as one matrix."""
        with explained(self.path), self._snapshot():
            keys = self.keys.everyone() if person_ids is None else self.keys.of_each(person_ids)
            return templates.gallery(self._db, keys, model_id, person_ids)

    def template_counts(self) -> dict[str, int]:
        """Model id -> number of templates of active people."""
        with explained(self.path):
            return templates.counts(self._db)

    def template_counts_by_person(self) -> dict[int, dict[str, int]]:
        """Person id -> model id -> number of templates, of everybody who has any."""
        with explained(self.path):
            return templates.counts_by_person(self._db)

    def template_owners(self, model_id: str) -> list[tuple[int, int]]:
        """(id, person id) of one model's templates of active people: while they are the same, so is `templates`."""
        with explained(self.path):
            return templates.owners(self._db, model_id)

    def standing(self, model_id: str) -> Standing:
        """Whom of the people with templates this model can recognise, and for whom of the others templates can be made from `kept_crops`."""
        with explained(self.path), self._snapshot():
            return templates.standing(self._db, self.keys.holders(), model_id)

    def people_by_model(self) -> dict[str, int]:
        """Model id -> how many active people it can recognise."""
        with explained(self.path), self._snapshot():
            return templates.people_by_model(self._db, self.keys.holders())

    def kept_crops(self, person_id: int) -> list[KeptCrop]:
        """The crops kept with a person's templates, of the model they were last enrolled with."""
        with explained(self.path):
            return templates.kept_crops(self._db, self.keys.of(person_id), person_id)

    def data_version(self) -> int:
        """A number that grows whenever any process changes people or templates; punches do not count."""
        with explained(self.path):
            return int(self._db.execute("SELECT version FROM gallery_version").fetchone()[0])
