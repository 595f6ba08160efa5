"""What strangers and operators may not do at the kiosk: take its streams, give a face or a PIN to somebody who has one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest

from device.config import Settings, WebSettings
from device.storage.store import Store
from device.terminal.capture_session import Draft
from device.web.access import pins
from device.web.app import pages
from device.web.kiosk import enrol, streams
from device.web.live import MOST_OF_ADDRESS, MOST_STRANGERS, MOST_WATCHERS, Live
from device.web.messages import Messages
from tests.device.web.conftest import Desk

OWN = ""
TEXTS = Messages.load("en")


def test_strangers_leave_the_screen_its_streams() -> None:
    live = Live()
    taken = []
    for number in range(40):
        who = f"10.0.0.{number % 20}"
        if live.room(who):
            taken.append(live.watch(who))
    assert len(taken) == MOST_STRANGERS
    own = 0
    while live.room(OWN):
        live.watch(OWN)
        own += 1
    assert own == MOST_WATCHERS - MOST_STRANGERS >= 8
    live.leave(taken[0])
    assert live.room("10.0.0.99")


def test_one_address_has_few_streams() -> None:
    live = Live()
    for _ in range(MOST_OF_ADDRESS):
        assert live.room("10.0.0.1")
        live.watch("10.0.0.1")
    assert not live.room("10.0.0.1") and live.room("10.0.0.2")


def test_streams_that_come_at_once_take_no_more_places_than_there_are() -> None:
    """Each was told that there is room, before any of them had begun."""

    async def run() -> int:
        live = Live()
        live.attach(asyncio.get_running_loop())
        begun = [streams.events(live, "10.0.0.1") for _ in range(30)]
        first = [asyncio.create_task(anext_or_end(stream)) for stream in begun]
        await asyncio.sleep(0.2)
        watching = live.watchers
        live.close()
        await asyncio.gather(*first)
        for stream in begun:
            await stream.aclose()  # type: ignore[attr-defined]
        assert live.watchers == 0
        return watching

    async def anext_or_end(stream: object) -> None:
        async for _ in stream:  # type: ignore[attr-defined]
            return

    assert asyncio.run(run()) == MOST_OF_ADDRESS


def test_a_page_too_many_is_told_so(with_settings: Callable[[Settings], Desk]) -> None:
    desk = with_settings(Settings(web=WebSettings(kiosk="anywhere")))
    for _ in range(MOST_OF_ADDRESS):
        desk.terminal.live.watch("10.0.0.1")
    desk.terminal.live.close()
    browser = desk.browser(address="10.0.0.1")
    assert browser.get("/kiosk/events").status_code == 503
    assert desk.browser().get("/kiosk/events").status_code == 200


@pytest.fixture
def staffed(desk: Desk) -> Desk:
    """Ann has a PIN of HR's and no face, Ben is on the roster only; the terminal has a camera."""
    with desk.store() as store:
        store.add_person("Ann", "E1")
        store.add_person("Ben", "E2")
        pins.set_pin(store, 1, "270819")
    desk.terminal.live.booth.recogniser = SimpleNamespace()  # type: ignore[assignment]
    return desk


@pytest.mark.parametrize(("role", "code", "name", "status"), [("operator", "E1", "Ann", 400), ("hr", "E1", "Ann", 303), ("operator", "E2", "Ben", 303)])
def test_only_hr_gives_a_face_to_somebody_who_has_a_pin(
    staffed: Desk, role: str, code: str, name: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enrol, "_check_room", lambda call: None)
    browser = staffed.browser(role, place="kiosk")
    answer = browser.post("/kiosk/enrol", "/kiosk/enrol", {"name": name, "code": code})
    assert answer.status_code == status
    if status == 400:
        assert TEXTS.text("enrol.face_by_hr") in answer.text


@pytest.mark.parametrize(("role", "person", "status"), [("operator", 1, 403), ("hr", 1, 303), ("operator", 2, 303)])
def test_only_hr_replaces_a_pin(staffed: Desk, role: str, person: int, status: int) -> None:
    browser = staffed.browser(role, place="kiosk")
    with staffed.store() as store:
        user = next(user.id for user in enrol_users(store) if user.login == role)
        before = hash_of(store, person)
    staffed.terminal.live.booth.keep(replace(Draft(user, "X", "E9"), person_id=person, stored_id=person))
    answer = browser.post("/kiosk/enrol/pin", "/kiosk/enrol/pin", {"pin": "918273"})
    assert answer.status_code == status
    with staffed.store() as store:
        assert (hash_of(store, person) == before) == (status == 403)


def enrol_users(store: Store) -> list:  # type: ignore[type-arg]
    from device.web.access.accounts import users

    return users(store)


def hash_of(store: Store, person: int) -> str | None:
    with store.reading() as db:
        row = db.execute("SELECT hash FROM pins WHERE person_id = ?", [person]).fetchone()
    return row and row[0]


def test_every_page_where_somebody_guesses_is_slowed() -> None:
    found = {page.path: page.guesses for page in pages() if page.guesses}
    guarded = ("/login", "/password", "/password/sessions", "/kiosk/unlock", "/backup/keys", "/backup/keys/import", "/reset", "/reset/stick")
    passwords = {path: "password" for path in guarded}
    assert found == {**passwords, "/kiosk/pin": "pin", "/kiosk/own": "pin"}
