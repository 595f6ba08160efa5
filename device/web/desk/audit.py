"""The audit log: who did what and when, filtered by actor, action and day."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from datetime import time as clock_time
from typing import Any

from starlette.responses import Response

from device.storage.audit import Action
from device.system.clock import to_ms
from device.web.access import accounts
from device.web.pages import Call, Problem, get

PER_PAGE = 100


def audit_page(call: Call) -> Response:
    actor, action, before = (call.query.get(name, "") for name in ("actor", "action", "before"))
    since, until = (day(call, name) for name in ("from", "to"))
    values = {
        "actor": actor, "action": action, "before": int(before) if before.isdecimal() and len(before) < 18 else 2**62,
        "since": begins(call, since) if since else 0, "until": begins(call, until + timedelta(days=1)) if until else 2**62,
    }  # fmt: skip
    sql = """SELECT id, at, actor, action, details FROM audit WHERE id < :before AND at >= :since AND at < :until
        AND (:actor = '' OR actor = :actor) AND (:action = '' OR action = :action) ORDER BY id DESC LIMIT 101"""
    with call.store.reading() as db:
        rows = db.execute(sql, values).fetchall()
        actors, stored = ([row[0] for row in db.execute(f"SELECT DISTINCT {what} FROM audit ORDER BY 1")] for what in ("actor", "action"))
    actions = sorted({action.value for action in Action} | set(stored))  # stored ones include actions that another version wrote
    logins = {user.actor: user.login for user in accounts.users(call.store)}
    shown = [{"id": r[0], "at": r[1] / 1000, "actor": logins.get(r[2], r[2]), "action": r[3], "details": said(r[4])} for r in rows[:PER_PAGE]]
    following = shown[-1]["id"] if len(rows) > PER_PAGE else None
    named = [(name, logins.get(name, name)) for name in actors]
    query = {"actor": actor, "action": action, "from": call.query.get("from", ""), "to": call.query.get("to", "")}
    return call.page("audit.html", rows=shown, following=following, chosen=query, actors=named, actions=actions)


def day(call: Call, name: str) -> date | None:
    """A day from the form; None where the field is empty.

    Raises:
        Problem: it is none.
    """
    text = call.query.get(name, "")
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise Problem("a day is written as 2026-11-24") from error


def begins(call: Call, first: date) -> int:
    """When a day begins by the site's clock, in ms.

    Raises:
        Problem: it lies outside the calendar.
    """
    try:
        return to_ms(datetime.combine(first, clock_time(), call.clock.zone).timestamp())
    except (ValueError, OverflowError) as error:
        raise Problem("a day is written as 2026-11-24") from error


def said(details: str) -> str:
    """{"person_id": 7, "active": true} -> "person 7, active yes" """
    found: dict[str, Any] = json.loads(details)
    return ", ".join(f"{key.removesuffix('_id').replace('_', ' ')} {_word(value)}" for key, value in found.items())


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "–" if value is None else " ".join(map(str, value)) if isinstance(value, list) else str(value)


ROUTES = (get("/audit", audit_page, "admin"),)
