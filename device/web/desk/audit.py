"""The audit log: who did what and when, filtered by actor, action and day."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from datetime import time as clock_time
from typing import Any, get_args

from starlette.responses import Response

from device.storage.audit import Action
from device.storage.consents import Way
from device.storage.store import Store
from device.system.clock import to_ms
from device.web.access import accounts
from device.web.call import Call, Problem
from device.web.messages import Messages
from device.web.pages import get

PER_PAGE = 100
PEOPLE = ("person_id", "other_id")  # details that name a person
WORDS = {"user_id": "login", "other_id": "other person"}
WAYS = get_args(Way)
DAY = re.compile(r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])")
ACTORS = ("local", "terminal", "kiosk", "desk", "cli", "fleet", "clock", "upkeep", "backup", "outbox", "connectors")


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
    names = NamesById(call.store, call.texts)
    shown = [
        {"id": number, "at": at / 1000, "actor": names.actor(who), "action": call.texts.of_code("actions", what), "details": names.details(details)}
        for number, at, who, what, details in rows[:PER_PAGE]
    ]
    following = shown[-1]["id"] if len(rows) > PER_PAGE else None
    named = sorted(((name, names.actor(name).text) for name in actors), key=lambda pair: pair[1].casefold())
    query = {"actor": actor, "action": action, "from": call.query.get("from", ""), "to": call.query.get("to", "")}
    said = sorted(((name, call.texts.of_code("actions", name)) for name in actions), key=lambda pair: pair[1].casefold())
    return call.page("audit.html", rows=shown, following=following, chosen=query, actors=named, actions=said)


def day(call: Call, name: str) -> date | None:
    """A day from the form; None where the field is empty.

    Raises:
        Problem: it is none.
    """
    text = call.query.get(name, "")
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise Problem(call.texts.text("audit.wrong_day")) from error


def begins(call: Call, first: date) -> int:
    """When a day begins by the site's clock, in ms.

    Raises:
        Problem: it lies outside the calendar.
    """
    try:
        return to_ms(datetime.combine(first, clock_time(), call.clock.zone).timestamp())
    except (ValueError, OverflowError) as error:
        raise Problem(call.texts.text("audit.wrong_day")) from error


@dataclass(frozen=True)
class Said:
    """A part of an entry: what it says, and the page about it."""

    text: str
    href: str = ""
    what: str = ""  # which detail it is: "person", "templates"


class NamesById:
    """People and logins as they are called now, for the numbers that entries hold: an erased person has no name in them."""

    def __init__(self, store: Store, texts: Messages) -> None:
        self._texts, self._say = texts, texts.within("audit")
        self._people = {person.id: person.name for person in store.people()}
        self._logins = {user.id: user.login for user in accounts.users(store)}

    def actor(self, actor: str) -> Said:
        """`user:4` -> the login; `person:7`, at the kiosk -> the person."""
        kind, _, number = actor.partition(":")
        if number.isdecimal() and kind == "user":
            return Said(self._logins.get(int(number), actor))
        if number.isdecimal() and kind == "person":
            return self._person(int(number))
        return Said(self._texts.text(f"actor.{actor}") if actor in ACTORS else actor)

    def details(self, details: str) -> list[Said]:
        """{"person_id": 7, "active": true} -> "person Ada Kern", "active yes"."""
        return [replace(self._detail(key, value), what=self._what(key)) for key, value in json.loads(details).items()]

    def _what(self, key: str) -> str:
        return self._texts.of_code("details", WORDS.get(key, key.removesuffix("_id").replace("_", " ")))

    def _detail(self, key: str, value: Any) -> Said:
        if key in PEOPLE and isinstance(value, int):
            return self._person(value)
        if key == "user_id":
            return Said(self._say("unknown") if value is None else self._logins.get(value, str(value)))
        if key == "request_id" and isinstance(value, int):
            return Said(str(value), f"/corrections/{value}")
        return Said(self._say("unknown") if key in PEOPLE and value is None else self._word(key, value))

    def _person(self, number: int) -> Said:
        name = self._people.get(number)
        return Said(self._say("person", id=number)) if name is None else Said(name, f"/people/{number}")

    def _word(self, key: str, value: Any) -> str:
        if isinstance(value, bool):
            return self._say("yes" if value else "no")
        if key == "way" and value in WAYS:
            return self._texts.text(f"person.way_{value}")
        if isinstance(value, str) and DAY.fullmatch(value):
            return self._texts.numeric_day(value)
        if key == "place" and value in ACTORS:
            return self._texts.text(f"actor.{value}")
        if key == "role" and isinstance(value, str):
            return self._texts.of_code("menu", value, f"role_{value}")
        return "–" if value is None else " ".join(map(str, value)) if isinstance(value, list) else str(value)


ROUTES = (get("/audit", audit_page, "admin"),)
