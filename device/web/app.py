"""The application: all areas, static files and the guard around them."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from device.web.access import login, users
from device.web.access.proxies import Proxies, Trusted
from device.web.access.security import Guard, host_names
from device.web.appearance import STATIC
from device.web.context import Terminal
from device.web.desk import audit, backups, bulk, corrections, exports, health, log, people, plots, returning, schedule, settings, timesheets, today
from device.web.kiosk import enrol, self_service
from device.web.kiosk import page as kiosk
from device.web.pages import Page, routes

AREAS = (  # each module has ROUTES, a tuple of pages
    login, kiosk, self_service, enrol, today, log, timesheets, corrections, schedule, exports, plots,
    people, returning, bulk, health, settings, users, audit, backups,
)  # fmt: skip


KIOSK = (kiosk, self_service, enrol, bulk)  # what needs a camera, or stands at a door: not at a desk


class Static(StaticFiles):
    """Static files; their addresses carry a hash of the content, so browsers may cache them."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = "public, max-age=31536000, immutable" if scope["query_string"] else "no-cache"
        return response


def pages(desk: bool = False) -> tuple[Page, ...]:
    """Every page of the application; the test of roles walks them all."""
    return tuple(page for area in AREAS if not (desk and area in KIOSK) for page in area.ROUTES)


def create_app(terminal: Terminal) -> Starlette:
    app = Starlette(
        routes=[*routes(pages(terminal.desk), terminal), Mount("/static", Static(directory=STATIC), name="static")],
        middleware=[
            Middleware(Proxies, trusted=Trusted.parsed(terminal.settings.web.trusted_proxies)),
            Middleware(Guard, names=host_names(terminal.settings.web, terminal.bound_to)),
        ],
        exception_handlers={404: _nothing_here, 405: _nothing_here},
    )
    app.router.redirect_slashes = False  # such a redirect would name the host that the request gave
    return app


async def _nothing_here(request: Request, error: Exception) -> Response:
    return PlainTextResponse("There is no page at this address.", 404)
