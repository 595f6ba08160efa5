"""Make the pictures of the kiosk, of people and of health: `python -m tests.device.web.kiosk_pictures [NAME...]`.

The faces are the demo's public-domain portraits, found by the real detector; the states are put in by hand (`states.py`).
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from device.commands.benchmark import sample_data
from device.config import LANGUAGES, AttendanceSettings, Settings, WebSettings
from device.storage.records import TemplateDraft
from device.storage.store import Store
from device.terminal.capture_session import Booth, Draft
from device.terminal.pipeline import Scene
from device.vision.camera.health import CameraState
from device.web.access import accounts, passwords, pins, sessions
from device.web.context import Terminal
from device.web.live import Live
from device.web.server import Address, WebServer
from tests.device.web import states
from tests.device.web.browser import chromium, needed, resize, wait
from tests.device.web.pictures import OUT, WIDE, picture
from tests.device.web.states import BOTH, CLOCK, NOBODY, ONE, Scenes

SMALL, LARGE = (800, 480), (1920, 1080)


def nothing(live: Live) -> None:
    """No preparation."""


@dataclass(frozen=True)
class Shot:
    """One state of the kiosk: what the camera sees, what is known of it, what the page is to say."""

    state: str
    seconds: float = ONE  # of the demo's round
    change: Callable[[int, Any], None] = lambda index, subject: None
    before: Callable[[Live], None] = nothing
    newest_punch: float = 0.0
    plugged: bool = True
    camera: CameraState = "ok"
    trouble: str = ""


SHOTS = {
    "idle": Shot("idle", NOBODY),
    "looking": Shot("looking"),
    "come-closer": Shot("guidance", BOTH, states.too_small),
    "recognised": Shot("recognised", change=states.recorded),
    "recognised-two": Shot("recognised", BOTH, states.recorded),
    "already": Shot("already", change=states.already),
    "unknown": Shot("unknown", 12.0, states.unknown),
    "asked": Shot("asked", before=states.ask),
    "step-back": Shot("guidance", change=states.step_back),
    "a-moment": Shot("looking", change=states.a_moment),
    "unclear": Shot("unclear", change=states.unclear),
    "come-again": Shot("unclear", change=states.come_again),
    "turn-left": Shot("challenge", change=states.asked_to_turn("left")),
    "turn-right": Shot("challenge", change=states.asked_to_turn("right")),
    "look-back": Shot("challenge", change=states.asked_to_turn("left", "turned")),
    "camera-lost": Shot("camera_lost", plugged=False),
    "camera-frozen": Shot("camera_frozen", NOBODY, camera="frozen"),
    "camera-black": Shot("camera_black", NOBODY, camera="black"),
    "camera-slow": Shot("camera_slow", NOBODY, camera="slow"),
    "not-recording": Shot("not_recording", NOBODY, trouble="the disk is full"),
    "clock-not-set": Shot("clock_not_set", NOBODY, newest_punch=1e11),
}
DESK = {
    "people": "/people", "person": "/people/12", "health": "/health", "settings": "/settings", "audit": "/audit", "backup": "/backup",
    "reset": "/reset", "bulk": "/people/bulk",
}  # fmt: skip
ENROLMENT = {
    "enrol-consent": "/kiosk/enrol/consent",
    "enrol-capture": "/kiosk/enrol/capture",
    "enrol-person": "/kiosk/enrol",
    "own": "/kiosk/own",
    "languages": "/kiosk/language",
}
PIN = "pin"
VARIANTS = ("a-moment", "come-again", "turn-right", "look-back")  # not in the documentation
SHOWN = (*(name for name in SHOTS if name not in VARIANTS), PIN, "enrol-consent", "enrol-capture", "people", "health", "settings")


@contextmanager
def playing(live: Live, scene: Scene) -> Iterator[None]:
    """The same scene again and again, as a camera loop would show it."""
    stop = threading.Event()

    def show() -> None:
        while not stop.wait(0.05):
            live.show(live.booth.process(replace(scene.frame, time=time.time())) or replace(scene))

    loop = threading.Thread(target=show)
    loop.start()
    try:
        yield
    finally:
        stop.set()
        loop.join()


@contextmanager
def serving(database: Path, live: Live, web: WebSettings, asked: bool = False) -> Iterator[str]:
    settings = Settings(attendance=AttendanceSettings(direction="asked" if asked else "alternate"), web=web)
    with WebServer(Terminal(settings, database, "Front door", live), [Address("127.0.0.1", 0)]) as server:
        yield server.urls[0]


@contextmanager
def quiet_machine() -> Iterator[None]:
    """The machine as it stands at the invented site: in its time zone, with little to do."""
    with patch.dict(os.environ, {"TZ": "Europe/Berlin"}), patch("os.getloadavg", lambda: (0.4, 0.3, 0.3)):
        time.tzset()
        yield
    time.tzset()


def enrolled(database: Path) -> None:
    """Random templates and a consent for nearly everybody: the pages show how many, never what is in them."""
    noise = np.random.default_rng(7)
    card = Scenes(Settings()).recogniser.embedder.card
    with Store.open(database) as store:
        for person in store.people()[3:]:
            embeddings = noise.normal(size=(6, card.embedding_size)).astype(np.float32)
            drafts = [TemplateDraft(card.model_id, row / np.linalg.norm(row), 0.9, None, "kiosk") for row in embeddings]
            store.add_templates(person.id, drafts, states.CONSENT)
        for person in store.people()[:5]:
            pins.set_pin(store, person.id, pins.invented())


class Studio:
    """Takes the pictures, one server a shot."""

    def __init__(self, driver: Any, database: Path, language: str) -> None:
        self.driver, self.database, self.web = driver, database, WebSettings(language=language)
        self.scenes = Scenes(Settings())
        with Store.open(database) as store:
            user = accounts.add(store, "m.operator", "admin", passwords.invented())
            with store.transaction() as db:
                db.execute("UPDATE users SET must_change = 0")
            self.user = replace(user, must_change=False)
            self.tokens = {place: sessions.start(store, self.user, place, time.time()) for place in ("desk", "kiosk")}

    def open(self, url: str, path: str) -> None:
        self.driver.get(f"{url}/login")
        for name, value in {f"clockface_{place}": token for place, token in self.tokens.items()}.items():
            self.driver.add_cookie({"name": name, "value": value, "httpOnly": True, "sameSite": "Strict"})
        self.driver.get(url + path)

    def state(self, shot: Shot) -> bytes:
        clock = replace(CLOCK, synchronised=not shot.newest_punch)  # a time server would vouch for the time
        live = Live(newest_punch=shot.newest_punch, clock=lambda: clock)
        live.camera, live.trouble = (lambda: shot.camera), (lambda: shot.trouble)
        scene = self.scenes.at(shot.seconds, shot.change)
        if shot.camera == "black":
            scene.frame.image[:] = 0
        with serving(self.database, live, self.web, shot.state == "asked") as url:
            if not shot.plugged:
                self.open(url, "/kiosk")
                return self._when(shot)
            with playing(live, scene):
                shot.before(live)
                self.open(url, "/kiosk")
                return self._when(shot)

    def _when(self, shot: Shot) -> bytes:
        wait(lambda: self.driver.find_element("tag name", "body").get_attribute("data-state") == shot.state, words=shot.state)
        if shot.plugged and shot.state not in ("clock_not_set", "camera_frozen"):
            wait(lambda: self.driver.execute_script("return document.getElementById('picture').naturalWidth") > 0, words="the live picture")
        time.sleep(0.8)  # until what moves has come to rest
        return picture(self.driver)

    def pin(self) -> bytes:
        live = Live(clock=lambda: CLOCK)
        with serving(self.database, live, self.web) as url, playing(live, self.scenes.at(ONE)):
            self.open(url, "/kiosk")
            self.driver.find_element("id", "open-pin").click()
            for key in ("letters", "E", "digits", "1", "7"):
                words = {"letters": "ABC", "digits": "123"}.get(key, key)
                next(button for button in self.driver.find_elements("css selector", "#keypad button") if button.text == words).click()
            time.sleep(0.5)
            return picture(self.driver)

    def page(self, path: str) -> bytes:
        """A page at the desk or of an enrolment, while the camera runs."""
        live = Live(clock=lambda: CLOCK, booth=Booth(time.monotonic, self.scenes.recogniser.for_thread()))
        live.booth.keep(Draft(self.user.id, "Grace Hopper", "E17", consent=states.CONSENT))
        web = replace(self.web, languages=", ".join(LANGUAGES)) if path == "/kiosk/language" else self.web
        with serving(self.database, live, web) as url, playing(live, self.scenes.at(ONE)):
            time.sleep(1)
            self.open(url, path)
            time.sleep(1.5 if "capture" in path else 0.5)
            return picture(self.driver)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    known = (*SHOTS, PIN, *ENROLMENT, *DESK)
    parser.add_argument("names", nargs="*", choices=[[], *known], metavar="NAME", help=", ".join(known))
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR")
    parser.add_argument("--large", action="store_true", help="the kiosk at 1920 x 1080 instead of 800 x 480")
    parser.add_argument("--language", choices=LANGUAGES, default="en", help="of the kiosk")
    parser.add_argument("--name", help="of the person recorded, to see another script")
    parser.add_argument("--dark", action="store_true")
    args = parser.parse_args()
    if args.name:
        states.HOPPER_PERSON = replace(states.HOPPER_PERSON, name=args.name)
    take(args.names or SHOWN, args.out, args.language, LARGE if args.large else SMALL, args.dark)


def take(names: Sequence[str], out: Path, language: str = "en", size: tuple[int, int] = SMALL, dark: bool = False, ending: str = "") -> None:
    """Write the pictures of these states and pages into a folder."""
    needed()
    out.mkdir(parents=True, exist_ok=True)
    with quiet_machine(), tempfile.TemporaryDirectory() as folder, chromium(*WIDE, dark=dark) as driver:
        database = Path(folder) / "site.db"
        sample_data.fill(database, people=64, punches=4200, now=time.time(), seed=7)
        enrolled(database)
        studio = Studio(driver, database, language)
        for name in names:
            resize(driver, *(WIDE if name in DESK else size))
            shot = studio.state(SHOTS[name]) if name in SHOTS else studio.pin() if name == PIN else studio.page({**DESK, **ENROLMENT}[name])
            file = out / f"{'' if name in DESK else 'kiosk-'}{name}{ending}.png"
            file.write_bytes(shot)
            print(file)


if __name__ == "__main__":
    main()
