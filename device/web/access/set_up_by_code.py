"""Does what a set-up code says, with the functions of the desk's own forms: whole or not at all, and only on a terminal that nobody has set up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from device.attendance.planning import Planning
from device.maintenance import set_up
from device.maintenance.set_up_code import EARLY_SECONDS, SetUpCode, SetUpCodeError, check_time
from device.storage import settings as stored_settings
from device.storage.audit import Action
from device.storage.store import Store
from device.system import wifi
from device.system.clock import ClockState, read_clock_state
from device.web.access import accounts, first_admin

LANGUAGE = "web.language"
CLOCK_LOOKS = 20  # one a second, until a time server in the network that was joined has set the clock


def waiting(store: Store) -> bool:
    """Whether a code may set this terminal up: *Set up* is untouched, it is in no fleet, and nobody has chosen a password yet."""
    with store.reading() as db:
        in_a_fleet = db.execute("SELECT 1 FROM fleet WHERE key = 'membership'").fetchone()
    users = accounts.users(store)
    return set_up.fresh(store) and not in_a_fleet and (not users or [(user.login, user.must_change) for user in users] == [(first_admin.LOGIN, True)])


def do(
    store: Store,
    config_file: Path | None,
    code: SetUpCode,
    by: str = "kiosk",
    again: bool = False,
    now: Callable[[], float] = time.time,
    clock: Callable[[], ClockState] = read_clock_state,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Join the Wi-Fi, set zone, language and the first administrator's password, and join the fleet; all of it or nothing.

    Args:
        by: who does it, for the audit.
        again: an administrator has logged in for it: a terminal that is set up takes it too, unless it has a first password in it.
        now: s since the epoch.
        wait: for so many s.

    Raises:
        SetUpCodeError: this terminal is set up already.
        ClockfaceError: a step failed; nothing is kept.
    """
    again = again and not code.admin_password
    if not again and not waiting(store):
        raise SetUpCodeError("this terminal is set up already and takes no set-up code; use its pages", code="set_up_code.set_up")
    code.checked()
    with _network(code):
        _check_again(code, now, clock, wait)
        _set(store, config_file, code, by, again)
    if code.admin_password:
        first_admin.password_file(store.path).unlink(missing_ok=True)


@contextmanager
def _network(code: SetUpCode) -> Iterator[None]:
    """In the network of the code; it is forgotten again where what follows fails."""
    profile = f"clockface-{code.made}"
    if code.ssid:
        wifi.join(code.ssid, code.wifi_password, profile)
    try:
        yield
    except BaseException:
        if code.ssid:
            wifi.forget(profile)
        raise


def _check_again(code: SetUpCode, now: Callable[[], float], clock: Callable[[], ClockState], wait: Callable[[float], None]) -> None:
    """A clock that runs behind takes an old code for a new one: the code is looked at again once the network that was joined has set the clock.

    Raises:
        SetUpCodeError: it has expired.
    """
    for _ in range(CLOCK_LOOKS if code.ssid and code.until else 0):
        if (state := clock()).synchronised:
            check_time(code, now(), state, EARLY_SECONDS)
            return
        wait(1.0)


def _set(store: Store, config_file: Path | None, code: SetUpCode, by: str, again: bool) -> None:
    """All that is not the network, in one transaction."""
    with store.together():
        if not again and not waiting(store):
            raise SetUpCodeError("this terminal was set up meanwhile and takes no set-up code", code="set_up_code.set_up")
        _site(store, config_file, code, by)
        if code.admin_password:
            _admin(store, code.admin_password)
        store.note_by(by, Action.SET_UP_CODE_TAKEN, **code.gives)
        if code.invitation:
            _join(store, code)  # last: what it does elsewhere is not undone here


def _site(store: Store, config_file: Path | None, code: SetUpCode, by: str) -> None:
    planned = Planning(store)
    if code.zone:
        planned.set_site(replace(planned.site(), zone=code.zone), by)
    if code.language and LANGUAGE not in stored_settings.fixed_by(config_file):
        stored_settings.change(store, config_file, {LANGUAGE: code.language})


def _admin(store: Store, password: str) -> None:
    known = accounts.users(store)
    admin = known[0] if known else accounts.add(store, first_admin.LOGIN, "admin", password)
    accounts.set_password(store, admin.id, password, must_change=True)


def _join(store: Store, code: SetUpCode) -> None:
    from device.fleet import invitation_code, membership  # needs psycopg: only here

    membership.join(store, invitation_code.of_list(code.invitation))
