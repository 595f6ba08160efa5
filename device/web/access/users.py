"""Users and roles: who may log in, and what they may do."""

from __future__ import annotations

from starlette.responses import Response

from device.contract import phrase
from device.web.access import accounts, passwords
from device.web.access.accounts import ROLES, AccountError
from device.web.call import Call
from device.web.pages import get, post


def users_page(call: Call, fresh: tuple[str, str] | None = None) -> Response:
    """`fresh` is a login with its new password, which is shown once and stored nowhere."""
    owners = accounts.owners(call.store)
    return call.page("users.html", users=accounts.users(call.store), owners=owners, roles=ROLES, fresh=fresh)


def add_user(call: Call) -> Response:
    password = passwords.invented()
    user = accounts.add(call.store, call.field("login"), call.field("role"), password)
    return users_page(call, fresh=(user.login, password))


def change_user(call: Call) -> Response:
    user = accounts.change(call.store, call.path["id"], role=call.field("role"), active=call.field("active") == "1")
    role = call.texts.text(f"menu.role_{user.role}")
    return call.goto("/users", call.texts.text("users.changed" if user.active else "users.changed_off", login=user.login, role=role))


def set_owner(call: Call) -> Response:
    """Say whose login it is. Once said, nobody changes that of their own login."""
    user, text = accounts.user(call.store, call.path["id"]), call.field("person", "").strip()
    known = accounts.owners(call.store)[user.id]
    if user.id == call.who.id and (known.elsewhere or known.person_id is not None):
        raise AccountError(phrase("account.own", "let another administrator change whose login your own is"), code="account.own_person")
    if bool(text) == (call.field("elsewhere", "") == "1"):
        raise AccountError(phrase("account.whose", "give the person's code or name, or say that they work elsewhere"), code="account.unknown")
    accounts.set_owner(call.store, user.id, call.store.person(text).id if text else None)
    return call.goto("/users", call.texts.text("users.noted", login=user.login))


def set_departments(call: Call) -> Response:
    """Let a login see everybody, or the people of some departments."""
    chosen = [name for name in call.form.getlist("department") if isinstance(name, str) and name]
    user = accounts.set_departments(call.store, call.path["id"], chosen)
    return call.goto("/users", call.texts.text("users.seen", login=user.login, whom=", ".join(user.departments) or call.texts.text("users.everybody")))


def reset_password(call: Call) -> Response:
    password = passwords.invented()
    accounts.set_password(call.store, call.path["id"], password, must_change=True)
    return users_page(call, fresh=(accounts.user(call.store, call.path["id"]).login, password))


ROUTES = (
    get("/users", users_page, "admin"),
    post("/users", add_user, "admin", form=users_page),
    post("/users/{id:int}", change_user, "admin", form=users_page),
    post("/users/{id:int}/person", set_owner, "admin", form=users_page),
    post("/users/{id:int}/departments", set_departments, "admin", form=users_page),
    post("/users/{id:int}/password", reset_password, "admin"),
)
