"""What somebody at the kiosk reads and sees while liveness is judged: drawn faces before a real pipeline, portraits and clips in real Chromium."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from device.config import LANGUAGES, AttendanceSettings, LivenessSettings, Settings, WebSettings
from device.storage.store import Store
from device.terminal.enrolment import enrol
from device.vision.camera.source import open_source
from device.vision.liveness import STEP_BACK, Judgement
from device.web.access import pins
from device.web.context import Terminal as Pages
from device.web.kiosk.view import View, seen
from device.web.live import Live
from device.web.messages import Messages, forms
from device.web.server import Address, WebServer
from tests.device.terminal.drawn import ENFORCE, GOOD, OBSERVE, OFF, Shown, Terminal, two_people
from tests.device.web import browser, states
from tests.device.web.browser import Running, chromium, complaints, resize, wait
from tests.device.web.conftest import PASSWORD
from tests.device.web.kiosk_pictures import SHOTS, playing
from tests.device.web.test_browser import SIZES, fill, fits, go, press, state

PICTURE = 0.02
NEW = ("step-back", "a-moment", "unclear", "come-again", "turn-left", "turn-right", "look-back")
WORDY = ("unclear", "come-again")  # the states with the longest texts
ACCUSING = (
    "attack", "angriff", "fake", "fraud", "betrug", "spoof", "täusch", "foto", "photo", "ataque", "engañ", "attaque", "tromp", "sahte", "saldırı",
    "احتيال", "هجوم", "تزوير", "攻击", "欺骗", "冒充", "照片",
)  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with two_people(tmp_path) as opened:
        yield opened


def at_kiosk(store: Store, liveness: LivenessSettings) -> Terminal:
    return Terminal(store, Settings(liveness=liveness))


def watched(terminal: Terminal, seconds: float, *shown: Shown, later: float = 0.0, trouble: str = "") -> list[View]:
    """What the kiosk shows of each frame, `later` s after it."""
    views = []
    for _ in range(round(seconds * 10)):
        [scene] = terminal.see(0.1, *shown)
        views.append(seen(scene, "ok", trouble, [], [], "ok", scene.frame.time + later))
    return views


def said(views: list[View]) -> list[tuple[str, str]]:
    """State and reason of each view, without repetitions."""
    return [
        (one.state, one.reason)
        for number, one in enumerate(views)
        if number == 0 or (one.state, one.reason) != (views[number - 1].state, views[number - 1].reason)
    ]


# what is said


def test_a_picture_is_told_how_an_honest_person_is_seen_better(store: Store) -> None:
    views = watched(at_kiosk(store, ENFORCE), 16, Shown("A", live=PICTURE))
    assert said(views)[-2:] == [("unclear", ""), ("unclear", "come_again")]
    assert all(not one.cards and one.challenge is None for one in views) and store.punches() == []


def test_who_is_too_near_steps_back_and_is_recorded(store: Store) -> None:
    terminal = at_kiosk(store, ENFORCE)
    assert said(watched(terminal, 4, Shown("A", live=STEP_BACK)))[-1] == ("guidance", "step_back")
    assert said(watched(terminal, 2, Shown("A", live=STEP_BACK)))[-1] == ("unclear", "")  # nothing could be judged for 5 s
    assert said(watched(terminal, 2, Shown("A")))[-1][0] == "recognised"


def test_who_is_judged_for_long_is_asked_to_go_on_looking(store: Store) -> None:
    terminal = at_kiosk(store, ENFORCE)
    assert said(watched(terminal, 4, Shown("A", live=Judgement(None))))[-2:] == [("looking", ""), ("looking", "a_moment")]
    assert {reason for _, reason in said(watched(terminal, 4, Shown("stranger", x=300.0)))} == {""}


@pytest.mark.parametrize("liveness", [OFF, OBSERVE], ids=["off", "observe"])
def test_nobody_is_held_up_where_nothing_is_enforced(store: Store, liveness: LivenessSettings) -> None:
    views = watched(at_kiosk(store, liveness), 3, Shown("A", live=PICTURE))
    assert said(views) == [("looking", ""), ("recognised", "")]


def test_the_turn_of_the_head_with_its_side_and_the_time_left(store: Store) -> None:
    terminal = at_kiosk(store, LivenessSettings(mode="enforce", challenge="turn", challenge_seconds=6.0))
    first = [one for one in watched(terminal, 0.8, Shown("A")) if one.state == "challenge"][0]
    assert first.reason in ("turn_left", "turn_right") and first.challenge is not None and first.challenge["seconds"] == 6.0
    [later] = watched(terminal, 0.1, Shown("A"), later=2.0)
    assert later.challenge is not None and 2.0 < later.challenge["seconds"] < 4.0
    assert later.challenge["until"] == first.challenge["until"], "the bar on the screen goes on"
    sign = 1.0 if first.reason == "turn_left" else -1.0
    away = Shown("A", quality=replace(GOOD, yaw=0.7 * sign, reasons=("turned",)))
    assert said(watched(terminal, 0.5, away))[-1] == ("challenge", "look_back")
    assert said(watched(terminal, 1, Shown("A")))[-1][0] == "recognised"


def test_who_does_not_turn_in_time_may_come_again(store: Store) -> None:
    terminal = at_kiosk(store, LivenessSettings(mode="enforce", challenge="turn", challenge_seconds=2.0))
    views = watched(terminal, 5, Shown("A"))
    assert said(views)[-1] == ("unclear", "come_again") and views[-1].challenge is None


def test_a_full_disk_comes_before_everything(store: Store) -> None:
    assert said(watched(at_kiosk(store, ENFORCE), 3, Shown("A", live=PICTURE), trouble="store")) == [("not_recording", "")]


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_word_accuses_anybody(language: str) -> None:
    texts = {key: text for area in ("kiosk", "enrol") for key, text in Messages.load(language).area(area).items()}
    assert {"unclear", "unclear_hint", "unclear_come_again_hint", "challenge_hint", "a_moment", "look_back"} <= texts.keys()
    assert "PIN" in texts["unclear_hint"] and "PIN" in texts["unclear_come_again_hint"]
    assert [key for key, text in texts.items() if any(word in form.casefold() for form in forms(text) for word in ACCUSING)] == []


# what is seen


def test_every_new_state_fits_the_screen_in_every_language(tmp_path: Path) -> None:
    browser.needed()
    with Store.open(tmp_path / "clockface.db"):
        pass
    scenes, live, settings = states.Scenes(Settings()), Live(clock=lambda: states.CLOCK), Settings(web=WebSettings(languages=", ".join(LANGUAGES)))
    with WebServer(Pages(settings, tmp_path / "clockface.db", "Front door", live), [Address("127.0.0.1", 0)]) as server, chromium(*SIZES[0]) as page:
        for language in LANGUAGES:
            page.get(f"{server.urls[0]}/kiosk")
            page.add_cookie({"name": "clockface_language", "value": language})
            page.get(f"{server.urls[0]}/kiosk")
            for name in NEW if language in ("en", "de") else WORDY:
                with playing(live, scenes.at(SHOTS[name].seconds, SHOTS[name].change)):
                    _check(page, name, Messages.load(language).area("kiosk"))
                    for width, height in SIZES:
                        resize(page, width, height)
                        assert fits(page), (name, language, width)
        assert complaints(page) == []


def _check(page: Any, name: str, texts: dict[str, str]) -> None:
    """The words, and the arrow: on the side to which the head is to be turned, and nowhere else."""
    key = "unclear" if name == "come-again" else name.replace("-", "_")
    hint = {"unclear": "unclear_hint", "come-again": "unclear_come_again_hint", "look-back": "challenge_look_back_hint"}.get(name, "")
    expected = texts[key], texts[hint or "challenge_hint"] if hint or name.startswith("turn") else ""
    wait(lambda: (page.find_element("id", "words").text, page.find_element("id", "hint").text) == expected, words=f"{name}: {expected}")
    arrow, width = page.find_element("css selector", "#turn svg"), page.execute_script("return innerWidth")
    assert arrow.is_displayed() == name.startswith("turn")
    if arrow.is_displayed():
        left = arrow.rect["x"] + arrow.rect["width"] / 2 < width / 2
        assert left == (name == "turn-left")
        points = page.execute_script("return new DOMMatrix(getComputedStyle(arguments[0]).transform).a", arrow)
        assert (points > 0) == left, "the arrow is drawn pointing to the left and turned over for the right"
    assert page.find_element("css selector", "#turn .countdown").is_displayed() == (name.startswith("turn") or name == "look-back")


# a phone with somebody's face: no punch, no enrolment; then their PIN, and they themselves


@pytest.fixture(scope="module")
def running(shared: Path, tmp_path_factory: pytest.TempPathFactory, stored_password: str) -> Iterator[Running]:
    browser.needed()
    settings = Settings(attendance=AttendanceSettings(refractory_seconds=2), liveness=LivenessSettings(mode="enforce"))
    with Running(tmp_path_factory.mktemp("kiosk") / "clockface.db", settings) as terminal:
        with Store.open(terminal.database) as store, open_source(str(shared / "pad/clips/a_real.webm"), settings.camera) as clip:
            frames = [frame for number, frame in enumerate(clip) if number < 60 and number % 10 == 0]
            using = terminal.recogniser.for_thread()
            samples = [using.sample(frame.image, using.detector.detect(frame.image)[0]) for frame in frames]
            person = enrol(store, using, "Person A", "E17", samples, ["clip"] * len(samples))
            pins.set_pin(store, person.id, "270819")
            with store.transaction() as db:
                sql = "INSERT INTO users (login, role, password_hash, must_change, created_at) VALUES ('operator', 'operator', ?, 0, 0)"
                db.execute(sql, [stored_password])
        yield terminal


@pytest.fixture(scope="module")
def page(running: Running) -> Iterator[Any]:
    with chromium(*SIZES[0]) as driver:
        yield driver


def test_a_phone_is_not_recorded_the_pin_is_and_then_the_face(running: Running, page: Any, shared: Path) -> None:
    page.get(f"{running.url}/kiosk")
    running.camera.show(shared / "pad/clips/a_phone.webm")
    wait(lambda: state(page) == "unclear", 40, "the phone is refused")
    assert page.find_element("id", "words").text == "I cannot see you well enough to record you" and fits(page)
    with Store.open(running.database) as store:
        assert store.punches() == [] and store.refusals().counts == {"picture": 1}
    press(page, "#open-pin")
    for field, keys in (("pin-code", "E17"), ("pin-digits", "270819")):
        page.find_element("id", field).send_keys(keys)
    press(page, "#pin-done")
    wait(lambda: "Person A" in page.find_element("id", "cards").text, words="recorded by PIN")
    running.camera.show(None)
    time.sleep(2.5)  # the refractory period
    running.camera.show(shared / "pad/clips/a_real.webm")
    wait(lambda: state(page) == "recognised" and "Out" in page.find_element("id", "cards").text, 40, "the person is recorded")
    assert complaints(page) == []
    with Store.open(running.database) as store:
        pin, face = store.punches()
    assert (pin.method, pin.liveness, face.method) == ("pin", None, "face") and face.liveness is not None and face.liveness > 0.5


def test_nobody_is_enrolled_from_a_phone(running: Running, page: Any, shared: Path) -> None:
    running.camera.show(shared / "pad/clips/d_phone.mp4")
    page.get(f"{running.url}/kiosk/unlock")
    fill(page, login="operator", password=PASSWORD)
    go(page, "button.go")
    fill(page, name="Person D", code="E18")
    go(page, "button.go")
    go(page, ".grow button")
    wait(lambda: page.find_element("id", "failed").is_displayed(), 60, "the capture ends")
    assert "The person must stand here themselves" in page.find_element("id", "failed").text and fits(page)
    words, button = (page.find_element("id", name).rect for name in ("failed", "again"))
    assert words["y"] + words["height"] <= button["y"], "the button covers no word"
    assert complaints(page) == []
    running.camera.show(None)
    with Store.open(running.database) as store:
        assert [person.name for person in store.people()] == ["Person A"]
