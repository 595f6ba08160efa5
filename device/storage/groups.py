"""Which people belong to a site and a department: what the pages of a company filter by."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlite_utils import Database

from device.storage.audit import Action
from device.storage.records import clean_text
from device.storage.store_file import StoreFile

LONGEST_DEPARTMENT = 100


@dataclass(frozen=True)
class Selection:
    """People of a site, of a department, or of both; an empty text means all of them. A person without sites is at every site."""

    site: str = ""  # id
    department: str = ""

    WHERE = """(:site = '' OR sites IS NULL OR EXISTS (SELECT 1 FROM json_each(sites) WHERE value = :site))
        AND (:department = '' OR department = :department COLLATE NOCASE)"""

    @property
    def values(self) -> dict[str, str]:
        """The values of WHERE."""
        return {"site": self.site, "department": self.department}

    def members(self, db: Database) -> set[int] | None:
        """Ids of its people; None: everybody."""
        if not (self.site or self.department):
            return None
        return {row[0] for row in db.execute(f"SELECT id FROM people WHERE {self.WHERE}", self.values)}


@dataclass(frozen=True)
class Groups:
    """What can be chosen: id -> name of each site that is known here, and the departments that somebody belongs to."""

    sites: dict[str, str]
    departments: tuple[str, ...]


def groups(db: Database) -> Groups:
    sites = dict(db.execute("SELECT id, name FROM fleet_sites ORDER BY name").fetchall())
    departments = db.execute("SELECT DISTINCT department FROM people WHERE department IS NOT NULL AND erased_at IS NULL ORDER BY 1").fetchall()
    return Groups(sites, tuple(row[0] for row in departments))


@dataclass(frozen=True)
class Belonging:
    """Where a person belongs: ids of sites (None: all of them), and the department."""

    sites: tuple[str, ...] | None
    department: str


def places(db: Database) -> dict[int, Belonging]:
    """By person id."""
    rows = db.execute("SELECT id, sites, department FROM people").fetchall()
    return {number: Belonging(None if sites is None else tuple(json.loads(sites)), department or "") for number, sites, department in rows}


def set_place(store: StoreFile, person_id: int, place: Belonging) -> None:
    """Note where a person belongs; nothing is written where that is known.

    Raises:
        StoreError: the department's name cannot be one.
    """
    department = clean_text("department", place.department, LONGEST_DEPARTMENT) if place.department.strip() else ""
    with store.transaction() as db:
        sites = None if place.sites is None else json.dumps(sorted(place.sites))
        differs = "erased_at IS NULL AND (department IS NOT :department OR sites IS NOT :sites)"
        values = {"department": department or None, "sites": sites, "id": person_id}
        if db.execute(f"UPDATE people SET department = :department, sites = :sites WHERE id = :id AND {differs}", values).rowcount:
            store.note(Action.PERSON_PLACED, person_id=person_id)
