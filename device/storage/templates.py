"""The templates table: enrolment writes it, and the gallery is read from it. The store opens the transactions.

Embedding and crop are sealed with the key of their person (`device/storage/keys.py`): nonce, ciphertext and tag.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlite_utils import Database

from device.storage.database import StoreError, explained, writing
from device.storage.key_folder import KeysError
from device.storage.keys import PersonKeys
from device.storage.records import KeptCrop, Person, TemplateDraft, Templates
from device.storage.sealing import OVERHEAD, seal, unseal
from device.storage.standing import Standing
from device.system.clock import to_ms

FLOATS = f"(length(embedding) - {OVERHEAD}) / 4"  # number of values of a sealed embedding


def insert(db: Database, key: bytes, person_id: int, draft: TemplateDraft) -> int:
    """Add one template; returns its id.

    Raises:
        StoreError: the model's templates have another size.
    """
    size = db.execute(f"SELECT {FLOATS} FROM templates WHERE model_id = ? LIMIT 1", [draft.model_id]).fetchone()
    if size and size[0] != draft.embedding.size:
        raise StoreError(
            f"template: model {draft.model_id[:12]} gives embeddings of {size[0]} numbers, got {draft.embedding.size}; check the model file",
            code="store.template",
        )
    sql = "INSERT INTO templates (person_id, model_id, embedding, quality, crop, source, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)"
    blob = seal(key, draft.embedding.astype("<f4").tobytes(), _context("embedding", person_id, draft.model_id))
    crop = None if draft.crop is None else seal(key, draft.crop, _context("crop", person_id, draft.model_id))
    taken_at = time.time() if draft.taken_at is None else draft.taken_at
    values = [person_id, draft.model_id, blob, float(draft.quality), crop, draft.source, to_ms(taken_at)]
    return int(db.execute(sql, values).lastrowid or 0)


@dataclass(frozen=True)
class PlainTemplate:
    """A template outside its seal, on its way to another terminal or from one."""

    model_id: str
    embedding: bytes  # (D,) float32, little endian
    crop: bytes | None
    quality: float
    source: str
    created_at: int  # ms


def opened(db: Database, key: bytes, template_id: int) -> PlainTemplate:
    """One template, opened with its person's key."""
    columns = "person_id, model_id, embedding, crop, quality, source, created_at"
    person_id, model_id, embedding, crop, quality, source, at = db.execute(f"SELECT {columns} FROM templates WHERE id = ?", [template_id]).fetchone()
    plain = None if crop is None else unseal(key, crop, _context("crop", person_id, model_id))
    return PlainTemplate(model_id, unseal(key, embedding, _context("embedding", person_id, model_id)), plain, quality, source, at)


def keep(db: Database, key: bytes, person_id: int, uuid: str, given: PlainTemplate) -> None:
    """Store a template that another terminal made; it takes the place of an earlier one of this uuid, whose crop stays where none is given."""
    row = {"person": person_id, "model": given.model_id, "quality": given.quality, "source": given.source, "at": given.created_at, "uuid": uuid}
    row["embedding"] = seal(key, given.embedding, _context("embedding", person_id, given.model_id))
    row["crop"] = None if given.crop is None else seal(key, given.crop, _context("crop", person_id, given.model_id))
    db.execute(
        """INSERT INTO templates (person_id, model_id, embedding, quality, crop, source, created_at, uuid)
        VALUES (:person, :model, :embedding, :quality, :crop, :source, :at, :uuid)
        ON CONFLICT (uuid) DO UPDATE SET person_id = :person, embedding = :embedding, crop = coalesce(:crop, crop), quality = :quality""",
        row,
    )


def keep_crop(db: Database, key: bytes, uuid: str, crop: bytes) -> None:
    """Store the crop of a template that came without it."""
    row = db.execute("SELECT person_id, model_id FROM templates WHERE uuid = ?", [uuid]).fetchone()
    if row:
        db.execute("UPDATE templates SET crop = ? WHERE uuid = ?", [seal(key, crop, _context("crop", *row)), uuid])


def reseal(db: Database, person_id: int, old: bytes, new: bytes) -> None:
    """Seal a person's templates with another key."""
    for template_id, model_id, embedding, crop in db.execute(
        "SELECT id, model_id, embedding, crop FROM templates WHERE person_id = ?", [person_id]
    ).fetchall():
        inside = _context("embedding", person_id, model_id)
        outside = None if crop is None else seal(new, unseal(old, crop, _context("crop", person_id, model_id)), _context("crop", person_id, model_id))
        db.execute("UPDATE templates SET embedding = ?, crop = ? WHERE id = ?", [seal(new, unseal(old, embedding, inside), inside), outside, template_id])


def remove_unreadable(db: Database, key: bytes, person_id: int) -> None:
    """Remove what an earlier, lost key of this person sealed: nothing opens these rows any more."""
    for template_id, model_id, blob in db.execute("SELECT id, model_id, embedding FROM templates WHERE person_id = ?", [person_id]).fetchall():
        try:
            unseal(key, blob, _context("embedding", person_id, model_id))
        except KeysError:
            db.execute("DELETE FROM templates WHERE id = ?", [template_id])


def remove(db: Database, person_id: int, models: Collection[str]) -> int:
    """Remove a person's templates of these models; returns how many."""
    sql = "DELETE FROM templates WHERE person_id = ? AND model_id IN (SELECT value FROM json_each(?))"
    return int(db.execute(sql, [person_id, json.dumps(sorted(models))]).rowcount)


def gallery(db: Database, keys: dict[int, bytes], model_id: str, person_ids: Collection[int] | None = None) -> Templates:
    """Every template of one model and of active people whose key is available, as one matrix; None: of all of them."""
    chosen = "FROM templates t JOIN people p ON p.id = t.person_id WHERE t.model_id = :model AND p.active = 1"
    values = {"model": model_id}
    if person_ids is not None:
        chosen, values["people"] = f"{chosen} AND p.id IN (SELECT value FROM json_each(:people))", json.dumps(sorted(person_ids))
    size = db.execute(f"SELECT coalesce(max({FLOATS}), 0) {chosen}", values).fetchone()[0]
    owners = [row for row in db.execute(f"SELECT t.id, t.person_id {chosen} ORDER BY t.person_id, t.id", values) if row[1] in keys]
    ids, owner_ids = np.array(owners, np.int64).reshape(-1, 2).T
    matrix = np.empty((len(owners), size if owners else 0), np.float32)
    rows = (row for row in db.execute(f"SELECT t.person_id, t.embedding {chosen} ORDER BY t.person_id, t.id", values) if row[0] in keys)
    for i, (person_id, blob) in enumerate(rows):  # one row at a time, so that only the matrix is large
        matrix[i] = np.frombuffer(_unsealed(keys, person_id, blob, model_id), "<f4")
    return Templates(ids.copy(), owner_ids.copy(), matrix)


def of_person(db: Database, key: bytes | None, person_id: int, model_id: str) -> list[NDArray[np.float32]]:
    """A person's embeddings of one model, (D,) each, active or not; none without their key."""
    if key is None:
        return []
    rows = db.execute("SELECT embedding FROM templates WHERE person_id = ? AND model_id = ? ORDER BY id", [person_id, model_id])
    return [np.frombuffer(unseal(key, row[0], _context("embedding", person_id, model_id)), "<f4") for row in rows]


def hand_over(db: Database, keys: Mapping[int, bytes], person_id: int, into: int, uuids: Collection[str] | None = None) -> list[str]:
    """Seal a person's templates, or some of them, with another person's key and make them theirs; returns their uuids."""
    moved = []
    for template_id, uuid in db.execute("SELECT id, uuid FROM templates WHERE person_id = ? ORDER BY id", [person_id]).fetchall():
        if uuids is None or uuid in uuids:
            plain = opened(db, keys[person_id], template_id)
            db.execute("DELETE FROM templates WHERE id = ?", [template_id])
            keep(db, keys[into], into, uuid, plain)
            moved.append(uuid)
    return moved


def _unsealed(keys: dict[int, bytes], person_id: int, blob: bytes, model_id: str) -> bytes:
    """An embedding, while its person's key may just be replaced by another (`PersonKeys.promote`)."""
    context = _context("embedding", person_id, model_id)
    try:
        return unseal(keys[person_id], blob, context)
    except KeysError:
        if -person_id not in keys:
            raise
        return unseal(keys[-person_id], blob, context)


def sealed_with(db: Database, key: bytes, person_id: int) -> bool:
    """Whether a person's templates are sealed with this key; True where there are none."""
    row = db.execute("SELECT model_id, embedding FROM templates WHERE person_id = ? LIMIT 1", [person_id]).fetchone()
    try:
        return row is None or bool(unseal(key, row[1], _context("embedding", person_id, row[0])))
    except KeysError:
        return False


def owners(db: Database, model_id: str) -> list[tuple[int, int]]:
    """(id, person id) of one model's templates of active people, in order. Its embedding is never changed, so equal lists mean an equal gallery."""
    sql = "SELECT t.id, t.person_id FROM templates t JOIN people p ON p.id = t.person_id WHERE t.model_id = ? AND p.active = 1 ORDER BY 1"
    return [(row[0], row[1]) for row in db.execute(sql, [model_id])]


def standing(db: Database, readable: Collection[int], model_id: str) -> Standing:
    """See `Standing`; `readable` are the people whose key is available."""
    own = "SELECT 1 FROM templates WHERE person_id = p.id"
    sql = f"""SELECT p.*, CASE WHEN EXISTS ({own} AND model_id = ?) THEN 'known' WHEN EXISTS ({own} AND crop IS NOT NULL) THEN 'to_make' ELSE 'to_enrol' END
        AS standing FROM people p WHERE p.active = 1 AND EXISTS ({own}) ORDER BY p.id"""
    groups: dict[str, list[Person]] = {"known": [], "to_make": [], "to_enrol": []}
    for row in db.query(sql, [model_id]):
        groups[row["standing"] if row["id"] in readable else "to_enrol"].append(Person.from_row(row))
    return Standing(**{group: tuple(people) for group, people in groups.items()})


def people_by_model(db: Database, readable: Collection[int]) -> dict[str, int]:
    """Model id -> how many active people it can recognise."""
    found: Counter[str] = Counter()
    for model_id, person_id in db.execute("SELECT DISTINCT model_id, person_id FROM templates JOIN people p ON p.id = person_id WHERE p.active = 1"):
        found[model_id] += person_id in readable
    return dict(found)


def awaits(db: Database, person_id: int, model_id: str) -> bool:
    """Whether a person has kept pictures and no template of this model."""
    own = "SELECT 1 FROM templates WHERE person_id = :person"
    sql = f"SELECT EXISTS ({own} AND crop IS NOT NULL) AND NOT EXISTS ({own} AND model_id = :model)"
    return bool(db.execute(sql, {"person": person_id, "model": model_id}).fetchone()[0])


def keep_crops_only_with(db: Database, person_id: int, model_id: str) -> None:
    """Remove a person's pictures from the templates of other models: they are kept once."""
    db.execute("UPDATE templates SET crop = NULL WHERE person_id = ? AND model_id <> ? AND crop IS NOT NULL", [person_id, model_id])


def counts(db: Database) -> dict[str, int]:
    """model id -> templates of active people."""
    sql = "SELECT model_id, count(*) FROM templates JOIN people p ON p.id = person_id WHERE p.active = 1 GROUP BY 1 ORDER BY 1"
    return dict(db.execute(sql).fetchall())


def counts_by_person(db: Database) -> dict[int, dict[str, int]]:
    """person id -> model id -> templates, of everybody who has any; at a desk, those that terminals have."""
    found: dict[int, dict[str, int]] = {}
    both = "SELECT person_id, model_id FROM templates UNION ALL SELECT person_id, model_id FROM faces_elsewhere"
    for person_id, model_id, count in db.execute(f"SELECT person_id, model_id, count(*) FROM ({both}) GROUP BY 1, 2"):
        found.setdefault(person_id, {})[model_id] = count
    return found


def remove_all(db: Database, person_id: int) -> int:
    """Delete a person's templates and crops; returns how many there were, those that only terminals can open included."""
    tables = ("templates", "faces_elsewhere")
    return sum(int(db.execute(f"DELETE FROM {table} WHERE person_id = ?", [person_id]).rowcount) for table in tables)


def kept_crops(db: Database, key: bytes | None, person_id: int) -> list[KeptCrop]:
    """The crops kept with a person's templates, of the model they were last enrolled with; none without their key."""
    if key is None:
        return []
    kept = "FROM templates WHERE person_id = :id AND crop IS NOT NULL"
    sql = f"SELECT crop, quality, source, created_at, model_id {kept} AND model_id = (SELECT model_id {kept} ORDER BY id DESC LIMIT 1) ORDER BY id"
    rows = db.execute(sql, {"id": person_id})
    return [
        KeptCrop(unseal(key, crop, _context("crop", person_id, model_id)), quality, source, taken_at / 1000)
        for crop, quality, source, taken_at, model_id in rows
    ]


def seal_older(db: Database, path: Path, keys: PersonKeys) -> None:
    """Seal templates that an older version stored in plain form, in one transaction; then remove the old bytes from the file and its log.

    While another process reads, the file cannot be compacted: the next process that opens it does that.
    """
    to_seal, to_compact = db.execute("SELECT to_seal, to_compact FROM identity").fetchone()
    if to_seal:
        owners = [row[0] for row in db.execute("SELECT DISTINCT person_id FROM templates").fetchall()]
        person_keys = {person_id: keys.ensure(person_id) for person_id in owners}
        with writing(db, path):
            if db.execute("SELECT to_seal FROM identity").fetchone()[0]:  # otherwise another process has done it
                for template_id, person_id, model_id in db.execute("SELECT id, person_id, model_id FROM templates").fetchall():
                    _seal_row(db, person_keys[person_id], template_id, person_id, model_id)
                db.execute("UPDATE identity SET to_seal = 0")
    if to_compact:
        with suppress(StoreError), explained(path):
            for statement in ("PRAGMA wal_checkpoint(TRUNCATE)", "VACUUM"):
                db.execute(statement).fetchall()
            db.execute("UPDATE identity SET to_compact = 0")
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _seal_row(db: Database, key: bytes, template_id: int, person_id: int, model_id: str) -> None:
    embedding, crop = db.execute("SELECT embedding, crop FROM templates WHERE id = ?", [template_id]).fetchone()
    sealed = seal(key, embedding, _context("embedding", person_id, model_id))
    sealed_crop = None if crop is None else seal(key, crop, _context("crop", person_id, model_id))
    db.execute("UPDATE templates SET embedding = ?, crop = ? WHERE id = ?", [sealed, sealed_crop, template_id])


def _context(what: str, person_id: int, model_id: str) -> str:
    return f"{what} of {person_id} for {model_id}"
