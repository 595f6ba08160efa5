"""What is read of the people in an open database file; `device/storage/store.py` adds who writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from device.storage import people_search
from device.storage.database import explained
from device.storage.records import Person
from device.storage.template_reads import TemplateReads

LARGEST_ID = 2**63 - 1  # of SQLite


class PeopleReads(TemplateReads):
    """Everybody, and one person by id, code or name."""

    def people(self, active_only: bool = False) -> list[Person]:
        """All people, erased ones included, by id."""
        with explained(self.path):
            return self._people("active = 1" if active_only else "1 = 1", [])

    def person(self, ref: int | str) -> Person:
        """The person with an id, or with a text that is a code, an exact name, an id, `id:17`, or "Name (code)" as forms write it.

        Raises:
            StoreError: nobody, or more than one.
        """
        with explained(self.path):
            if isinstance(ref, int):
                return self._one(ref)
            if ref.startswith("id:"):
                return self._one(_as_id(ref[3:]))
            text = ref.strip()
            found = self._people("erased_at IS NULL AND (code = ? OR name = ?) OR id = ?", [text, text, _as_id(text)])
            if not found and (named := people_search.parts(text)):
                found = self._people("erased_at IS NULL AND name = ? AND (code = ? OR 'id:' || id = ?)", [named[0], named[1], named[1]])
            near = [] if found else people_search.search(self._db, text, 3)
        if len(found) > 1:
            raise people_search.several(ref, found)
        if not found:
            raise people_search.nobody(ref, near)
        return found[0]

    # inside a transaction

    def _people(self, where: str, values: Sequence[Any]) -> list[Person]:
        return [Person.from_row(row) for row in self._db.query(f"SELECT * FROM people WHERE {where} ORDER BY id", values)]

    def _one(self, person_id: int) -> Person:
        found = self._people("id = ?", [min(person_id, LARGEST_ID)])
        if not found:
            raise people_search.no_id(person_id)
        return found[0]


def _as_id(text: str) -> int:
    """The id in a text; -1, which no person has, if it is not a number that SQLite can hold."""
    return int(text) if text.isdecimal() and len(text) < 19 else -1
