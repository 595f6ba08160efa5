"""The kiosk page without a browser: what it says, PIN, the buttons, who may open it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from device.config import LANGUAGES, AttendanceSettings, CameraSettings, Settings, WebSettings
from device.storage.records import Person, PunchDraft
from device.system.clock import ClockState
from device.terminal.pipeline import Scene
from device.vision.camera.frame import Frame
from device.vision.liveness import STEP_BACK
from device.vision.upright import remedy
from device.web.access import pins
from device.web.kiosk.view import Card, clock_state
from device.web.live import Live
from device.web.messages import Messages
from tests.device.terminal import drawn
from tests.device.web.conftest import Browser, Desk
from tests.refused import refused

PIN = "270819"


@pytest.fixture
def person(desk: Desk) -> Person:
    with desk.store() as store:
        person = store.add_person("Ada Kern", "E17")
        pins.set_pin(store, person.id, PIN)
    return person


def kiosk(desk: Desk) -> Browser:
    return desk.browser(place="kiosk")


def send_pin(browser: Browser, code: str = "e17", pin: str = PIN, **more: str) -> tuple[int, str]:
    token = browser.get("/kiosk").text.partition('data-form-token="')[2].partition('"')[0]
    answer = browser.http.post("/kiosk/pin", data={"code": code, "pin": pin, **more}, headers={"x-form-token": token, "accept": "application/json"})
    return answer.status_code, answer.json().get("state", "")


def test_a_pin_records_and_says_so_in_the_log(desk: Desk, person: Person) -> None:
    assert send_pin(kiosk(desk)) == (200, "recorded")
    with desk.store() as store:
        (punch,) = store.punches()
    assert (punch.person_id, punch.method, punch.direction, punch.score) == (person.id, "pin", "in", None)
    view = desk.terminal.live.view()
    assert view.cards[0].name == "Ada Kern" and view.cards[0].direction == "in"


def test_a_pin_keeps_the_refractory_period(desk: Desk, person: Person) -> None:
    send_pin(kiosk(desk))
    desk.clock.now += 30
    assert send_pin(kiosk(desk)) == (200, "already")
    desk.clock.now += 31
    assert send_pin(kiosk(desk)) == (200, "recorded")
    with desk.store() as store:
        assert [punch.direction for punch in store.punches()] == ["in", "out"]


@pytest.mark.parametrize(("code", "pin"), [("E17", "000000"), ("E18", PIN), ("", PIN), ("E17", ""), ("E17", "x" * 5000), ("' OR 1=1 --", PIN)])
def test_wrong_codes_and_pins_get_the_same_answer(desk: Desk, person: Person, code: str, pin: str) -> None:
    assert send_pin(kiosk(desk), code, pin) == (403, "wrong")
    with desk.store() as store:
        assert store.punches() == []


def test_guessing_pins_is_locked_out(desk: Desk, person: Person) -> None:
    browser = kiosk(desk)
    codes = [send_pin(browser, "E17", f"10000{i}")[0] for i in range(6)]
    assert codes == [403] * 5 + [429]
    assert send_pin(browser) == (429, "locked")
    desk.clock.now += 15 * 60 + 1
    assert send_pin(browser) == (200, "recorded")


def test_who_is_deactivated_cannot_use_the_pin(desk: Desk, person: Person) -> None:
    with desk.store() as store:
        store.deactivate(person.id)
    assert send_pin(kiosk(desk)) == (403, "wrong")


@pytest.mark.parametrize("pin", ["123456", "111111", "121212", "98765", "12", "123456789", "12a456", ""])
def test_easy_pins_are_not_taken(desk: Desk, person: Person, pin: str) -> None:
    with desk.store() as store, refused("pin.weak"):
        pins.set_pin(store, person.id, pin)


def test_asked_needs_a_button_and_break_ends_the_break(with_settings: Callable[[Settings], Desk], person: Person) -> None:
    desk = with_settings(Settings(attendance=AttendanceSettings(direction="asked", refractory_seconds=0)))
    assert send_pin(kiosk(desk))[0] == 400
    assert send_pin(kiosk(desk), direction="auto")[0] == 400
    for button in ("in", "break", "break", "out"):
        desk.clock.now += 60
        assert send_pin(kiosk(desk), direction=button) == (200, "recorded")
    with desk.store() as store:
        assert [punch.direction for punch in store.punches()] == ["in", "break_start", "break_end", "out"]


def test_a_button_answers_the_open_question_only(desk: Desk, person: Person) -> None:
    questions = desk.terminal.live.questions
    draft = PunchDraft(person.id, desk.clock.now, "in", "door", "face", ClockState(True, "b", 1), 0.9, None, 0.4, None, "m")
    questions.ask(person, draft, desk.clock.now + 8)
    browser = kiosk(desk)
    headers = {"x-form-token": browser.get("/kiosk").text.partition('data-form-token="')[2].partition('"')[0], "accept": "application/json"}
    token = questions.open()[0].token
    for data, status in [
        ({"token": "no", "direction": "in"}, 409),
        ({"token": token, "direction": "auto"}, 400),
        ({"token": token, "direction": "break"}, 200),
    ]:
        assert browser.http.post("/kiosk/answer", data=data, headers=headers).status_code == status
    assert questions.settled(desk.clock.now)[0].answer == "break_start"


def test_only_the_screen_of_the_terminal_may_open_it(desk: Desk, with_settings: Callable[[Settings], Desk]) -> None:
    assert desk.browser(address="192.168.0.20").get("/kiosk").status_code == 403
    open_desk = with_settings(Settings(web=WebSettings(kiosk="anywhere")))
    assert open_desk.browser(address="192.168.0.20").get("/kiosk").status_code == 200


def test_the_page_names_nobody(desk: Desk, person: Person) -> None:
    text = kiosk(desk).get("/kiosk").text
    assert "Ada" not in text and "E17" not in text and json.dumps(desk.terminal.live.view().as_dict()).count("Ada") == 0


def test_the_language_can_be_changed(desk: Desk) -> None:
    browser = kiosk(desk)
    assert "Look at the camera" in browser.get("/kiosk").text
    browser.post("/kiosk/language", "/kiosk", {"language": "de"})
    page = browser.get("/kiosk").text
    assert "Bitte in die Kamera schauen" in page and '<html lang="de" dir="ltr">' in page
    assert browser.post("/kiosk/language", "/kiosk", {"language": "../en"}).status_code == 400


def test_of_several_languages_each_has_a_large_button_and_arabic_runs_from_right_to_left(with_settings: Callable[[Settings], Desk]) -> None:
    browser = kiosk(with_settings(Settings(web=WebSettings(language="fr", languages="de, ar"))))
    page = browser.get("/kiosk").text
    assert '<html lang="fr" dir="ltr">' in page and 'href="/kiosk/language?next=/kiosk"' in page and "Regardez la caméra" in page
    choice = browser.get("/kiosk/language").text
    places = [choice.index(name) for name in ("Français", "Deutsch", "العربية")]
    assert places == sorted(places), "that of the settings comes first"
    assert 'lang="ar" dir="rtl"' in choice and "English" not in choice
    browser.post("/kiosk/language", "/kiosk/language", {"language": "ar"})
    assert '<html lang="ar" dir="rtl">' in browser.get("/kiosk").text
    assert browser.post("/kiosk/language", "/kiosk/language", {"language": "en"}).status_code == 400, "it is not offered"


def test_with_one_language_there_is_nothing_to_choose(with_settings: Callable[[Settings], Desk]) -> None:
    page = kiosk(with_settings(Settings(web=WebSettings(language="tr", languages="")))).get("/kiosk").text
    assert "/kiosk/language" not in page and "Kameraya bakın" in page


def test_what_goes_wrong_is_said_in_its_language(desk: Desk) -> None:
    browser = kiosk(desk)
    browser.post("/kiosk/language", "/kiosk", {"language": "de"})
    said = Messages.load("de").texts
    too_old = browser.http.post("/kiosk/own", data={"code": "E1", "pin": "1", "form_token": "no"}, follow_redirects=False).text
    assert said["problem.old_form"] in too_old and said["problem.title_403"] in too_old and said["problem.back"] in too_old
    operator = desk.browser("operator", "kiosk")
    operator.post("/kiosk/language", "/kiosk", {"language": "de"})
    assert said["enrol.no_camera"] in operator.get("/kiosk/enrol/capture").text


def test_a_camera_that_hangs_turned_is_said_with_the_remedy_unless_somebody_is_recognised(desk: Desk) -> None:
    live, frame = desk.terminal.live, Frame(np.zeros((48, 64, 3), np.uint8), desk.clock.now, 0, live=True)
    live.hangs = remedy(180, CameraSettings())
    live.show(Scene(frame, (), ()))
    assert (live.view().state, live.view().reason) == ("camera_turned", "the camera hangs turned by 180 degrees; set [camera] rotate = 180")
    assert "set [camera] rotate = 180, then restart" in desk.browser("viewer").get("/health").text
    for language in LANGUAGES:
        texts = Messages.load(language).texts
        assert texts["kiosk.camera_turned"] and "{reason}" in texts["kiosk.camera_turned_hint"]
    live.add_card(Card("1", "recognised", "Ada", "08:00", "in", desk.clock.now))
    assert live.view().state == "recognised"
    live.hangs = ""
    assert "Camera position" not in desk.browser("viewer").get("/health").text


def test_who_is_not_taken_for_living_is_told_what_to_do_and_not_named(tmp_path: Path) -> None:
    with drawn.two_people(tmp_path) as store:
        door = drawn.Terminal(store, Settings(liveness=drawn.ENFORCE))
        live = Live(clock=lambda: ClockState(True, "b", 1), now=lambda: door.now)
        live.show(door.see(1, drawn.Shown("A", live=STEP_BACK))[-1])
        assert (live.view().state, live.view().reason, live.view().boxes[0].kind) == ("guidance", "step_back", "guidance")
        live.show(door.see(2, drawn.Shown("A", live=0.01))[-1])
        assert (live.view().state, live.view().reason, live.view().cards) == ("unclear", "", ())
        live.show(door.see(61, drawn.Shown("A", live=0.01))[-1])
        assert (live.view().state, live.view().boxes) == ("idle", ())  # a poster is not spoken to


def test_a_camera_without_scenes_is_lost() -> None:
    assert Live(clock=lambda: ClockState(True, "b", 1)).view().state == "camera_lost"


@pytest.mark.parametrize(
    ("now", "synchronised", "newest", "state"),
    [
        (1_800_000_000, True, 0, "ok"),
        (1_800_000_000, False, 0, "unsynchronised"),
        (1_000, False, 0, "not_set"),
        (1_800_000_000, False, 1_800_007_200, "not_set"),
        (1_800_000_000, True, 1_800_007_200, "ok"),  # that punch was taken on a wrong clock
        (1_800_000_000, False, 1_800_000_100, "unsynchronised"),
    ],
)
def test_the_clock_is_not_set_before_this_program_or_behind_the_last_punch(now: float, synchronised: bool, newest: float, state: str) -> None:
    assert clock_state(now, synchronised, newest) == state
