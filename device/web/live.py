"""Hands the newest scene from the camera loop to the pages, without waiting.

The loop calls `show` with every scene. While nobody watches that keeps a reference and little more; a picture is encoded
only when a page asks for one, on the server's side, and never written anywhere.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import cv2

from device.system.clock import ClockState, read_clock_state
from device.system.time_zones import LocalClock, system_zone, zone
from device.terminal.capture_session import Booth
from device.terminal.pipeline import Scene
from device.terminal.prompts import Questions
from device.terminal.reembedding import Reembedded
from device.vision.camera.health import CameraState
from device.web.kiosk.code_watch import CodeWatch
from device.web.kiosk.view import Card, View, clock_state, clock_time, recorded, seen

WAKE_SECONDS = 0.04  # shortest time between two wake-ups of the pages; a punch wakes them at once
LOST_SECONDS = 3.0  # without a scene the camera counts as lost
CLOCK_SECONDS = 2.0  # how often the state of the clock is read
WIDEST = 960  # px, width of a picture on a page
JPEG_QUALITY = 75
ALONE_SECONDS = 120.0  # without the other doors: then the kiosk says so
MOST_WATCHERS = 16  # streams; a kiosk page has two
MOST_STRANGERS = 8  # of these, for other machines, where the kiosk is open to them
MOST_OF_ADDRESS = 4  # of these, for one address
RATE_SECONDS = 5.0  # over which the frame rate is measured


class Exchange(Protocol):
    """How the exchange with the other doors stands."""

    heard_at: float  # s since the epoch
    trouble: str


class Live:
    """Between the camera loop (one thread) and the pages (the server's event loop and its workers).

    Args:
        questions: asked by the pipeline, answered on the kiosk page.
        newest_punch: s since the epoch, of the database at the start.
        clock: of the system.
        monotonic, now: s.
        booth: where enrolments take their pictures.
        accepted: called after each punch that was recorded; must not wait.
    """

    def __init__(
        self,
        questions: Questions | None = None,
        newest_punch: float = 0.0,
        clock: Callable[[], ClockState] = read_clock_state,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        booth: Booth | None = None,
        accepted: Callable[[], None] = lambda: None,
    ) -> None:
        self.accepted = accepted
        self.booth = booth or Booth(monotonic)
        self.questions = questions or Questions()
        self._newest_punch = newest_punch
        self._clock, self._monotonic, self._now = clock, monotonic, now
        self._clock_known: tuple[float, bool] = (float("-inf"), False)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watchers: dict[asyncio.Event, str] = {}  # and who watches: an address, or "" for this machine's own screen
        self._cards: deque[Card] = deque(maxlen=8)
        self._times: deque[float] = deque(maxlen=400)  # of the latest scenes, monotonic
        self._scene: Scene | None = None
        self._woken_at = float("-inf")
        self._jpeg: tuple[Scene | None, bytes] = (None, b"")
        self._encoding = threading.Lock()
        self.closed = False
        self._resetting = 0
        self.local: Callable[[], LocalClock] = lambda: LocalClock(zone(system_zone()))  # the site's clock
        self.refused: Callable[[], None] = lambda: None  # called after a refused attempt; must not wait
        self.camera: Callable[[], CameraState] = lambda: "ok"  # state of the camera, read by the pages
        self.trouble: Callable[[], str] = lambda: ""  # the same for recognition and store
        self.late: Callable[[], str] = lambda: ""  # which of these keeps a frame waiting
        self.coarser: Callable[[], float] = lambda: 1.0  # factor on the smallest face searched for, on a slow board
        self.picture_in_view: Callable[[], bool] = lambda: False  # whether a picture of somebody enrolled hangs in view
        self.reembedded: Callable[[], Reembedded | None] = lambda: None  # how far templates are made for the model that the settings name
        self.fleet: Exchange | None = None  # of a terminal that has joined one
        self.codes: CodeWatch | None = None  # for set-up codes, of a terminal with a live camera
        self.pages: tuple[str, ...] = ()  # addresses of this terminal's pages
        self.fingerprint = ""  # SHA-256 of its own certificate; "" without one
        self.hangs = ""  # what to set where the camera hangs turned, in words
        self.restart = threading.Event()  # requested by an admin: the camera loop ends and the terminal restarts

    def show(self, scene: Scene) -> None:
        """Take a new scene; called by the camera loop."""
        at = self._monotonic()
        self._scene = scene
        self._times.append(at)
        if scene.punches:
            self.accepted()
        if scene.refused:
            self.refused()
        for person, punch in scene.punches:
            self._newest_punch = max(self._newest_punch, punch.occurred_at)
            self._cards.append(recorded(person, punch, self._now(), self.local()))
        if self._watchers and (scene.punches or at - self._woken_at >= WAKE_SECONDS):
            self._woken_at = at
            self._wake()

    def add_card(self, card: Card) -> None:
        """Show a card for a person who was recorded without the camera; called by a page."""
        self._cards.append(card)
        self._wake()

    @property
    def scene(self) -> Scene | None:
        """The newest scene."""
        return self._scene

    @property
    def lost(self) -> bool:
        """Whether the camera gives no pictures."""
        return self.camera_state in ("lost", "frozen")

    @property
    def camera_state(self) -> CameraState:
        """The state of the camera; also "lost" if no scene arrives for another reason than a part that is late."""
        state = self.camera()
        if self.late():
            return state
        silent = not self._times or self._monotonic() - self._times[-1] > LOST_SECONDS
        return "lost" if silent and state not in ("lost", "frozen") else state

    @property
    def frames_per_second(self) -> float:
        """Frame rate over the last seconds; 0 when the camera is lost."""
        since = self._monotonic() - RATE_SECONDS
        recent = [at for at in tuple(self._times) if at >= since]
        return (len(recent) - 1) / (recent[-1] - recent[0]) if len(recent) > 1 and recent[-1] > recent[0] else 0.0

    def view(self) -> View:
        """The current view of the kiosk."""
        now = self._now()
        clock = clock_state(now, self._synchronised(), self._newest_punch)
        trouble, questions = self.trouble() or self.late(), self.questions.open()
        view = seen(self._scene, self.camera_state, trouble, tuple(self._cards), questions, clock, now, self.hangs, self.local())
        return replace(view, alone=self.alone, resetting=self._resetting)

    def count_down(self, seconds: int) -> None:
        """Say on the kiosk when everything is erased; 0: it is not."""
        self._resetting = seconds
        self._wake()

    def time(self) -> dict[str, Any]:
        """The terminal's time for the clock of the page: s since the epoch, minutes that the site is ahead of UTC, and its zone's letters."""
        now, local = self._now(), self.local()
        ahead = local.at(now).utcoffset()
        return {"now": now, "ahead": int(ahead.total_seconds() // 60) if ahead else 0, "zone": local.abbreviation(now)}

    @property
    def alone(self) -> str:
        """Since when this door has not heard of the others, as the kiosk says it; "" where it has, or there are none."""
        link = self.fleet
        return clock_time(link.heard_at, self.local()) if link and link.trouble and self._now() - link.heard_at > ALONE_SECONDS else ""

    def _synchronised(self) -> bool:
        at = self._monotonic()
        if at - self._clock_known[0] > CLOCK_SECONDS:
            self._clock_known = at, self._clock().synchronised
        return self._clock_known[1]

    def picture(self) -> bytes | None:
        """The newest frame as JPEG, encoded once for all pages; None while there is none."""
        scene = self._scene
        if scene is None or self.lost:
            return None
        with self._encoding:
            if self._jpeg[0] is not scene:
                self._jpeg = scene, encoded(scene)
            return self._jpeg[1]

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Set the event loop of the pages to be woken."""
        self._loop = loop

    def watch(self, who: str = "") -> asyncio.Event:
        """An event that is set with every scene; return it with `leave`."""
        event = asyncio.Event()
        self._watchers[event] = who
        return event

    def leave(self, event: asyncio.Event) -> None:
        self._watchers.pop(event, None)

    def room(self, who: str = "") -> bool:
        """Whether one more may watch: the last places are this machine's own screen's, and one address has few."""
        watching = list(self._watchers.values())
        strangers = [each for each in watching if each]
        return len(watching) < MOST_WATCHERS and (not who or (len(strangers) < MOST_STRANGERS and strangers.count(who) < MOST_OF_ADDRESS))

    @property
    def watchers(self) -> int:
        return len(self._watchers)

    def close(self) -> None:
        """End: wake every watching page, which then finds `closed` set."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._set_all)

    def _set_all(self) -> None:
        for event in tuple(self._watchers):
            event.set()


def encoded(scene: Scene) -> bytes:
    """The frame as JPEG, at most WIDEST px wide."""
    image = scene.frame.image
    height, width = image.shape[:2]
    if width > WIDEST:
        image = cv2.resize(image, (WIDEST, round(height * WIDEST / width)), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return data.tobytes() if done else b""
