"""Retention: a daily task that removes what the site's policy says, reports it and notes it in the audit.

When a punch is removed, its two hashes stay, so that the chain still shows whether anything else is missing. Punches
removed together are one batch: its audit row holds their number and the SHA-256 over all hashes, which
`hash_chain.verify` compares. A punch is removed with its corrections and requests, and only when every connected system
and the fleet's database has them. The newest row of a chain stays until another follows it.
"""

from __future__ import annotations

from sqlite_utils import Database

from device.config import RetentionSettings
from device.storage.audit import Action, sql_list
from device.storage.fleet_state import unsent
from device.storage.hash_chain import batch_digest
from device.storage.store import Store
from device.system.clock import to_ms
from device.system.number_of import number_of

DAY_MS = 86_400_000
ACTIVITY_CHANGES = (Action.PERSON_ADDED, Action.PERSON_ACTIVATED, Action.PERSON_DEACTIVATED)

RULES = (  # setting, what it removes, and the statement; `:before` is ms since the epoch
    ("sightings_days", "sightings", "DELETE FROM sightings WHERE occurred_at < :before"),
    ("sightings_days", "refused attempts", "DELETE FROM refusals WHERE occurred_at < :before"),
    ("sightings_days", "alarms of refused attempts", "DELETE FROM refusal_alarms WHERE occurred_at < :before"),  # and what waits of them
    ("crops_days", "enrolment crops", "UPDATE templates SET crop = NULL WHERE crop IS NOT NULL AND created_at < :before"),
    (
        "inactive_days",
        "templates of inactive people",
        f"""DELETE FROM templates WHERE person_id IN (SELECT p.id FROM people p WHERE p.active = 0
            AND NOT EXISTS (SELECT 1 FROM punches WHERE person_id = p.id AND occurred_at >= :before)
            AND NOT EXISTS (SELECT 1 FROM audit WHERE action IN {sql_list(ACTIVITY_CHANGES)}
                AND at >= :before AND json_extract(details, '$.person_id') = p.id))""",
    ),
)

BATCH = 2_000  # punches per transaction: the terminal records in between
ERASED = "p.person_id IN (SELECT id FROM people WHERE erased_at IS NOT NULL AND :erased)"
QUEUED = "o.state = 'waiting' AND o.connector IN (SELECT connector FROM targets WHERE active = 1)"  # a target that was removed holds nothing back
WAITING = f"""(EXISTS (SELECT 1 FROM outbox o WHERE o.{{row}} = p.id AND {QUEUED})
    OR EXISTS (SELECT 1 FROM corrections k JOIN outbox o ON o.correction_id = k.id WHERE k.{{about}} = p.id AND {QUEUED}))"""
NEWEST = "(SELECT max(id) FROM {table})"
UNSENT = {chain: unsent(chain, row) for chain, row in (("punches", "p.id"), ("corrections", "c.id"))}  # the fleet's database is still to get it

RECORDED = f"""INSERT INTO temp.batch SELECT 'punches', p.id FROM punches p WHERE (p.occurred_at < :before OR {ERASED})
    AND p.id < {NEWEST.format(table="punches")} AND NOT {WAITING.format(row="punch_id", about="punch_id")} AND NOT {UNSENT["punches"]}
    AND NOT EXISTS (SELECT 1 FROM corrections c WHERE c.punch_id = p.id
        AND ({UNSENT["corrections"]} OR c.id = {NEWEST.format(table="corrections")} OR c.occurred_at >= :before AND NOT {ERASED})) LIMIT {BATCH}"""
ADDED = f"""INSERT INTO temp.batch SELECT 'corrections', p.id FROM corrections p WHERE p.punch_id IS NULL AND p.amends IS NULL
    AND (coalesce(p.occurred_at, p.corrected_at) < :before OR {ERASED}) AND NOT {WAITING.format(row="correction_id", about="amends")}
    AND NOT EXISTS (SELECT 1 FROM corrections c WHERE (c.id = p.id OR c.amends = p.id)
        AND ({UNSENT["corrections"]} OR c.id = {NEWEST.format(table="corrections")} OR c.occurred_at >= :before AND NOT {ERASED})) LIMIT {BATCH}"""
CORRECTIONS = """INSERT INTO temp.batch SELECT 'corrections', c.id FROM corrections c JOIN temp.batch g
    ON g.chain = 'punches' AND c.punch_id = g.id OR g.chain = 'corrections' AND c.amends = g.id"""

OF_PUNCH, OF_CORRECTION = (f"(SELECT id FROM temp.batch WHERE chain = '{chain}')" for chain in ("punches", "corrections"))
REQUESTS = f"""INSERT INTO temp.requests SELECT id FROM correction_requests WHERE punch_id IN {OF_PUNCH} OR amends IN {OF_CORRECTION}
    UNION SELECT request_id FROM correction_decisions WHERE correction_id IN {OF_CORRECTION}
    UNION SELECT p.id FROM correction_requests p LEFT JOIN correction_decisions d ON d.request_id = p.id
        WHERE p.punch_id IS NULL AND p.amends IS NULL AND d.correction_id IS NULL AND ({ERASED} OR p.occurred_at < :before AND d.approved = 0)"""
SHEETS = """DELETE FROM locked_sheets WHERE lock_id IN (SELECT id FROM period_locks WHERE until_ms <= :before)
    OR :erased AND person_id IN (SELECT id FROM people WHERE erased_at IS NOT NULL)"""
DELETIONS = (
    f"DELETE FROM outbox WHERE punch_id IN {OF_PUNCH} OR correction_id IN {OF_CORRECTION}",
    "CREATE TEMP TABLE requests (id INTEGER)",
    REQUESTS,
    "DELETE FROM correction_decisions WHERE request_id IN (SELECT * FROM temp.requests)",
    "DELETE FROM correction_requests WHERE id IN (SELECT * FROM temp.requests)",
    "DROP TABLE temp.requests",
    f"DELETE FROM corrections WHERE id IN {OF_CORRECTION}",
    f"DELETE FROM punches WHERE id IN {OF_PUNCH}",
    SHEETS,
)


def apply(store: Store, settings: RetentionSettings, now: float) -> list[str]:
    """Remove what is older than the policy allows; returns the report, empty if nothing was due. Punches are removed in batches, the rest at once."""
    removed: dict[str, int] = {}
    if settings.punches_days or settings.erased_punches == "remove":
        before = to_ms(now) - settings.punches_days * DAY_MS if settings.punches_days else 0
        punches = remove_punches(store, before, settings.erased_punches == "remove")
        removed |= {"punches": punches} if punches else {}
    with store.transaction() as db:
        for name, what, sql in RULES:
            days = getattr(settings, name)
            if days:
                count = int(db.execute(sql, {"before": to_ms(now) - days * DAY_MS}).rowcount)
                removed |= {what: count} if count else {}
        if removed:
            store.note(Action.RETENTION_APPLIED, **{what.replace(" ", "_"): count for what, count in removed.items()})
    if not removed:
        return []
    store.empty_log()
    parts = (number_of(count, "punch") if what == "punches" else f"{count} {what}" for what, count in removed.items())
    return [f"retention: removed {', '.join(parts)}"]


def remove_punches(store: Store, before_ms: int, erased: bool) -> int:
    """Remove punches from before a moment (ms since the epoch; 0: none by age) and, if `erased`, all of erased people; returns how many."""
    removed = 0
    while count := _one_batch(store, {"before": before_ms, "erased": int(erased)}):
        removed += count
    return removed


def _one_batch(store: Store, policy: dict[str, int]) -> int:
    with store.transaction() as db:
        db.execute("CREATE TEMP TABLE batch (chain TEXT, id INTEGER)")
        for sql in (RECORDED, ADDED):
            db.execute(sql, policy)
        count = int(db.execute("SELECT count(*) FROM temp.batch").fetchone()[0])
        if count:
            db.execute(CORRECTIONS)
            _remove_batch(db, store, count, policy)
        db.execute("DROP TABLE temp.batch")
    return count


def _remove_batch(db: Database, store: Store, count: int, policy: dict[str, int]) -> None:
    link = "SELECT g.chain, r.id, r.previous_hash, r.hash FROM temp.batch g JOIN {table} r ON g.chain = '{table}' AND r.id = g.id"
    links = db.execute(f"{link.format(table='punches')} UNION {link.format(table='corrections')} ORDER BY 1, 2").fetchall()
    audit_id = db.execute("SELECT coalesce(max(id), 0) + 1 FROM audit").fetchone()[0]
    store.note(Action.PUNCHES_REMOVED, punches=count, sha256=batch_digest(row[3] for row in links))
    db.conn.executemany("INSERT INTO removals (chain, id, previous_hash, hash, audit_id) VALUES (?, ?, ?, ?, ?)", [(*row, audit_id) for row in links])
    db.execute("INSERT INTO removing VALUES (1)")  # lets the tables' triggers allow the deletions
    for sql in DELETIONS:
        db.execute(sql, policy if sql in (REQUESTS, SHEETS) else {})
    db.execute("DELETE FROM removing")
