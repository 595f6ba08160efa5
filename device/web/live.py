"""What the camera loop shows to the pages: the newest scene, handed over without waiting.

The loop calls `show` with every scene. While nobody watches that stores two references; a picture is encoded only when
a page asks for one, on the server's side, and never written anywhere.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from device.pipeline import Scene

Woken = Callable[[], None]


class Live:
    """Between the camera loop (one thread) and the pages (the server's event loop and its workers)."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watchers: set[asyncio.Event] = set()
        self._scene: Scene | None = None
        self._shown_at = float("-inf")
        self.closed = False

    def show(self, scene: Scene) -> None:
        """A new scene; called by the camera loop."""
        self._scene, self._shown_at = scene, self._monotonic()
        if self._watchers:
            self._wake()

    @property
    def scene(self) -> Scene | None:
        return self._scene

    @property
    def age_seconds(self) -> float:
        """Since the last scene; infinite before the first."""
        return self._monotonic() - self._shown_at

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """The event loop whose pages are woken."""
        self._loop = loop

    def watch(self) -> asyncio.Event:
        """An event that is set with every scene; give it back with `leave`."""
        event = asyncio.Event()
        self._watchers.add(event)
        return event

    def leave(self, event: asyncio.Event) -> None:
        self._watchers.discard(event)

    def close(self) -> None:
        """The end: every watching page is woken and finds `closed`."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._set_all)

    def _set_all(self) -> None:
        for event in tuple(self._watchers):
            event.set()
