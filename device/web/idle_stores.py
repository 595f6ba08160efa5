"""Open stores of the pages, kept for the next request: opening one costs as much as a small page, and more with each person enrolled."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from device.config import StoreSettings
from device.storage.store import Store

OLDEST_SECONDS = 10.0  # then it is opened anew, which also completes what another process was cut off in


@dataclass
class _Kept:
    store: Store
    opened_at: float
    file: tuple[int, int]


class IdleStores:
    """Lends each store to one thread at a time. `clock`: s."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._idle: list[_Kept] = []
        self._lock = threading.Lock()

    @contextmanager
    def lent(self, path: Path, settings: StoreSettings, actor: str) -> Iterator[Store]:
        """A store for one request; a file that has taken the place of the former one is opened anew.

        Raises:
            StoreError: as `Store.open`.
        """
        kept = self._take(path, settings)
        kept.store.act_as(actor)
        try:
            yield kept.store
        except BaseException:  # whatever the request left behind, nobody else gets it
            kept.store.close()
            raise
        self._give_back(kept)

    def close(self) -> None:
        """Close those that are idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for kept in idle:
            kept.store.close()

    def _take(self, path: Path, settings: StoreSettings) -> _Kept:
        file, now = _identity(path), self._clock()
        with self._lock:
            fresh = [kept for kept in self._idle if kept.file == file and now - kept.opened_at < OLDEST_SECONDS]
            stale = [kept for kept in self._idle if kept not in fresh]
            self._idle = fresh[:-1]
        for kept in stale:
            kept.store.close()
        return fresh[-1] if fresh else _Kept(Store.open(path, settings, must_exist=True, any_thread=True), now, _identity(path))

    def _give_back(self, kept: _Kept) -> None:
        if kept.store.in_transaction or kept.store.departments:  # nobody else may go on in it
            kept.store.close()
            return
        with self._lock:
            self._idle.append(kept)


def _identity(path: Path) -> tuple[int, int]:
    """Changes when another file takes this place; (0, 0) while there is none."""
    with suppress(OSError):
        found = os.stat(path)
        return found.st_dev, found.st_ino
    return 0, 0
