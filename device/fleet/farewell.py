"""A device tells its fleet that it leaves: what the fleet does then is what `fleet revoke` does, without anybody having to think of it.

It is a courtesy that nothing waits for: a reset and `fleet leave` do the same where the company's database does not answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from device.contract import ClockfaceError
from device.storage.store import Store

SECONDS = 5.0  # longest wait for an answer
Tell = Callable[[], bool]


def farewell(store: Store, to_factory: bool) -> Tell | None:
    """What tells the fleet, to be called once the store is erased or about to be; it returns whether the fleet heard it. None: there is no fleet.

    Args:
        to_factory: the device is reset, and does not only leave.
    """
    with store.reading() as db:
        if db.execute("SELECT 1 FROM fleet WHERE key = 'membership'").fetchone() is None:
            return None
    try:
        return _prepared(store, to_factory)
    except ClockfaceError:  # its key cannot be read: the fleet would not believe it
        return lambda: False


def _prepared(store: Store, to_factory: bool) -> Tell:
    import psycopg  # a terminal without a fleet has none

    from device.fleet import membership
    from device.fleet.sealed_box import password_of

    member = membership.read(store)
    assert member is not None
    database, password, heard = store.path, password_of(membership.private_key(store), member.role), threading.Event()

    def say() -> None:
        with suppress(ClockfaceError, psycopg.Error, OSError):
            with membership.login(database, member, password) as connection:
                connection.execute("SELECT leave(%s)", [to_factory])
            heard.set()

    def tell() -> bool:
        thread = threading.Thread(target=say, name="farewell", daemon=True)
        thread.start()
        thread.join(SECONDS)
        return heard.is_set()

    return tell
