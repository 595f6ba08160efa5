"""Today: who is in, out, late, absent or on a break. The page polls every few seconds and gets new content only when something changed."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from device.attendance.timesheet.presence import STATES
from device.attendance.timesheet.sheet import hours
from device.attendance.today import Line, Picture
from device.storage.groups import Selection
from device.storage.person_match import person_rank
from device.web import parameters
from device.web.call import Call
from device.web.desk.liveness import refused_today
from device.web.pages import get

PAGE = 60  # people
RECENT = 12  # latest punches


def today(call: Call) -> Response:
    return call.page("today.html", **_values(call))


def part(call: Call) -> Response:
    """The changing part of the page; 204 if the browser has the newest already."""
    picture = call.picture()
    if call.query.get("seen") == str(picture.serial):
        return Response(status_code=204)
    return call.page("today_part.html", **_values(call, picture))


def _values(call: Call, picture: Picture | None = None) -> dict[str, Any]:
    picture = picture or call.picture()
    state, text = call.query.get("state", ""), call.query.get("name", "").strip()[:80]
    with call.store.reading() as db:
        members = parameters.group(call).members(db)
    here = [line for line in picture.lines if members is None or line.person_id in members]
    chosen = [line for line in here if _fits(line, state, text)]
    number = max(1, min(parameters.page(call), -(-len(chosen) // PAGE)))
    since = picture.site.begins(picture.day - timedelta(days=1)) * 60.0
    return {
        "picture": picture,
        "counts": Counter(line.presence.state for line in here),
        "group": urlencode({key: value for key, value in parameters.group(call).values.items() if value}),
        "states": call.texts.named("words", STATES, "state_"),
        "state": state,
        "text": text,
        "lines": chosen[(number - 1) * PAGE : number * PAGE],
        "total": len(chosen),
        "number": number,
        "pages": max(1, -(-len(chosen) // PAGE)),
        "recent": _recent(call, since, parameters.group(call)),
        "refused": refused_today(call, picture.site),
        "local": picture.site.local,
        "hours": hours,
    }


def _fits(line: Line, state: str, text: str) -> bool:
    if state == "late-today":
        return line.presence.day.late_minutes > 0 and person_rank(text, line.name, line.code) is not None
    return (not state or line.presence.state == state) and person_rank(text, line.name, line.code) is not None


def _recent(call: Call, since: float, group: Selection) -> list[tuple[str, str, int, str]]:
    """Name, direction, minute and device of the latest punches."""
    sql = f"""SELECT people.name, direction, occurred_at / 60000, device FROM punches JOIN people ON people.id = person_id
        WHERE punches.occurred_at >= :since AND {group.WHERE} ORDER BY punches.occurred_at DESC, punches.id DESC LIMIT :most"""
    with call.store.reading() as db:
        return db.execute(sql, {"since": since * 1000, "most": RECENT, **group.values}).fetchall()


ROUTES = (
    get("/today", today, "viewer", teams=True),
    get("/today/part", part, "viewer", teams=True),
)
