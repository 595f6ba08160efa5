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
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from http.cookies import CookieError
from typing import Any, Literal
from urllib.parse import quote, unquote

import anyio.to_thread
from starlette.datastructures import FormData, QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from device.attendance.today import Picture
from device.config import DESK_LANGUAGES
from device.contract import ClockfaceError
from device.storage.audit import Action
from device.storage.groups import Groups, groups
from device.storage.store import Store, StoreError
from device.system.time_zones import LocalClock
from device.web.access import accounts, rate_limit, sessions
from device.web.access.accounts import Role, User
from device.web.access.rate_limit import Kind
from device.web.access.sessions import Place
from device.web.appearance import fragment, rendered
from device.web.body_limit import TooLarge, TooSlow, limited
from device.web.connections import SCREEN, own_machine
from device.web.context import Terminal
from device.web.kept_form import kept
from device.web.messages import Messages, preferred

log = logging.getLogger(__name__)

FORM_BYTES = 200_000  # the largest body of an ordinary form
LARGE_BYTES = 5_000_000  # forms that may be larger are taken one after the other: where /tmp is memory they take it
FIELDS = 500
NOTED_SECONDS = 600.0
LOGIN = {"desk": "/login", "kiosk": "/kiosk/unlock"}


class Problem(ClockfaceError):
    """A request that cannot be carried out; the message is shown to the user."""

    code = "request"

    def __init__(self, words: str, status: int = 400, *, code: str | None = None) -> None:
        self.status = status
        super().__init__(words, code=code)


@dataclass
class Call:
    """One request of a page."""

    request: Request
    terminal: Terminal
    store: Store
    place: Place
    user: User | None
    form_token: str
    form: FormData = field(default_factory=FormData)
    cookies: dict[str, str | None] = field(default_factory=dict)  # set with the response; None removes a cookie

    @property
    def who(self) -> User:
        """The user of a page that has a role."""
        if self.user is None:
            raise Problem(self.texts.text("problem.login"), 401, code="request.login")
        return self.user

    @property
    def query(self) -> QueryParams:
        return self.request.query_params

    @property
    def path(self) -> Mapping[str, Any]:
        """The parts of the address in braces."""
        return self.request.path_params

    def cookie(self, name: str) -> str:
        """A cookie that an answer of ours has set before, "" if there is none."""
        return self.request.cookies.get(cookie_name(self.request, name), "")

    @property
    def address(self) -> str:
        """The address that the request came from."""
        return came_from(self.request)

    def field(self, name: str, default: str | None = None) -> str:
        """A text field of the form.

        Raises:
            Problem: it is missing and has no default, or is a file.
        """
        value = self.form.get(name, default)
        if not isinstance(value, str):
            raise Problem(f"the field {name!r} is missing")
        return value

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """A page of the site from a template."""
        said = unquote(self.cookie("clockface_said"))
        if said:
            self.cookies["clockface_said"] = None
        return rendered(template, status, {"call": self, "user": self.user, "terminal": self.terminal, "form_token": self.form_token, "said": said, **values})

    @cached_property
    def clock(self) -> LocalClock:
        """The site's."""
        return self.store.clock()

    def picture(self) -> Picture:
        """Who is in, out or late, of the people whom this login sees. One picture serves all logins, so it is read with another store."""
        if not self.store.departments:
            return self.terminal.board.picture(self.store)
        with self.terminal.store(self.place) as whole:
            found = self.terminal.board.picture(whole)
        with self.store.reading() as db:
            seen = {row[0] for row in db.execute("SELECT id FROM people")}
        return replace(found, lines=tuple(line for line in found.lines if line.person_id in seen))

    @property
    def nobodys_logins(self) -> list[str]:
        """For an administrator: the logins that approve nothing until it is said whose they are."""
        return accounts.nobodys(self.store) if self.user and self.user.may("admin") else []

    @property
    def groups(self) -> Groups:
        """The sites and departments that a page can be filtered by."""
        with self.store.reading() as db:
            return groups(db)

    def goto(self, path: str, said: str = "") -> Response:
        """After a form: redirect to another page, which shows `said` once."""
        if said:
            self.cookies["clockface_said"] = quote(said[:300])
        return RedirectResponse(path, 303)

    @property
    def language(self) -> str:
        """At the kiosk the one chosen there, at the desk the login's, or the browser's; else that of the settings."""
        web = self.terminal.settings.web
        if self.place == "desk":
            told = preferred(self.request.headers.get("accept-language", ""))
            return (self.user and self.user.language) or told or (web.language if web.language in DESK_LANGUAGES else "en")
        chosen = self.cookie("clockface_language")
        return chosen if chosen in web.offered else web.language

    @property
    def texts(self) -> Messages:
        """The messages in this language."""
        return Messages.load(self.language)

    def words(self, error: ClockfaceError) -> str:
        """What went wrong, in the page's language."""
        return self.texts.refusal(error)[0]

    @property
    def wants_json(self) -> bool:
        return "application/json" in self.request.headers.get("accept", "")


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


def came_from(request: Request) -> str:
    """The address that a request came from."""
    return request.client.host if request.client else "unknown"


def token_fits(call: Call) -> bool:
    given = call.request.headers.get("x-form-token") or call.form.get("form_token", "")
    return isinstance(given, str) and hmac.compare_digest(given.encode("utf-8", "surrogatepass"), call.form_token.encode())


def error_page(call: Call, error: ClockfaceError) -> Response:
    words, details = call.texts.refusal(error)
    status = error.status if isinstance(error, Problem) else 400
    if call.wants_json:
        return as_json(Problem(words, status, code=error.code))
    return call.page("error.html", status, words=words, details=details, code=status)


def cleared(response: Response) -> Response:
    """Let the browser forget the pages of the session that has ended (https://www.w3.org/TR/clear-site-data/)."""
    response.headers["clear-site-data"] = '"cache", "storage"'
    return response


def filled_in(call: Call, page: Response, error: ClockfaceError) -> Response:
    """The page with its form as it was filled in, and why the input was refused."""
    fields = call.form if call.request.method == "POST" else call.query
    given = {name: [value for value in fields.getlist(name) if isinstance(value, str)] for name in fields}
    given = {name: values for name, values in given.items() if values}
    words, details = call.texts.refusal(error)
    notice = fragment("problem.html", words=words, details=details)
    return HTMLResponse(kept(bytes(page.body).decode(), call.request.method, call.request.url.path, given, notice), 400)


def as_json(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"error": str(problem), "code": problem.code}, problem.status, headers)


def cookie_name(request: Request, name: str) -> str:
    """With TLS a name that browsers take from this very host alone, by TLS (RFC 6265bis, "__Host-"); at the machine's own screen there is no TLS."""
    return f"__Host-{name}" if request.url.scheme == "https" else name


def set_cookies(call: Call, response: Response) -> None:
    secure = call.request.url.scheme == "https"
    for name, value in ((cookie_name(call.request, name), value) for name, value in call.cookies.items()):
        if value is None:
            response.delete_cookie(name, path="/", secure=secure, httponly=True, samesite="strict")
        else:
            response.set_cookie(name, value, path="/", secure=secure, httponly=True, samesite="strict")


def routes(pages: tuple[Page, ...], terminal: Terminal) -> list[Route]:
    return [Route(page.path, Endpoint(page, terminal), methods=[page.method], name=f"{page.method} {page.path}") for page in pages]
