"""The log: every punch with its score, clock state and hash chain, and the number of unknown faces."""

from __future__ import annotations

from datetime import date
from functools import partial
from urllib.parse import urlencode

from starlette.responses import Response

from device.attendance.log import DIRECTIONS, MOST_COUNTED, PAGE, LogFilter, devices, log_page, sightings
from device.attendance.planning import Planning
from device.attendance.timesheet.worksite import Site
from device.contract import phrase
from device.storage.people_search import chosen_text
from device.storage.records import METHODS, Person
from device.web import parameters
from device.web.call import Call, Problem
from device.web.desk import charts
from device.web.desk.liveness import threshold_in_force
from device.web.pages import get

LONGEST_DAYS = 366


def log(call: Call) -> Response:
    site = Planning(call.store).site()
    return _page(call, site, *asked_for(call, site))


def blank(call: Call) -> Response:
    """The log of today, for a filter that was refused."""
    site = Planning(call.store).site()
    today = site.day_of(int(call.terminal.now() // 60))
    return _page(call, site, LogFilter(today, today), None)


def _page(call: Call, site: Site, chosen: LogFilter, person: Person | None) -> Response:
    page = log_page(call.store, chosen, site, parameters.page(call))
    seen = sightings(call.store, chosen, site)
    refused = call.store.refusals(site.begins(chosen.first) * 60.0, site.begins(chosen.until) * 60.0).total
    kept = {key: value for key, value in call.query.items() if key != "page" and value}
    return call.page(
        "log.html", chosen=chosen, person=person, named=chosen_text(person) if person else "", page=page, size=PAGE, most=MOST_COUNTED,
        devices=devices(call.store), methods=METHODS, seen=seen,
        seen_total=sum(seen.values()), refused=refused, liveness_bar=threshold_in_force(call),
        directions=call.texts.named("words", DIRECTIONS), meter=partial(charts.meter, call.texts), local=site.local, mark=site.clock.mark, zone=site.zone,
        day_of=lambda punch: site.day_of(int(punch.occurred_at // 60)),
        address=lambda number: f"/log?{urlencode({**kept, 'page': number})}",
        export=f"/exports/log?{urlencode(kept)}",
    )  # fmt: skip


def asked_for(call: Call, site: Site, default: date | None = None) -> tuple[LogFilter, Person | None]:
    """The filter given in the address."""
    today = site.day_of(int(call.terminal.now() // 60))
    first = parameters.day(call, "from", default or today)
    last = parameters.day(call, "to", max(first, today) if "from" in call.query and not call.query["from"] else first if "from" in call.query else today)
    person, method = parameters.person(call), call.query.get("method", "")
    if last < first or (last - first).days > LONGEST_DAYS:
        words = "from {first} to {last}: expected at most {most} days, with the first before the last"
        raise Problem(phrase("text.log_days", words, first=first, last=last, most=LONGEST_DAYS))
    if method not in ("", *METHODS):
        raise Problem(f"method {method[:20]!r}: expected one of {', '.join(METHODS)}")
    return LogFilter(first, last, person.id if person else None, call.query.get("device", "")[:200], method, parameters.group(call)), person


ROUTES = (get("/log", log, "viewer", teams=True, form=blank),)
