"""The kiosk of a terminal that nobody has set up reads codes from the camera's pictures, says what they will do, and does it after a tap or five seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from html import unescape
from pathlib import Path

import cv2
import numpy as np
import pytest

from device.attendance.planning import Planning
from device.config import LANGUAGES, CameraSettings, WebSettings
from device.maintenance import set_up
from device.maintenance.set_up_code import SetUpCode, sealed
from device.storage import settings as stored_settings
from device.system.clock import ClockState
from device.system.qr_codes import modules
from device.vision.camera.source import open_source
from device.web.kiosk.code_watch import LOOK_SECONDS, PLAN_SECONDS, CodeWatch
from device.web.kiosk.set_up_code import WORDS, reached
from device.web.messages import Messages
from tests.device.code_views import seen, two_in_view
from tests.device.web.conftest import START, Clock, Desk

CODE = SetUpCode("Asia/Tokyo", "tr", admin_password="boats on a quiet lake")
NOTHING = np.full((480, 640, 3), 90, np.uint8)


class Watching:
    """A watch with a clock of its own, before a camera that shows what a test gives it."""

    def __init__(self, desk: Desk) -> None:
        with desk.store() as store, store.transaction() as db:
            db.execute("DELETE FROM users WHERE login != 'admin'")
            db.execute("UPDATE users SET must_change = 1")
        self.at, self.restarts = Clock(1000.0), [0]
        self.watch = CodeWatch(
            partial(desk.terminal.store, "set-up code"), None, self._restart, now=lambda: START, clock=lambda: ClockState(True, "boot", 1), monotonic=self.at
        )
        desk.terminal.live.codes = self.watch

    def _restart(self) -> None:
        self.restarts[0] += 1

    def see(self, *pictures: np.ndarray, after: float = LOOK_SECONDS) -> None:
        for picture in pictures:
            self.at.now += after
            self.watch.look(picture)

    def settled(self) -> str:
        """The state once the work is done."""
        until = time.monotonic() + 10
        while self.watch.state == "working" and time.monotonic() < until:
            time.sleep(0.01)
        return self.watch.state


@pytest.fixture
def watching(desk: Desk) -> Watching:
    return Watching(desk)


def views(code: SetUpCode, now: float = START) -> list[np.ndarray]:
    return [seen(modules(text), number) for number, text in enumerate(sealed(code, now))]


def page(desk: Desk) -> str:
    answer = desk.browser().get("/kiosk/set-up")
    return unescape(answer.text).replace("<wbr>", "") if answer.status_code == 200 else f"{answer.status_code} {answer.headers.get('location')}"


def test_from_the_camera_to_the_address(desk: Desk, watching: Watching) -> None:
    desk.terminal.live.pages, desk.terminal.live.fingerprint = ("https://10.0.0.7:8443",), "AB:CD"
    assert desk.browser().get("/kiosk").headers["location"] == "/kiosk/set-up" and "Hold the set-up code" in page(desk)
    assert desk.browser().get("/kiosk?without=1").status_code == 200
    watching.see(NOTHING, *views(CODE))
    shown = page(desk)
    assert "Asia/Tokyo" in shown and "Türkçe" in shown and "one-time password" in shown and "boats" not in shown
    with desk.store() as store:
        assert set_up.fresh(store)  # it waits
    watching.see(NOTHING, after=PLAN_SECONDS)
    assert watching.settled() == "done"
    with desk.store() as store:
        assert Planning(store).site().zone == "Asia/Tokyo" and stored_settings.read(store)["web"]["language"] == "tr"
    assert "https://10.0.0.7:8443" in page(desk) and "AB:CD" in page(desk) and watching.restarts == [0]
    desk.browser().post("/kiosk/set-up/finish", "/kiosk/set-up")
    assert watching.restarts == [1] and page(desk).endswith("/kiosk") and desk.browser().get("/kiosk").status_code == 200


@pytest.mark.parametrize("mirror", [False, True])
def test_frames_of_a_source_as_the_camera_loop_has_them(desk: Desk, watching: Watching, tmp_path: Path, mirror: bool) -> None:
    """Pictures in JPEG, of which the second shows both codes of a text at 1280 x 720, through the reader of the terminal's sources."""
    invited = ["f" * 36, "Gate A", "North", "db.example", 5432, "clockface", "verify-full", [], "clockface_0123456789ab", "x" * 32, "2026", "terminal"]
    both = two_in_view([modules(text) for text in sealed(replace(CODE, invitation=invited), START)], 3)
    for number, view in enumerate((np.full_like(both, 90), both)):
        cv2.imwrite(str(tmp_path / f"{number}.jpg"), view)
    watching.watch._mirrored = mirror
    with open_source(str(tmp_path), CameraSettings(mirror=mirror), once=True) as source:
        watching.see(*(frame.image for frame in source))
    assert watching.watch.state == "plan" and "Gate A · North" in page(desk)


def test_a_tap_begins_and_another_leaves_it(desk: Desk, watching: Watching) -> None:
    watching.see(*views(CODE))
    assert desk.browser().post("/kiosk/set-up/cancel", "/kiosk/set-up").status_code == 303 and watching.watch.state == "hold"
    watching.see(*views(CODE))
    assert watching.watch.state == "hold"  # the paper is still before the camera
    watching.see(*views(CODE), after=10)
    assert watching.watch.state == "plan"
    assert desk.browser().http.post("/kiosk/set-up/begin").status_code == 403 and watching.watch.state == "plan"  # of another site's form
    desk.browser().post("/kiosk/set-up/begin", "/kiosk/set-up")
    assert watching.settled() == "done"


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (lambda: [seen(modules("https://example.org"), 1)], "another kind of code"),
        (lambda: views(CODE, START - 3700), "has expired"),
        (lambda: views(CODE, START + 900), "clock is ahead"),
        (lambda: [seen(modules(sealed(CODE, START)[0].replace("Tokyo", "Seoul")), 1)], "torn or damaged"),
    ],
)
def test_what_is_no_good_code_is_said(desk: Desk, watching: Watching, shown: Callable[[], list[np.ndarray]], words: str) -> None:
    watching.see(*shown())
    assert watching.watch.state == "hold" and words in page(desk)
    watching.see(*views(CODE), after=40)
    assert watching.watch.state == "plan" and words not in page(desk)


def test_a_step_that_fails_is_said_and_nothing_kept(desk: Desk, watching: Watching, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no nmcli
    watching.see(*views(replace(CODE, ssid="Hall")))
    assert "Hall" in page(desk)
    watching.watch.begin()
    assert watching.settled() == "hold" and "no NetworkManager" in page(desk)
    with desk.store() as store:
        assert set_up.fresh(store) and stored_settings.read(store) == {}


def test_a_terminal_that_was_set_up_meanwhile_ignores_codes(desk: Desk, watching: Watching) -> None:
    with desk.store() as store:
        set_up.skip(store, "site", True)
    assert page(desk).endswith("/kiosk") and watching.watch.state == "over"  # also without a picture
    watching.watch.state = "hold"
    watching.see(*views(CODE), after=10)
    assert watching.watch.state == "over"
    watching.see(*views(CODE), after=100)
    assert watching.watch.state == "over" and watching.watch.code is None


def test_an_administrator_lets_a_terminal_that_is_set_up_read_one(desk: Desk) -> None:
    """For two minutes, after logging in at the kiosk; the password of a first administrator is never taken there."""
    with desk.store() as store:
        set_up.skip(store, "site", True)
    assert desk.browser("operator", "kiosk").post("/kiosk/set-up/open", "/kiosk/check").status_code == 403
    for code, end in ((CODE, "hold"), (replace(CODE, admin_password=""), "done")):
        admin = desk.browser("admin", "kiosk")
        assert admin.post("/kiosk/set-up/open", "/kiosk/check").headers["location"] == "/kiosk/set-up"
        watch = desk.terminal.live.codes
        assert watch is not None
        watch._now, watch._look_at, watch._clock = (lambda: START), 0.0, (lambda: ClockState(True, "boot", 1))
        watch.look(views(code)[0])
        assert watch.state == "plan" and watch.begin()
        until = time.monotonic() + 10
        while watch.state == "working" and time.monotonic() < until:
            time.sleep(0.01)
        assert watch.state == end
    with desk.store() as store:
        assert Planning(store).site().zone == "Asia/Tokyo"
    watch._until, watch.state = 0.0, "hold"
    assert page(desk).endswith("/kiosk") and watch.state == "over"


def test_it_costs_nothing_between_looks_and_later(desk: Desk, watching: Watching, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    monkeypatch.setattr(watching.watch._reader, "take", lambda image: looks.append(1))
    for _ in range(60):
        watching.see(NOTHING, after=1 / 30)  # two seconds of a camera
    assert 3 <= len(looks) <= 5
    watching.watch.state = "over"
    watching.see(NOTHING, NOTHING)
    assert len(looks) <= 5


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_kiosk_says_it_in_its_languages(desk: Desk, language: str) -> None:
    desk = Desk(replace(desk.terminal, settings=replace(desk.terminal.settings, web=WebSettings(language=language, languages=""))), desk.clock)
    watching, texts = Watching(desk), Messages.load(language)
    watching.see(seen(modules("https://example.org"), 1))
    assert texts.text("set_up_code.lead") in page(desk) and texts.text("set_up_code.wrong_foreign") in page(desk)
    watching.see(*views(CODE), after=10)
    assert texts.text("set_up_code.plan") in page(desk)
    assert all(texts.text(f"set_up_code.wrong_{words}") for words in WORDS.values())


def test_addresses_that_stand_for_all_are_named() -> None:
    assert reached(("http://127.0.0.1:8080", "https://192.0.2.7:8443")) == ["http://127.0.0.1:8080", "https://192.0.2.7:8443"]
    assert all(url.startswith("https://") and "0.0.0.0" not in url and url.endswith(":8443") for url in reached(("https://0.0.0.0:8443",)))
