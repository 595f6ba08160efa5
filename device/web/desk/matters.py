"""Open matters: what somebody should look at, as far as this login sees it."""

from __future__ import annotations

from starlette.responses import Response

from device.storage.matters import KINDS, Matter, open_matters
from device.web.call import Call
from device.web.letters import page_of, said
from device.web.navigation import kinds_seen
from device.web.pages import get

SHOWN = 200  # of one kind


def matters_page(call: Call) -> Response:
    with call.store.reading() as db:
        found = open_matters(db, kinds_seen(call.who))
    groups: dict[str, list[Matter]] = {kind: [] for kind in KINDS}
    for matter in found:
        groups[matter.kind].append(matter)
    shown = {kind: (matters[:SHOWN], len(matters) - SHOWN) for kind, matters in groups.items() if matters}
    return call.page("matters.html", groups=shown, said_of=said, page_of=page_of, about_people={kind for kind, one in KINDS.items() if one.about_people})


ROUTES = (get("/matters", matters_page, "viewer", teams=True),)
