"""The terminal at first sight, from the desk: begin it, see what is good or should be changed, and a report of one page without any picture."""

from __future__ import annotations

from starlette.responses import Response

from device.maintenance import first_sight
from device.web import sight
from device.web.call import Call, Problem
from device.web.connections import own_machine
from device.web.pages import get, post


def check_page(call: Call) -> Response:
    """The live picture is shown only where the kiosk page may be opened from."""
    seen = own_machine(call.address) or call.terminal.settings.web.kiosk == "anywhere"
    return call.page("check.html", shown=sight.shown(call), picture=seen)


def begin(call: Call) -> Response:
    sight.begin(call)
    return call.goto("/check")


def report_page(call: Call) -> Response:
    report = first_sight.latest(call.store)
    if report is None:
        raise Problem(call.texts.text("sight.none"), 404)
    return call.page("check_report.html", report=report, rows=sight.told(call.texts, report.findings), at=call.clock.named(report.at))


ROUTES = (
    get("/check", check_page, "operator"),
    post("/check", begin, "operator"),
    get("/check/report", report_page, "operator"),
)
