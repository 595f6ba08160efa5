"""All couriers of a database: started and stopped together, each in a thread of its own with its own store."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from device.config import Settings
from device.delivery.connectors import Connector, build, configured, takes_punches
from device.delivery.courier import Courier, Say, Write
from device.storage.database import CourierLock
from device.storage.store import Store
from device.system.restart import kept_running

FINISH_SECONDS = 30.0  # how long a program that ends by itself goes on delivering
STOP_SECONDS = 5.0  # how long the program waits at its end for answers that are still outstanding


@contextmanager
def delivering(path: Path, settings: Settings, say: Say = print, finish: bool = False, write: Write | None = None) -> Iterator[None]:
    """Deliver in the background while the block runs. With no connector configured, nothing is started.

    Args:
        finish: after the block, deliver what it has recorded, for up to `FINISH_SECONDS`, and say what is left.
        write: writes the letters of notices; without it these wait.

    Raises:
        ConfigError: a connector cannot be built, since a secret is missing or a setting is invalid.
        StoreError: another process delivers the punches of this database.
    """
    connectors = [build(target) for target in configured(settings)]
    with Store.open(path, settings.store, actor="outbox") as store:
        _set_targets(store, connectors)
    if not connectors:
        yield
        return
    lock = CourierLock(path)
    threads = [_Thread(path, settings, connector, say, write) for connector in connectors]
    try:
        for thread in threads:
            thread.start()
        yield
        if finish:
            _finish(path, settings, say)
    finally:
        for thread in threads:
            thread.stop.set()
        for thread in threads:
            thread.join(STOP_SECONDS)
        lock.release()


def _finish(path: Path, settings: Settings, say: Say) -> None:
    until = time.monotonic() + FINISH_SECONDS
    names = {target.name for target in settings.connectors}
    with Store.open(path, settings.store, actor="outbox") as store:
        while True:
            left = [target for target in store.outbox.summary() if target.connector in names and target.waiting]
            if time.monotonic() > until or all(target.failures for target in left):
                break
            time.sleep(0.1)
    for target in left:
        why = f" ({target.error})" if target.error else ""
        say(f"outbox {target.connector}: {target.waiting} events wait{why}; the next start or `outbox drain` delivers them")


def drain(path: Path, settings: Settings, names: Sequence[str] | None = None, say: Say = print, write: Write | None = None) -> dict[str, int]:
    """Deliver what is due, one target after the other; returns for each target how many events are finished.

    Raises: as `delivering`.
    """
    connectors = [build(target) for target in configured(settings)]
    lock = CourierLock(path)
    done = {}
    try:
        with Store.open(path, settings.store, must_exist=True, actor="outbox") as store:
            _set_targets(store, connectors)
            for connector in connectors:
                if names is None or connector.name in names:
                    done[connector.name] = _drained(store, connector, settings, say, write)
    finally:
        lock.release()
    return done


def _set_targets(store: Store, connectors: Sequence[Connector]) -> None:
    apart = [connector.name for connector in connectors if not takes_punches(connector.settings)]
    alarms = [connector.name for connector in connectors if connector.takes_alarms and connector.name not in apart]
    store.outbox.set_targets([connector.name for connector in connectors], alarms, apart)


def _drained(store: Store, connector: Connector, settings: Settings, say: Say, write: Write | None) -> int:
    courier = Courier(store, connector, settings.outbox, say=say, write=write)
    try:
        total = courier.drain()
        courier.tick()
        return total
    finally:
        courier.close()


class _Thread(threading.Thread):
    """One courier; it opens the store in its own thread."""

    def __init__(self, path: Path, settings: Settings, connector: Connector, say: Say, write: Write | None) -> None:
        super().__init__(name=f"outbox-{connector.name}", daemon=True)
        self.stop = threading.Event()
        self._path, self._settings, self._connector, self._say, self._write = path, settings, connector, say, write

    def run(self) -> None:
        kept_running(self.name, self._deliver, self.stop, self._say)

    def _deliver(self) -> None:
        with Store.open(self._path, self._settings.store, actor="outbox") as store:
            courier = Courier(store, self._connector, self._settings.outbox, say=self._say, stop=self.stop, write=self._write)
            try:
                courier.run()
            finally:
                courier.close()
