"""Real Chromium measures the pages of kiosk and desk: nothing reaches over its edge, and what is pressed is large enough for a finger."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest

from device.config import Settings, WebSettings
from device.storage.store import Store
from device.terminal.capture_session import Draft
from device.web.access import accounts, passwords, pins, sessions
from device.web.context import Terminal
from device.web.live import Live
from device.web.server import Address, WebServer
from tests.device.web import pictures
from tests.device.web.browser import chromium, complaints, needed_chromium, resize, wait
from tests.device.web.pictures import NOW
from tests.device.web.states import CONSENT

SIZES = ((800, 480), (1024, 600), (1280, 800), (360, 740))
FINGER = 44  # px, WCAG 2.5.5
PIN = "270819"
LONG = "Maximiliane Wolfeschlegelsteinhausenberger-Öztürk"
VIEW = {"state": "idle", "reason": "", "cards": [], "question": None, "challenge": None, "boxes": [], "clock": "ok", "ratio": 1.333, "alone": ""}
CARD = {"id": "a", "kind": "recognised", "name": LONG, "time": "08:00", "direction": "break_start", "at": 0}
AGAIN = {**CARD, "id": "b", "kind": "already", "time": "07:59", "direction": ""}
VIEWS = (
    VIEW, {**VIEW, "state": "looking", "reason": "a_moment", "clock": "unsynchronised", "alone": "07:15"}, {**VIEW, "state": "unclear"},
    {**VIEW, "state": "unknown"},
    {**VIEW, "state": "recognised", "cards": [CARD]}, {**VIEW, "state": "already", "cards": [AGAIN]}, {**VIEW, "state": "recognised", "cards": [CARD, AGAIN]},
    {**VIEW, "state": "asked", "question": {"token": "t", "name": LONG, "suggested": "in", "seconds": 8}}, {**VIEW, "state": "camera_dark"},
    {**VIEW, "state": "not_recording"}, {**VIEW, "state": "challenge", "reason": "turn_left", "challenge": {"until": 9, "seconds": 9}},
)  # fmt: skip
FORMS = ("/kiosk/enrol", "/kiosk/enrol/consent", "/kiosk/unlock", "/kiosk/own", "/kiosk/language")
DESK = (
    "/today", "/log", "/timesheets", "/timesheets/day", "/timesheets/3", "/corrections?state=all", "/corrections/new", "/corrections/new?person=E3", "/periods",
    "/setup?step=site", "/setup/code",
    "/schedule", "/schedule/plans/1", "/exports", "/plots?days=30", "/people", "/people/3", "/health", "/settings", "/users", "/audit",
    "/backup", "/reset", "/password",
)  # fmt: skip
MEASURE = """
const [finger, wide] = arguments, faults = [];
const seen = (element) => {
  const box = element.getBoundingClientRect();
  return element.checkVisibility({visibilityProperty: true}) && box.width > 0 && box.height > 0;
};
const words = (element) => (element.textContent.trim() || element.name || element.className).slice(0, 40);
const name = (element) => `${element.tagName.toLowerCase()} ${words(element)}`;
const root = document.scrollingElement;
if (root.scrollWidth > innerWidth + 1) faults.push(`the page is ${root.scrollWidth} px wide`);
const within = ".scroll, .wording, .sr, .groups, .skip, .numbers, svg:not(.chart)"; // what scrolls by itself, or is not meant to be seen
for (const element of document.querySelectorAll("h1, h2, p, b, button, a, time, label, td, th, li, text")) {
  if (!seen(element) || element.closest(within)) continue;
  const box = element.getBoundingClientRect();
  const beside = box.left < -1 || box.right > innerWidth + 1, below = !wide && (box.top < -1 || box.bottom > innerHeight + 1);
  if (beside) faults.push(`over the edge: ${name(element)} ${Math.round(box.left)} to ${Math.round(box.right)}`);
  if (below) faults.push(`over the edge: ${name(element)} ${Math.round(box.top)} to ${Math.round(box.bottom)}`);
}
for (const key of document.querySelectorAll("button, .button")) {
  const over = key.scrollWidth > key.clientWidth + 1 || key.scrollHeight > key.clientHeight + 1;
  if (seen(key) && over) faults.push(`wider than its key: ${name(key)}`);
}
const pressed = "button, .button, select, input:not([type=hidden]):not([type=radio][hidden]), summary, nav a, .data a";
for (const element of finger ? document.querySelectorAll(pressed) : []) {
  if (!seen(element) || element.closest(".skip")) continue;
  const target = element.type === "checkbox" || element.type === "radio" ? element.closest("label") || element : element;
  const box = target.getBoundingClientRect();
  const narrow = box.width < (target.closest(".keyboard, .data") ? 24 : finger - 0.6);
  if (box.height < finger - 0.6 || narrow) faults.push(`small: ${name(element)} ${Math.round(box.width)} x ${Math.round(box.height)}`);
}
const labels = [...document.querySelectorAll(".chart .axis")].filter(seen).map((label) => [label.textContent, label.getBoundingClientRect()]);
labels.forEach(([one, a], index) => labels.slice(index + 1).forEach(([other, b]) => {
  if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1) faults.push(`one over the other: ${one}, ${other}`);
}));
return [...new Set(faults)];
"""


@dataclass
class Place:
    url: str
    driver: Any
    database: Path
    live: Live
    operator: int

    def open(self, path: str, size: tuple[int, int]) -> None:
        resize(self.driver, *size)
        self.driver.get(self.url + path)
        wait(lambda: self.driver.execute_script("return document.readyState === 'complete'"), words=path)

    def faults(self, finger: int, long: bool) -> list[str]:
        return self.driver.execute_script(MEASURE, finger, long)  # type: ignore[no-any-return]

    def enrolling(self) -> None:
        """An operator has unlocked the kiosk and begun an enrolment; the pages need a recogniser to be there, and look at nothing of it."""
        with Store.open(self.database) as store:
            [user] = [one for one in accounts.users(store) if one.id == self.operator]
            self.cookie("clockface_kiosk", sessions.start(store, user, "kiosk", NOW))
        self.live.booth.recogniser = SimpleNamespace()  # type: ignore[assignment]
        self.live.booth.keep(Draft(self.operator, LONG, "E17", consent=CONSENT))

    def cookie(self, name: str, value: str) -> None:
        self.driver.add_cookie({"name": name, "value": value, "httpOnly": True, "sameSite": "Strict"})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    needed_chromium()
    database = tmp_path_factory.mktemp("sizes") / "site.db"
    with pictures.desk(database, people=24, punches=900):
        pass
    with Store.open(database) as store:
        user = accounts.add(store, "admin", "admin", passwords.invented())
        store.set_code(2, "B/2 ä")
        store.rename(2, LONG)
        pins.set_pin(store, 2, PIN)
        with store.transaction() as db:
            db.execute("UPDATE users SET must_change = 0, elsewhere = 1")
        token = sessions.start(store, user, "desk", NOW)
    live = Live(now=lambda: NOW)
    terminal = Terminal(Settings(web=WebSettings(languages="en, de, es, fr, tr, ar, zh")), database, "Front door", live, now=lambda: NOW)
    with WebServer(terminal, [Address("127.0.0.1", 0)]) as server, chromium() as driver:
        made = Place(server.urls[0], driver, database, live, user.id)
        made.open("/login", SIZES[0])
        made.cookie("clockface_desk", token)
        yield made


def said(faults: dict[str, list[str]]) -> str:
    return "\n".join(f"{where}: {fault}" for where, found in faults.items() for fault in found)


def size_id(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


@pytest.mark.parametrize("size", SIZES, ids=size_id)
def test_the_states_of_the_kiosk_fit_and_say_no_undefined(place: Place, size: tuple[int, int]) -> None:
    place.open("/kiosk", size)
    driver, faults = place.driver, {}
    wait(lambda: driver.execute_script("return document.body.dataset.state") == "camera_lost", words="the first event")
    for view in VIEWS:
        driver.execute_script(f"show({json.dumps(view)})")
        found = place.faults(FINGER, long=False)
        faults |= {str(view["state"]): found} if found else {}
        heard = driver.execute_script("return document.body.innerText + document.getElementById('message').textContent")
        assert "undefined" not in heard and "{" not in heard, view
    assert faults == {}, said(faults)
    driver.execute_script(f"show({json.dumps(VIEWS[5])})")
    assert driver.execute_script("return document.getElementById('words').textContent") == "Already recorded at 07:59"


@pytest.mark.parametrize("size", SIZES, ids=size_id)
def test_the_pad_fits_and_has_a_key_for_every_character_of_every_code(place: Place, size: tuple[int, int]) -> None:
    place.open("/kiosk", size)
    driver = place.driver

    def press(words: str) -> None:
        next(key for key in driver.find_elements("css selector", "#keypad button") if key.text == words).click()

    driver.execute_script(f"show({json.dumps(VIEW)})")
    driver.find_element("id", "open-pin").click()
    assert (found := place.faults(FINGER, long=False)) == [], found
    press("ABC")
    assert (found := place.faults(FINGER if size[0] > 400 else 40, long=False)) == [], found
    for key in ("B", "/", "123", "2", "ABC", "␣", "ä"):
        press(key)
    assert driver.execute_script("return document.getElementById('pin-code').value") == "B/2 ä"


@pytest.mark.parametrize("size", SIZES, ids=size_id)
def test_the_forms_of_the_kiosk_fit(place: Place, size: tuple[int, int]) -> None:
    faults = {}
    place.enrolling()
    for path in FORMS:
        if path == "/kiosk/unlock":
            place.driver.delete_cookie("clockface_kiosk")  # somebody who has unlocked goes on to the enrolment
        place.open(path, size)
        assert place.driver.execute_script("return location.pathname") == path, path
        found = place.faults(FINGER, long=size[0] < 400)
        faults |= {path: found} if found else {}
    assert faults == {}, said(faults)


@pytest.mark.parametrize("size", SIZES, ids=size_id)
def test_seven_days_of_seven_are_seen(place: Place, size: tuple[int, int]) -> None:
    place.cookie("clockface_own", place_ticket(place))
    place.open("/kiosk/own", size)
    assert (found := place.faults(FINGER, long=size[0] < 400)) == [], found
    assert len(place.driver.find_elements("css selector", ".own li")) == 7
    script = "const list = document.querySelector('.own'); return list.scrollHeight <= list.clientHeight + 1"
    assert size[0] < 400 or place.driver.execute_script(script), "nobody has to scroll a list on a wall"
    place.open("/kiosk/own/correct?day=2026-11-24", size)
    assert (found := place.faults(FINGER, long=size[0] < 400)) == [], found


def place_ticket(place: Place) -> str:
    """A session of one's own times: given by the terminal to whoever knows code and PIN."""
    if place.url not in TICKETS:
        TICKETS[place.url] = sign_in(place)
    return TICKETS[place.url]


TICKETS: dict[str, str] = {}


def sign_in(place: Place) -> str:
    place.open("/kiosk/own", (1280, 800))
    place.driver.execute_script("document.querySelector('[name=code]').value = 'B/2 ä'; document.querySelector('[name=pin]').value = arguments[0]", PIN)
    place.driver.find_element("css selector", "button.go").click()
    wait(lambda: place.driver.find_elements("css selector", ".own li"), words="one's own days")
    return str(place.driver.get_cookie("clockface_own")["value"])


@pytest.mark.parametrize("size", [(360, 740), (1280, 800)], ids=size_id)
def test_the_pages_of_the_desk_fit(place: Place, size: tuple[int, int]) -> None:
    phone, faults = size[0] < 400, {}
    place.live.booth.recogniser = None
    for path in DESK:
        place.open(path, size)
        found = place.faults(FINGER if phone else 0, long=True)
        faults |= {path: found} if found else {}
    assert faults == {}, said(faults)


@pytest.mark.parametrize(("language", "keys"), [("de", "üöäß"), ("es", "ñ"), ("fr", "az"), ("tr", "ğışç"), ("ar", "محد")])
def test_the_keyboard_has_the_letters_of_the_language_and_other_scripts_follow(place: Place, language: str, keys: str) -> None:
    place.enrolling()
    place.cookie("clockface_language", language)
    place.open("/kiosk/enrol", SIZES[0])
    driver = place.driver

    def letters() -> str:
        return "".join(key.text for key in driver.find_elements("css selector", ".keyboard button")).lower()

    assert set(keys) <= set(letters())
    assert (found := place.faults(FINGER, long=False)) == [], found
    reached = letters()
    for _ in range(6):
        find = "[...document.querySelectorAll('.keyboard button')].find((key) => key.textContent.endsWith('…'))"
        driver.execute_script(f"{find}.dispatchEvent(new Event('pointerdown'))")
        reached += letters()
        assert place.faults(FINGER, long=False) == []
    assert set("жжщםωéøñłحq") <= set(reached)
    driver.delete_cookie("clockface_language")


def test_the_clock_is_the_terminals_in_the_sites_zone(place: Place) -> None:
    """The screen stands in New York and its clock is right; the terminal says 14:20 in Berlin."""
    place.driver.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "America/New_York"})
    place.open("/kiosk", SIZES[2])
    script = "const [time, zone] = ['time', 'zone'].map(byId); return [time.textContent, zone.textContent, zone.hidden]"
    shown = place.driver.execute_script(script)
    place.driver.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "Europe/Berlin"})
    assert shown == ["14:20", "CET", False]
    place.open("/kiosk", SIZES[2])
    assert place.driver.execute_script("return document.getElementById('zone').hidden")
    place.driver.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": ""})


def test_a_person_is_chosen_by_keyboard_and_by_touch(place: Place) -> None:
    from selenium.webdriver.common.keys import Keys

    driver = place.driver
    place.live.booth.recogniser = None
    place.open("/log", (1280, 800))
    field = driver.find_element("css selector", "[data-people]")
    field.send_keys("ozturk")
    wait(lambda: driver.find_elements("css selector", ".people-list [role=option]"), words="who fits")
    assert field.get_attribute("aria-expanded") == "true"
    field.send_keys(Keys.ARROW_DOWN)
    assert driver.find_element("id", field.get_attribute("aria-activedescendant")).text.startswith(LONG)
    field.send_keys(Keys.ENTER)
    assert field.get_attribute("value") == f"{LONG} (B/2 ä)" and "/log" in driver.current_url and "person" not in driver.current_url
    field.submit()
    wait(lambda: f"person={quote('Maximiliane')}" in driver.current_url, words="the log of the person")
    assert driver.find_element("css selector", "[data-people]").get_attribute("value") == f"{LONG} (B/2 ä)"
    place.open("/corrections/new", (360, 740))
    field = driver.find_element("css selector", "[data-people]")
    field.send_keys("e3")
    [option, *_] = wait(lambda: driver.find_elements("css selector", ".people-list [role=option]"), words="who fits")
    assert option.size["height"] >= FINGER
    option.click()
    assert field.get_attribute("value").endswith("(E3)") and not driver.find_element("css selector", ".people-list").is_displayed()
    field.send_keys(Keys.BACKSPACE, "zzz")
    wait(lambda: driver.find_elements("css selector", ".people-list .nobody"), words="nobody")
    time.sleep(0.1)
    assert complaints(driver) == []
