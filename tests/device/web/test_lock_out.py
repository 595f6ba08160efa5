"""Guesses: a login or code waits longer and longer, an address is slowed, nobody is locked out for what others did."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from argon2 import PasswordHasher

from device.web.access import accounts, passwords, pins, rate_limit
from device.web.access.login import checked
from device.web.access.pins import PinError
from device.web.access.rate_limit import BURST, LONGEST_PAUSE_SECONDS, SPACING_SECONDS, LockedOut
from tests.device.web.conftest import PASSWORD, Desk
from tests.refused import refused

PIN = "270819"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of guesses: hashing is made cheap."""
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    monkeypatch.setattr(passwords, "_nobody", "")


@pytest.fixture
def staffed(desk: Desk) -> Desk:
    """Ann and Ben, each with a PIN."""
    with desk.store() as store:
        for name, code in (("Ann", "E1"), ("Ben", "E2")):
            pins.set_pin(store, store.add_person(name, code).id, PIN)
    return desk


def guess(desk: Desk, code: str, pin: str = "111222", address: str = "127.0.0.1") -> str:
    with desk.store() as store:
        try:
            return pins.identify(store, code, pin, address, desk.clock.now).name
        except LockedOut as locked:
            return f"locked {round(locked.seconds)}"
        except PinError:
            return "wrong"


def test_each_failure_makes_the_code_wait_twice_as_long(staffed: Desk) -> None:
    assert [guess(staffed, "E1") for _ in range(6)] == ["wrong"] * 5 + ["locked 60"]
    waits = []
    for _ in range(9):
        waits.append(int(guess(staffed, "E1", PIN).split()[1]))  # the right one reveals nothing meanwhile
        staffed.clock.now += waits[-1]
        assert guess(staffed, "E1") == "wrong"
    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    staffed.clock.now += 3600
    assert [guess(staffed, "E1", pin) for pin in (PIN, "111222", PIN)] == ["Ann", "wrong", "Ann"]


def test_wrong_pins_of_others_lock_nobody_at_the_kiosk(staffed: Desk) -> None:
    assert [guess(staffed, f"X{number}") for number in range(100)] == ["wrong"] * 100
    assert guess(staffed, "E1", PIN) == "Ann"


def test_the_kiosk_answers_later_once_many_were_wrong(staffed: Desk) -> None:
    def pause() -> float:
        with staffed.store() as store:
            return rate_limit.pause_seconds(store, "pin", "127.0.0.1", staffed.clock.now)

    found = []
    for number in range(BURST + 2):
        found.append(pause())
        guess(staffed, f"X{number}")
    assert found == [0.0] * BURST + [LONGEST_PAUSE_SECONDS] * 2
    staffed.clock.now += SPACING_SECONDS * 3
    assert pause() == 0.0


def test_the_answer_itself_comes_later(staffed: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "LONGEST_PAUSE_SECONDS", 0.3)
    for number in range(BURST):
        guess(staffed, f"X{number}")
    browser = staffed.browser()
    token, began = browser.token("/kiosk"), time.monotonic()
    answer = browser.http.post("/kiosk/pin", data={"form_token": token, "code": "E1", "pin": PIN, "direction": "in"})
    assert answer.json() == {"state": "recorded"} and time.monotonic() - began >= 0.3


def test_an_address_is_slowed_to_a_rate_and_not_locked_out(desk: Desk) -> None:
    far = desk.browser(address="10.0.0.9")
    assert [far.log_in(f"nobody{i}", "wrong password").status_code for i in range(BURST + 1)] == [401] * BURST + [429]
    said = far.log_in("hr").text
    assert "Try again in 1 minute" in said
    desk.clock.now += SPACING_SECONDS
    assert far.log_in("hr").status_code == 303  # as soon as a place is free
    assert desk.browser(address="10.0.0.8").log_in("hr").status_code == 303


def test_one_network_of_ipv6_is_one_address(desk: Desk) -> None:
    codes = [desk.browser(address=f"2001:db8::{number + 1:x}").log_in(f"nobody{number}", "wrong").status_code for number in range(BURST + 1)]
    assert codes == [401] * BURST + [429]


def test_the_owner_elsewhere_is_not_locked_out(desk: Desk) -> None:
    thief = desk.browser(address="10.0.0.9")
    assert [thief.log_in("hr", "wrong").status_code for _ in range(6)] == [401] * 5 + [429]
    assert desk.browser(address="10.0.0.8").log_in("hr").status_code == 303
    assert thief.log_in("hr").status_code == 429  # whose success elsewhere gives the thief no new tries


def test_from_many_addresses_a_login_waits_a_minute_at_most(desk: Desk) -> None:
    with desk.store() as store:
        for number in range(80):
            desk.clock.now += 61 if number >= 40 else 0
            assert checked(store, "hr", "wrong password", f"10.0.{number}.1", desk.clock.now) is None
        with refused("login.locked_out"):
            checked(store, "hr", PASSWORD, "10.1.0.1", desk.clock.now)
        found = checked(store, "hr", PASSWORD, "10.1.0.1", desk.clock.now + 61)
        assert found is not None and found.login == "hr"


@pytest.mark.parametrize("known", ["hr", "nobody"])
def test_guesses_at_once_count_like_those_in_a_row(desk: Desk, known: str, monkeypatch: pytest.MonkeyPatch) -> None:
    examined: list[str] = []

    def slow(stored: str | None, given: str) -> bool:
        examined.append(given)
        time.sleep(0.05)
        return False

    monkeypatch.setattr(passwords, "matches", slow)

    def one(number: int) -> str:
        with desk.store() as store:
            try:
                return "wrong" if checked(store, known, f"guess {number}", "10.0.0.9", desk.clock.now) is None else "in"
            except LockedOut:
                return "locked"

    with ThreadPoolExecutor(30) as pool:
        found = list(pool.map(one, range(30)))
    assert len(examined) == 5 and found.count("wrong") == 5 and found.count("locked") == 25


def test_a_wrong_password_is_in_the_audit_once(desk: Desk) -> None:
    browser = desk.browser(address="10.0.0.9")
    for _ in range(7):
        browser.log_in("hr", "wrong password")
    with desk.store() as store, store.reading() as db:
        assert db.execute("SELECT count(*) FROM audit WHERE action = 'wrong password'").fetchone()[0] == 5


def test_an_administrator_forgives_all(desk: Desk) -> None:
    from device.commands.users import _unlock

    thief = desk.browser(address="10.0.0.9")
    for _ in range(6):
        thief.log_in("hr", "wrong password")
    with desk.store() as store:
        _unlock(store)
        assert accounts.by_login(store, "hr")
    assert thief.log_in("hr").status_code == 303
