"""What is kept for how long: a daily look that removes what the site's policy says and reports it, in words and in the audit."""

from __future__ import annotations

from device.config import RetentionSettings
from device.maintenance import removal
from device.storage.store import Store

DAY_MS = 86_400_000

RULES = {  # setting -> what it removes, and the statement; `:before` is ms since the epoch
    "sightings_days": ("sightings", "DELETE FROM sightings WHERE occurred_at < :before"),
    "crops_days": ("enrolment crops", "UPDATE templates SET crop = NULL WHERE crop IS NOT NULL AND created_at < :before"),
    "inactive_days": (
        "templates of inactive people",
        """DELETE FROM templates WHERE person_id IN (SELECT p.id FROM people p WHERE p.active = 0
            AND NOT EXISTS (SELECT 1 FROM punches WHERE person_id = p.id AND occurred_at >= :before)
            AND NOT EXISTS (SELECT 1 FROM audit WHERE action IN ('person deactivated', 'person activated', 'person added')
                AND at >= :before AND json_extract(details, '$.person_id') = p.id))""",
    ),
}


def apply(store: Store, settings: RetentionSettings, now: float) -> list[str]:
    """Remove what is older than the policy allows; returns the report, nothing where nothing was due. Punches go in batches, the rest at once."""
    removed: dict[str, int] = {}
    if settings.punches_days or settings.erased_punches == "remove":
        before = round(now * 1000) - settings.punches_days * DAY_MS if settings.punches_days else 0
        punches = removal.remove(store, before, settings.erased_punches == "remove")
        removed |= {"punches": punches} if punches else {}
    with store.transaction() as db:
        for name, (what, sql) in RULES.items():
            days = getattr(settings, name)
            if days:
                count = int(db.execute(sql, {"before": round(now * 1000) - days * DAY_MS}).rowcount)
                removed |= {what: count} if count else {}
        if removed:
            store.note("retention applied", **{what.replace(" ", "_"): count for what, count in removed.items()})
    if not removed:
        return []
    store.empty_log()
    return [f"retention: removed {', '.join(f'{count} {what}' for what, count in removed.items())}"]
