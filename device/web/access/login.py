"""Log in, log out, change one's password."""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response

from device.contract import phrase
from device.maintenance import set_up
from device.storage.store import Store
from device.web.access import accounts, first_admin, passwords, rate_limit, sessions
from device.web.access.accounts import User
from device.web.access.passwords import WeakPassword
from device.web.access.rate_limit import LockedOut
from device.web.call import Call, cleared
from device.web.navigation import entries
from device.web.pages import get, post


def checked(store: Store, login: str, password: str, address: str, now: float) -> User | None:
    """The user who logs in with this password, or None.

    Raises:
        LockedOut: too many failures.
    """
    rate_limit.begin(store, "password", login, address, now)
    found = accounts.by_login(store, login)
    if not passwords.matches(found[1] if found else None, password[: passwords.LONGEST + 1]) or not found:
        rate_limit.failed(store, "password", address, user_id=found[0].id if found else None)
        return None
    rate_limit.forgive(store, "password", login, address)
    store.act_as(found[0].actor)
    return found[0]


def login_page(call: Call) -> Response:
    return call.page("login.html", next=local_path(call.query.get("next", "")), login="", problem="")


def log_in(call: Call) -> Response:
    login, onwards = call.field("login").strip(), local_path(call.field("next", ""))
    try:
        user = checked(call.store, login, call.field("password"), call.address, call.terminal.now())
    except LockedOut as locked:
        return call.page("login.html", 429, next=onwards, login=login, problem=call.texts.text("kiosk.pin_locked", count=locked.minutes))
    if user is None:
        return call.page("login.html", 401, next=onwards, login=login, problem=call.texts.text("enrol.wrong"))
    sessions.tidy(call.store, call.terminal.now())
    sessions.end_others(call.store, user, "desk", call.cookie("clockface_desk"))
    call.cookies["clockface_desk"] = sessions.start(call.store, user, "desk", call.terminal.now())
    return call.goto("/password" if user.must_change else onwards)


def log_out(call: Call) -> Response:
    sessions.end(call.store, call.cookie("clockface_desk"))
    call.cookies["clockface_desk"] = None
    return cleared(call.goto("/login", call.texts.text("login.logged_out")))


def home(call: Call) -> Response:
    """The first page of the side bar; for an administrator of a terminal that nobody has begun to set up, the page that guides through it."""
    if call.who.may("admin") and not call.terminal.desk and set_up.fresh(call.store):
        return RedirectResponse("/setup", 303)
    return RedirectResponse(next((entry.path for group in entries(call.who).values() for entry in group), "/password"), 303)


def password_page(call: Call, status: int = 200, problem: str = "", of: str = "password") -> Response:
    """`of` is the form that the problem stands at."""
    open_ones = sessions.of(call.store, call.who, call.terminal.settings.web, call.cookie("clockface_desk"), call.terminal.now())
    return call.page("password.html", status, problem=problem, of=of, sessions=open_ones)


def change_password(call: Call) -> Response:
    old, new = call.field("old"), call.field("new")
    try:
        if checked(call.store, call.who.login, old, call.address, call.terminal.now()) is None:
            raise WeakPassword(phrase("password.wrong_old", "the old password is wrong"), code="password.wrong")
        if new != call.field("again"):
            raise WeakPassword(phrase("password.differ", "the two new passwords differ; type them again"), code="password.differ")
        if new == old:
            raise WeakPassword(phrase("password.same", "the new password is the old one; choose another"), code="password.same")
        passwords.check_strength(new, call.who.login, company_words(call))
        accounts.set_password(call.store, call.who.id, new, must_change=False)
    except (WeakPassword, LockedOut) as problem:
        return password_page(call, 400, _sentence(call.words(problem)))
    first_admin.password_file(call.terminal.database).unlink(missing_ok=True)
    call.cookies["clockface_desk"] = sessions.start(call.store, call.who, "desk", call.terminal.now())
    return call.goto("/", call.texts.text("password.changed"))


def end_sessions(call: Call) -> Response:
    """End the user's sessions everywhere else; asks for the password, since a stranger may sit at this one."""
    try:
        if checked(call.store, call.who.login, call.field("password"), call.address, call.terminal.now()) is None:
            raise WeakPassword(phrase("password.wrong", "the password is wrong"), code="password.wrong")
    except (WeakPassword, LockedOut) as problem:
        return password_page(call, 400, _sentence(call.words(problem)), "sessions")
    sessions.end_elsewhere(call.store, call.who, call.cookie("clockface_desk"))
    return call.goto("/password", call.texts.text("password.ended"))


def company_words(call: Call) -> list[str]:
    """What attackers of this company would try first: the words of the settings, the names of this terminal, the sites and the departments."""
    groups = call.groups
    return [*call.terminal.settings.web.password_words.split(","), call.terminal.device, *groups.sites.values(), *groups.departments]


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:].rstrip('.')}."


def choose_language(call: Call) -> Response:
    """The language of these pages for this login, from now on and in every browser."""
    accounts.set_language(call.store, call.who.id, call.field("language"))
    return call.goto(local_path(call.field("next", "/")))


def local_path(path: str) -> str:
    """The page to go to after the login; only a page of this site is accepted."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() else "/"


ROUTES = (
    get("/", home, "viewer", teams=True),
    get("/login", login_page, None),
    post("/language", choose_language, "viewer", before_change=True),
    post("/login", log_in, None, guesses="password"),
    post("/logout", log_out, "viewer", before_change=True, teams=True),
    get("/password", password_page, "viewer", before_change=True, teams=True),
    post("/password/sessions", end_sessions, "viewer", guesses="password", teams=True),
    post("/password", change_password, "viewer", before_change=True, guesses="password", teams=True),
)
