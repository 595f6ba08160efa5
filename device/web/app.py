"""The application: all areas, static files and the guard around them."""

from __future__ import annotations

import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from device.storage.site_clock import KeptClock
from device.web.access import login, users
from device.web.access.pace import Paced
from device.web.access.proxies import Proxies, Trusted
from device.web.access.security import Guard, host_names
from device.web.appearance import STATIC
from device.web.context import Terminal
from device.web.desk import (
    accounts,
    audit,
    backups,
    bulk,
    corrections,
    exports,
    first_sight,
    health,
    imports,
    law,
    log,
    matters,
    notices,
    overtime,
    people,
    plots,
    reset,
    returning,
    schedule,
    set_up,
    set_up_code,
    settings,
    timesheets,
    today,
)
from device.web.kiosk import check, enrol, self_service
from device.web.kiosk import page as kiosk
from device.web.kiosk import set_up_code as kiosk_code
from device.web.pages import Page, routes

AREAS = (  # each module has ROUTES, a tuple of pages
    login, kiosk, kiosk_code, self_service, enrol, check, today, matters, log, overtime, accounts, law, timesheets, corrections, schedule, exports, plots,
    people, returning, bulk, imports, health, first_sight, set_up, set_up_code, settings, users, notices, audit, backups, reset,
)  # fmt: skip


KIOSK = (kiosk, kiosk_code, self_service, enrol, check, first_sight, bulk)  # what needs a camera, or stands at a door: not at a desk


class Static:
    """The static files, read once: a request costs no file and no thread. Their addresses carry a hash of the content, so browsers may cache them."""

    def __init__(self, folder: Path) -> None:
        self._files = {f"/{path.name}": _File.read(path) for path in folder.iterdir() if path.is_file()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        file = self._files.get(scope["path"].removeprefix(scope.get("root_path", "")))
        if file is None or scope["method"] not in ("GET", "HEAD"):
            raise HTTPException(404)
        cache = "public, max-age=31536000, immutable" if scope["query_string"] else "no-cache"
        headers = {"cache-control": cache, "etag": file.etag}
        same = Headers(scope=scope).get("if-none-match") == file.etag
        response = Response(status_code=304, headers=headers) if same else Response(file.content, media_type=file.kind, headers=headers)
        await response(scope, receive, send)


@dataclass(frozen=True)
class _File:
    content: bytes
    kind: str
    etag: str

    @staticmethod
    def read(path: Path) -> _File:
        content = path.read_bytes()
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        return _File(content, kind, f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def pages(desk: bool = False) -> tuple[Page, ...]:
    """Every page of the application; the test of roles walks them all."""
    return tuple(page for area in AREAS if not (desk and area in KIOSK) for page in area.ROUTES)


def create_app(terminal: Terminal) -> Starlette:
    terminal.live.local = KeptClock(terminal.database)
    app = Starlette(
        routes=[*routes(pages(terminal.desk), terminal), Mount("/static", Static(STATIC), name="static")],
        middleware=[
            Middleware(Proxies, trusted=Trusted.parsed(terminal.settings.web.trusted_proxies)),
            Middleware(Paced),
            Middleware(Guard, names=host_names(terminal.settings.web, terminal.bound_to), only_tls=bool(terminal.settings.web.certificate)),
        ],
        exception_handlers={404: _nothing_here, 405: _nothing_here},
    )
    app.router.redirect_slashes = False  # such a redirect would name the host that the request gave
    return app


async def _nothing_here(request: Request, error: Exception) -> Response:
    return PlainTextResponse("There is no page at this address.", 404)
