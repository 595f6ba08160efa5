"""One request of a page: who asks, by which form and cookies, in which language, and what it is answered with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any
from urllib.parse import quote, unquote

from starlette.datastructures import FormData, QueryParams
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from device.attendance.today import Picture
from device.config import DESK_LANGUAGES
from device.contract import ClockfaceError
from device.storage.groups import Groups, groups
from device.storage.store import Store
from device.system.time_zones import LocalClock
from device.web.access import accounts
from device.web.access.accounts import User
from device.web.access.sessions import Place
from device.web.appearance import fragment, rendered
from device.web.context import Terminal
from device.web.kept_form import kept
from device.web.messages import Messages, preferred


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


def came_from(request: Request) -> str:
    """The address that a request came from."""
    return request.client.host if request.client else "unknown"


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
