"""The templates table: what enrolment stores and the gallery is made of. The store opens the transactions."""

from __future__ import annotations

import time

import numpy as np
from sqlite_utils import Database

from device.database import StoreError
from device.records import KeptCrop, TemplateDraft, Templates, to_ms


def insert(db: Database, person_id: int, draft: TemplateDraft) -> int:
    """Add one template; returns its id.

    Raises:
        StoreError: the model's templates have another size.
    """
    size = db.execute("SELECT length(embedding) / 4 FROM templates WHERE model_id = ? LIMIT 1", [draft.model_id]).fetchone()
    if size and size[0] != draft.embedding.size:
        raise StoreError(f"template: model {draft.model_id[:12]} makes {size[0]} numbers, got {draft.embedding.size}; check the model file")
    sql = "INSERT INTO templates (person_id, model_id, embedding, quality, crop, source, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)"
    blob = draft.embedding.astype("<f4").tobytes()
    values = [person_id, draft.model_id, blob, float(draft.quality), draft.crop, draft.source, to_ms(time.time())]
    return int(db.execute(sql, values).lastrowid or 0)


def gallery(db: Database, model_id: str) -> Templates:
    """Every template of one model and of active people, as one matrix."""
    chosen = "FROM templates t JOIN people p ON p.id = t.person_id WHERE t.model_id = ? AND p.active = 1"
    count, size = db.execute(f"SELECT count(*), coalesce(max(length(t.embedding)) / 4, 0) {chosen}", [model_id]).fetchone()
    ids, person_ids, matrix = np.empty(count, np.int64), np.empty(count, np.int64), np.empty((count, size), np.float32)
    rows = db.execute(f"SELECT t.id, t.person_id, t.embedding {chosen} ORDER BY t.person_id, t.id", [model_id])
    for i, (ids[i], person_ids[i], blob) in enumerate(rows):  # one row at a time: the matrix is the only large thing
        matrix[i] = np.frombuffer(blob, "<f4")
    return Templates(ids, person_ids, matrix)


def counts(db: Database) -> dict[str, int]:
    """model id -> templates of active people."""
    sql = "SELECT model_id, count(*) FROM templates JOIN people p ON p.id = person_id WHERE p.active = 1 GROUP BY 1 ORDER BY 1"
    return dict(db.execute(sql).fetchall())


def counts_by_person(db: Database) -> dict[int, dict[str, int]]:
    """person id -> model id -> templates, of everybody who has any."""
    found: dict[int, dict[str, int]] = {}
    for person_id, model_id, count in db.execute("SELECT person_id, model_id, count(*) FROM templates GROUP BY 1, 2"):
        found.setdefault(person_id, {})[model_id] = count
    return found


def kept_crops(db: Database, person_id: int) -> list[KeptCrop]:
    """The crops kept with somebody's templates of the model they were last enrolled with."""
    kept = "FROM templates WHERE person_id = :id AND crop IS NOT NULL"
    sql = f"SELECT crop, quality, source {kept} AND model_id = (SELECT model_id {kept} ORDER BY id DESC LIMIT 1) ORDER BY id"
    return [KeptCrop(*row) for row in db.execute(sql, {"id": person_id})]
