"""The application without a camera: a database, users of every role, and a browser that is as careful as a real one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from device.config import Settings
from device.storage.store import Store
from device.web.access import accounts, passwords, sessions
from device.web.access.accounts import ROLES
from device.web.app import create_app
from device.web.context import Terminal
from device.web.live import Live

PASSWORD = "four quiet paper boats"
START = 1_790_000_000.0  # s since the epoch: 2026-09-21
TOKEN = re.compile(r'name="form_token" value="([0-9a-f]+)"')


@dataclass
class Clock:
    now: float = START

    def __call__(self) -> float:
        return self.now


class Browser:
    """One browser: keeps cookies, reads the form token from the page before it sends a form."""

    def __init__(self, terminal: Terminal, address: str = "127.0.0.1") -> None:
        self.http = TestClient(create_app(terminal), base_url="http://127.0.0.1:8080", client=(address, 50000), raise_server_exceptions=False)
        self.http.follow_redirects = False

    def get(self, path: str, **more: Any) -> Any:
        return self.http.get(path, **more)

    def token(self, page: str) -> str:
        found = TOKEN.search(self.get(page).text)
        return found[1] if found else ""

    def post(self, path: str, page: str, data: dict[str, Any] | None = None, **more: Any) -> Any:
        """Send the form on `page` to `path`."""
        return self.http.post(path, data={"form_token": self.token(page), **(data or {})}, **more)

    def log_in(self, login: str, password: str = PASSWORD) -> Any:
        return self.post("/login", "/login", {"login": login, "password": password})


@dataclass
class Desk:
    """A terminal's pages and what tests need around them."""

    terminal: Terminal
    clock: Clock = field(default_factory=Clock)

    def store(self) -> Store:
        return Store.open(self.terminal.database)

    def browser(self, role: str | None = None, place: sessions.Place = "desk", address: str = "127.0.0.1") -> Browser:
        """A browser, logged in as the user of that role."""
        browser = Browser(self.terminal, address)
        if role is not None:
            with self.store() as store:
                found = accounts.by_login(store, role)
                assert found is not None
                browser.http.cookies.set(f"clockface_{place}", sessions.start(store, found[0], place, self.clock.now))
        return browser


@pytest.fixture(scope="session")
def stored_password() -> str:
    return passwords.hashed(PASSWORD)


@pytest.fixture
def desk(tmp_path: Path, stored_password: str) -> Iterator[Desk]:
    """A database with a user named like each role, password PASSWORD, already changed once."""
    path = tmp_path / "clockface.db"
    with Store.open(path) as store, store.transaction() as db:
        for role in ROLES:
            sql = "INSERT INTO users (login, role, password_hash, must_change, created_at, elsewhere) VALUES (?, ?, ?, 0, 0, 1)"
            db.execute(sql, [role, role, stored_password])
    clock = Clock()
    terminal = Terminal(Settings(), path, "door", Live(now=clock), now=clock)
    yield Desk(terminal, clock)
    terminal.stores.close()


@pytest.fixture
def with_settings(desk: Desk) -> Callable[[Settings], Desk]:
    return lambda settings: Desk(replace(desk.terminal, settings=settings), desk.clock)
