"""The terminal at first sight, at its own screen: the live picture with the spot to stand at, and what is good or should be changed."""

from __future__ import annotations

from starlette.responses import Response

from device.web import sight
from device.web.call import Call
from device.web.pages import get, post


def check_page(call: Call) -> Response:
    return call.page("kiosk/check.html", shown=sight.shown(call))


def begin(call: Call) -> Response:
    sight.begin(call)
    return call.goto("/kiosk/check")


ROUTES = (
    get("/kiosk/check", check_page, "operator", "kiosk"),
    post("/kiosk/check", begin, "operator", "kiosk"),
)
