"""Finding people by what somebody types, and how a form names the one who was chosen."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlite_utils import Database

from device.contract import phrase
from device.storage.database import StoreError
from device.storage.person_match import LONGEST
from device.storage.records import LONGEST_NAME, Person

MOST = 8  # people that one answer lists
CHOSEN = re.compile(r"(.+) \((id:\d+|[^()]+)\)")


def search(db: Database, text: str, most: int = MOST) -> list[Person]:
    """The people who fit best, active ones first; nobody who is erased."""
    sql = """SELECT * FROM (SELECT *, person_rank(:text, name, code) AS rank FROM people WHERE erased_at IS NULL)
        WHERE rank IS NOT NULL ORDER BY active DESC, rank, name COLLATE NOCASE, id LIMIT :most"""
    return [Person.from_row(row) for row in db.query(sql, {"text": text.strip()[:LONGEST], "most": most})]


def chosen_text(person: Person) -> str:
    """How a form names a person who was chosen: "Ann Müller (E17)"."""
    return f"{person.name} ({person.code or f'id:{person.id}'})"


def no_id(person_id: int) -> StoreError:
    english = "there is no person with id {id}; `python -m device people list` shows everybody"
    return StoreError(phrase("person.unknown", english, id=person_id), code="store.nobody")


def code_taken(code: str | None, owner: Person) -> StoreError:
    words = phrase("code.taken", "code {code!r} belongs to {name!r} (id {id}); give another code", code=code, name=owner.name, id=owner.id)
    return StoreError(words, code="store.code_taken")


def parts(text: str) -> tuple[str, str] | None:
    """The name and the code, or id:17, of what `chosen_text` made; None: it is something else."""
    found = CHOSEN.fullmatch(text.strip())
    return (found[1], found[2]) if found else None


def several(ref: str, found: Sequence[Person]) -> StoreError:
    """What is said of a reference that fits these people."""
    names = ", ".join(f"id:{person.id} ({person.name})" for person in found)
    words = phrase("person.several", "{ref!a} may be any of {names}; choose one by id:N", ref=ref[:LONGEST_NAME], names=names)
    return StoreError(words, code="store.ambiguous")


def nobody(ref: str, near: Sequence[Person]) -> StoreError:
    """What is said of a reference that fits nobody; `near`: whom it could mean."""
    ref = ref[:LONGEST_NAME]
    if near:
        words, names = "nobody has the id, code or exact name {ref!r}; do you mean {names}?", ", ".join(map(chosen_text, near))
        return StoreError(phrase("person.near", words, ref=ref, names=names), code="store.nobody")
    words = "nobody has the id, code or exact name {ref!r}; `python -m device people list` shows everybody"
    return StoreError(phrase("person.nobody", words, ref=ref), code="store.nobody")
