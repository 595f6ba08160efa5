"""Looks for set-up codes in the camera's pictures, on a terminal that nobody has set up; what it has read waits for a tap or five seconds.

The camera loop calls `look` with every frame, the kiosk's pages read the state. What a code says is done on a thread of its own: joining a network
takes long, and the loop must not wait.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal

from device.contract import ClockfaceError
from device.maintenance.set_up_code import HEAD, SetUpCode, opened
from device.storage.store import Store
from device.system.clock import ClockState, read_clock_state
from device.system.qr_codes import Bits, PartsReader
from device.web.access import set_up_by_code

Waiting = Literal["hold", "plan", "working", "done", "over"]
LOOK_SECONDS = 0.5  # between two pictures that are searched for codes
WAITING_SECONDS = 5.0  # between two looks whether somebody has set the terminal up elsewhere
PLAN_SECONDS = 5.0  # what a code says is shown so long before it is done
PAUSE_SECONDS = 6.0  # after a code that was put off or not taken no other is read
WORDS_SECONDS = 30.0  # why a code was not taken is said so long
OPEN_SECONDS = 120.0  # an administrator lets a terminal that is set up look for a code so long
DONE_SECONDS = 90.0  # the address is shown so long, then the terminal starts again with what was set
FAILED = "failed"


class CodeWatch:
    """The state of setting this terminal up by a code.

    Args:
        store: opens one; each use has its own.
        restart: asks the terminal to start again.
        mirrored: whether the pictures are mirrored, in which no code can be read.
        now: s since the epoch.
        clock: of the system.
        monotonic: s.
        opened_by: the administrator who lets a terminal that is set up read a code, for two minutes; "" on one that nobody has set up.
    """

    def __init__(
        self,
        store: Callable[[], AbstractContextManager[Store]],
        config_file: Path | None,
        restart: Callable[[], None],
        mirrored: bool = False,
        now: Callable[[], float] = time.time,
        clock: Callable[[], ClockState] = read_clock_state,
        monotonic: Callable[[], float] = time.monotonic,
        opened_by: str = "",
    ) -> None:
        self._store, self._config_file, self._restart, self._mirrored = store, config_file, restart, mirrored
        self._now, self._clock, self._monotonic = now, clock, monotonic
        self._opened_by, self._until = opened_by, monotonic() + OPEN_SECONDS
        self._lock = threading.Lock()  # a tap and the five seconds may come together
        self._reader = PartsReader(HEAD)
        self._look_at = self._ask_at = self._since = float("-inf")
        self._wrong: tuple[float, str, str] = (float("-inf"), "", "")  # when, the key of its words, and the reason
        self.state: Waiting = "hold"
        self.code: SetUpCode | None = None  # that was read and is to be done, is being done or was done

    @property
    def wrong(self) -> tuple[str, str]:
        """The key of the words why the last code was not taken, and the reason in English; empty texts for none."""
        at, key, reason = self._wrong
        return (key, reason) if self._monotonic() - at < WORDS_SECONDS else ("", "")

    @property
    def read(self) -> tuple[int, int]:
        """How many codes were read, and how many there are."""
        return self._reader.found, self._reader.wanted

    @property
    def seconds(self) -> int:
        """Until what was read is done."""
        return max(0, round(PLAN_SECONDS - (self._monotonic() - self._since)))

    def look(self, image: Bits) -> None:
        """Take a picture of the camera, (H, W, 3) uint8; most are passed over."""
        if self.state == "over" or (at := self._monotonic()) < self._look_at:
            return
        self._look_at = at + LOOK_SECONDS
        if self.state == "plan" and at - self._since >= PLAN_SECONDS:
            self.begin()
        elif self.state == "done" and at - self._since >= DONE_SECONDS:
            self.finish()
        elif self.state == "hold" and self._still_waiting(at):
            self._search(image[:, ::-1].copy() if self._mirrored else image)

    def _still_waiting(self, at: float) -> bool:
        """Whether a code may set this terminal up; asked now and then, as somebody may do it at the pages."""
        if at < self._ask_at:
            return True
        self._ask_at = at + WAITING_SECONDS
        try:
            with self._store() as store:
                return self.wanted(store)
        except ClockfaceError:  # the database is busy: it is asked again
            return False

    def wanted(self, store: Store) -> bool:
        """Whether this is not over: pages ask it too, as a camera may give no pictures."""
        if self.state == "hold":
            waiting = self._monotonic() < self._until if self._opened_by else set_up_by_code.waiting(store)
            with self._lock:
                self.state = "over" if not waiting and self.state == "hold" else self.state
        return self.state != "over"

    def _search(self, image: Bits) -> None:
        text = self._reader.take(image)
        try:
            if text is not None:
                self._planned(opened(text, self._now(), self._clock()))
            elif self._reader.torn:
                self._not_taken("torn")
            elif self._reader.foreign:
                self._wrong = self._monotonic(), "foreign", ""
        except ClockfaceError as error:
            self._not_taken(error.code, str(error))

    def _planned(self, code: SetUpCode) -> None:
        self._wrong = float("-inf"), "", ""
        with self._lock:
            self.code, self.state, self._since = code, "plan", self._monotonic()

    def _not_taken(self, key: str, reason: str = "") -> None:
        self._wrong = self._monotonic(), key, reason
        self._anew()

    def _anew(self) -> None:
        self._reader, self.code, self.state = PartsReader(HEAD), None, "hold"
        self._look_at = self._monotonic() + PAUSE_SECONDS

    def begin(self) -> bool:
        """Do what the code says, on a thread of its own; False where nothing waits for it."""
        with self._lock:
            if self.state != "plan":
                return False
            self.state = "working"
        threading.Thread(target=self._do, name="set-up code", daemon=True).start()
        return True

    def cancel(self) -> None:
        """Leave what was read; the next code counts."""
        with self._lock:
            if self.state == "plan":
                self._anew()

    def finish(self) -> None:
        """The address was read: start again with what was set."""
        with self._lock:
            if self.state == "done":
                self.state = "over"
                self._restart()

    def _do(self) -> None:
        assert self.code is not None
        try:
            with self._store() as store:
                set_up_by_code.do(store, self._config_file, self.code, self._opened_by or "kiosk", again=bool(self._opened_by))
        except ClockfaceError as error:
            self._not_taken(error.code, str(error))
        except Exception as error:  # of a driver or the network: nothing of it was kept, the screen says so
            self._not_taken(FAILED, type(error).__name__)
        else:
            self.state, self._since = "done", self._monotonic()
