"""Users and roles: who may log in, and what they may do."""

from __future__ import annotations

from starlette.responses import Response

from device.contract import ClockfaceError
from device.web.access import accounts, passwords
from device.web.access.accounts import ROLES
from device.web.pages import Call, get, post


def users_page(call: Call, status: int = 200, problem: str = "", fresh: tuple[str, str] | None = None) -> Response:
    """`fresh` is a login with its new password, which is shown once and stored nowhere."""
    return call.page("users.html", status, users=accounts.users(call.store), roles=ROLES, problem=problem, fresh=fresh)


def add_user(call: Call) -> Response:
    password = passwords.invented()
    try:
        user = accounts.add(call.store, call.field("login"), call.field("role"), password)
    except ClockfaceError as error:
        return users_page(call, 400, str(error))
    return users_page(call, fresh=(user.login, password))


def change_user(call: Call) -> Response:
    try:
        user = accounts.change(call.store, call.path["id"], role=call.field("role"), active=call.field("active") == "1")
    except ClockfaceError as error:
        return users_page(call, 400, str(error))
    return call.goto("/users", f"{user.login} is {user.role}{'' if user.active else ', switched off'}.")


def reset_password(call: Call) -> Response:
    password = passwords.invented()
    accounts.set_password(call.store, call.path["id"], password, must_change=True)
    return users_page(call, fresh=(accounts.user(call.store, call.path["id"]).login, password))


ROUTES = (
    get("/users", users_page, "admin"),
    post("/users", add_user, "admin"),
    post("/users/{id:int}", change_user, "admin"),
    post("/users/{id:int}/password", reset_password, "admin"),
)
