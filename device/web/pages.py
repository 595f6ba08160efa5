"""Declaration and dispatch of pages: every route has a role, every form a token, every request its own store.

    ROUTES = (
        get("/people", people_page, "viewer"),
        post("/people/{id:int}/rename", rename, "hr"),
    )

    def people_page(call: Call) -> Response:
        return call.page("people.html", people=call.store.people())

A page without a role cannot be written down: `None` says that it needs no login, and a test holds the list of those.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from http.cookies import CookieError
from typing import Any, Literal
from urllib.parse import quote

import anyio.to_thread
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from device.contract import ClockfaceError
from device.storage.audit import Action
from device.storage.store import Store, StoreError
from device.web.access import rate_limit, sessions
from device.web.access.accounts import Role
from device.web.access.rate_limit import Kind
from device.web.access.sessions import Place
from device.web.body_limit import TooLarge, TooSlow, limited
from device.web.call import Call, Problem, as_json, came_from, cookie_name, error_page, filled_in, set_cookies
from device.web.connections import SCREEN, own_machine
from device.web.context import Terminal

log = logging.getLogger(__name__)

FORM_BYTES = 200_000  # the largest body of an ordinary form
LARGE_BYTES = 5_000_000  # forms that may be larger are taken one after the other: where /tmp is memory they take it
FIELDS = 500
NOTED_SECONDS = 600.0
LOGIN = {"desk": "/login", "kiosk": "/kiosk/unlock"}

Handler = Callable[[Call], Response]


@dataclass(frozen=True)
class Page:
    """One route."""

    method: Literal["GET", "POST"]
    path: str  # in Starlette's form: /people/{id:int}
    handler: Handler
    role: Role | None  # the least role; None: without login
    place: Place = "desk"
    largest_body: int = FORM_BYTES
    teams: bool = False  # open to logins of some departments: all that it shows and does comes from `call.store`, which shows their people alone
    before_change: bool = False  # open to users who must still change the first password
    guesses: Kind | None = None  # what somebody could guess here
    form: Handler | None = None  # the page that has its form: if the input is refused, it comes back as it was filled in


def get(path: str, handler: Handler, role: Role | None, place: Place = "desk", **more: Any) -> Page:
    return Page("GET", path, handler, role, place, **more)


def post(path: str, handler: Handler, role: Role | None, place: Place = "desk", **more: Any) -> Page:
    return Page("POST", path, handler, role, place, **more)


class Endpoint:
    """Serves one page: checks user, role and form token, then calls the handler on a worker thread, with a store that is its own meanwhile."""

    def __init__(self, page: Page, terminal: Terminal) -> None:
        self.spec = page
        self.terminal = terminal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, limited(receive, self.spec.largest_body))
        form = FormData()
        try:
            response = await self._in_worker(self._refusal, request, form) if self.spec.method == "POST" else None
            if response is None:
                async with self.terminal.uploads if self.spec.largest_body > LARGE_BYTES else nullcontext():
                    if self.spec.method == "POST":
                        form = await request.form(max_files=FIELDS * 4, max_fields=FIELDS)
                    if self.spec.guesses:
                        await asyncio.sleep(await self._in_worker(self._pause, request, form))  # holds no worker
                    response = await self._in_worker(self._answer, request, form)
                    await form.close()
        except TooLarge:
            response = as_json(Problem("too large", 413, code="request.too_large"), {"connection": "close"})
        except TooSlow:
            response = as_json(Problem("too slow", 408, code="request.too_slow"), {"connection": "close"})
        except (HTTPException, UnicodeDecodeError, ValueError, KeyError):  # raised by the form parsers for malformed input
            response = as_json(Problem("the form cannot be read", code="request.form"))
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    async def _in_worker(self, work: Callable[[Request, FormData], Any], request: Request, form: FormData) -> Any:
        screen = self.spec.place == "kiosk" and came_from(request) in SCREEN
        limiter = self.terminal.kiosk_workers if screen else self.terminal.workers
        return await anyio.to_thread.run_sync(work, request, form, limiter=limiter)

    def _refusal(self, request: Request, form: FormData) -> Response | None:
        """Checks that come before the body is read."""
        return self._with_call(request, form, lambda call: refusal(call, self.spec))

    def _pause(self, request: Request, form: FormData) -> float:
        """s that an answer is held back, where somebody guesses at this machine's own screen."""
        if self.spec.guesses is None:
            return 0.0
        try:
            with self.terminal.store(actor=self.spec.place) as store:
                return rate_limit.pause_seconds(store, self.spec.guesses, came_from(request), self.terminal.now())
        except StoreError:
            return 0.0  # the handler says what is wrong

    def _answer(self, request: Request, form: FormData) -> Response | None:
        return self._with_call(request, form, lambda call: self._handled(call))

    def _handled(self, call: Call) -> Response:
        refused = refusal(call, self.spec)
        if refused is not None:
            return refused
        if self.spec.method == "POST" and not token_fits(call):
            return error_page(call, Problem(call.texts.text("problem.old_form"), 403, code="request.old_form"))
        try:
            return self.spec.handler(call)
        except ClockfaceError as error:
            if self.spec.form is None or call.wants_json or (isinstance(error, Problem) and error.status not in (400, 409)):
                raise
            return filled_in(call, self.spec.form(call), error)

    def _with_call(self, request: Request, form: FormData, work: Callable[[Call], Response | None]) -> Response | None:
        place = self.spec.place
        try:
            session, visitor = (request.cookies.get(cookie_name(request, name), "") for name in (f"clockface_{place}", "clockface_visitor"))
        except CookieError:
            session = visitor = ""
        try:
            with self.terminal.store(actor=place) as store:
                return self._with_store(request, form, store, session, visitor, work)
        except StoreError as error:
            log.error("%s", error)
            return PlainTextResponse("The database of this terminal cannot be read now; its log says why.", 503)

    def _with_store(
        self, request: Request, form: FormData, store: Store, session: str, visitor: str, work: Callable[[Call], Response | None]
    ) -> Response | None:
        place = self.spec.place
        user = sessions.find(store, session, place, sessions.limits(self.terminal.settings.web, place), self.terminal.now()) if session else None
        fresh = "" if user or visitor else secrets.token_urlsafe(24)
        call = Call(request, self.terminal, store, place, user, sessions.form_token(session if user else visitor or fresh), form)
        if fresh:
            call.cookies["clockface_visitor"] = fresh
        if user:
            store.act_as(user.actor)
        with store.seeing(user.departments if user else ()):
            response = guarded(call, work)
        if response is not None:
            set_cookies(call, response)
        return response


def guarded(call: Call, work: Callable[[Call], Response | None]) -> Response | None:
    """Turn errors into pages; unexpected ones go to the log, not to the browser."""
    try:
        return work(call)
    except ClockfaceError as error:
        if call.user is None and not isinstance(error, Problem):
            log.error("%s", error)
            return error_page(call, Problem(call.texts.text("problem.not_possible"), code="request.not_possible"))
        return error_page(call, error)
    except OverflowError:  # a number in the address that SQLite cannot hold
        return error_page(call, Problem(call.texts.text("problem.nothing_here"), 404, code="request.nothing_here"))
    except Exception:
        log.exception("%s %s failed", call.request.method, call.request.url.path)
        return error_page(call, Problem(call.texts.text("problem.failed"), 500, code="request.failed"))


def refusal(call: Call, page: Page) -> Response | None:
    """None if this request may proceed, else the response to send instead."""
    if page.place == "kiosk" and call.terminal.settings.web.kiosk == "local" and not own_machine(call.address):
        return error_page(call, Problem(call.texts.text("problem.only_here"), 403, code="request.only_here"))
    if page.role is None:
        return None
    if call.user is None:
        if page.method == "GET" and not call.wants_json:
            return RedirectResponse(f"{LOGIN[page.place]}?next={quote(call.request.url.path)}", 303)
        return error_page(call, Problem(call.texts.text("problem.login"), 401, code="request.login"))
    if not call.user.may(page.role):
        note_refused(call, page)
        return error_page(call, Problem(call.texts.role_needed(call.user.role, page.role), 403, code="request.role"))
    if call.user.departments and not page.teams:
        return error_page(call, Problem(call.texts.text("problem.department"), 403, code="request.department"))
    if call.user.must_change and not page.before_change:
        if page.place == "desk":
            return RedirectResponse("/password", 303)
        return error_page(call, Problem(call.texts.text("problem.must_change"), 403, code="request.must_change"))
    return None


def note_refused(call: Call, page: Page) -> None:
    """Put into the audit that a role does not suffice: each user and page once per `NOTED_SECONDS`, since a flood of them must not fill the chain."""
    assert call.user is not None
    now, key = call.terminal.now(), (call.user.id, f"{page.method} {page.path}")
    if abs(now - call.terminal.refusals_noted.get(key, float("-inf"))) >= NOTED_SECONDS:
        call.terminal.refusals_noted[key] = now
        with call.store.transaction():
            call.store.note(Action.PAGE_REFUSED, user_id=call.user.id, page=key[1], role=call.user.role, address=call.address)


def token_fits(call: Call) -> bool:
    given = call.request.headers.get("x-form-token") or call.form.get("form_token", "")
    return isinstance(given, str) and hmac.compare_digest(given.encode("utf-8", "surrogatepass"), call.form_token.encode())


def routes(pages: tuple[Page, ...], terminal: Terminal) -> list[Route]:
    return [Route(page.path, Endpoint(page, terminal), methods=[page.method], name=f"{page.method} {page.path}") for page in pages]
