"""List the logins of the web pages, add one, say whose it is, give a new password, end all waits. For people who may log in to the board itself."""

from __future__ import annotations

import argparse
import json

from device.commands.database import open_store
from device.commands.options import add_config, add_database, add_json
from device.storage.audit import Action
from device.storage.store import Store
from device.web.access import accounts, passwords
from device.web.access.accounts import ROLES, AccountError, User


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "add", "person", "departments", "password", "unlock"))
    parser.add_argument("login", nargs="?")
    parser.add_argument("person", nargs="?", help="with `person`: whose login it is, by code or name; without one: somebody who is not recorded here")
    parser.add_argument("--see", action="append", default=[], metavar="DEPARTMENT", help="with `departments`: whose people the login sees; none: everybody")
    parser.add_argument("--role", choices=ROLES, default="viewer", help="role of a new user")
    add_database(parser)
    add_config(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    with open_store(args, "users") as store:
        if args.action == "list":
            found = accounts.users(store)
            names = ("id", "login", "role", "active", "must_change", "departments")
            rows = [{name: getattr(user, name) for name in names} for user in found]
            lines = [f"{row['login']:20} {row['role']:10} {'' if row['active'] else 'off'}" for row in rows]
            print(json.dumps(rows, ensure_ascii=False) if args.json else "\n".join(lines))
        elif args.action == "unlock":
            _unlock(store)
        elif args.login is None:
            raise AccountError(f"usage: users {args.action} LOGIN")
        elif args.action == "departments":
            user = accounts.set_departments(store, _named(store, args.login).id, args.see)
            print(f"{user.login} sees {', '.join(user.departments) or 'everybody'}")
        elif args.action == "person":
            accounts.set_owner(store, _named(store, args.login).id, store.person(args.person).id if args.person else None)
            print(f"{args.login}: {args.person or 'somebody who is not recorded here'}")
        else:
            _password(store, args.action, args.login, args.role)
    return 0


def _password(store: Store, action: str, login: str, role: str) -> None:
    password = passwords.invented()
    if action == "add":
        accounts.add(store, login, role, password)
    else:
        accounts.set_password(store, _named(store, login).id, password, must_change=True)
    print(f"{login}: password {password} (to be changed at the next login; it is not shown again)")


def _named(store: Store, login: str) -> User:
    user = next((user for user in accounts.users(store) if user.login.casefold() == login.casefold()), None)
    if user is None:
        raise AccountError(f"nobody has the login {login!r}; `python -m device users list` shows them", code="account.unknown")
    return user


def _unlock(store: Store) -> None:
    with store.transaction() as db:
        db.execute("DELETE FROM attempts")
        store.note(Action.ATTEMPTS_FORGIVEN)
    print("failed attempts of everybody are forgotten")
