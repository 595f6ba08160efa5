"""What staff and operators see, in real Chromium: enrolment from a clip, the tick, a lost camera, lock-out, refusal, both sizes."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pillow_heif
import pytest
from PIL import Image

from device.config import AttendanceSettings, Settings
from device.storage.store import Store
from device.web.access.accounts import ROLES
from tests.device.web import browser
from tests.device.web.browser import Running, chromium, complaints, resize, wait
from tests.device.web.conftest import PASSWORD

SIZES = [(800, 480), (1920, 1080)]


@pytest.fixture(scope="module")
def running(shared: Path, tmp_path_factory: pytest.TempPathFactory, stored_password: str) -> Iterator[Running]:
    browser.needed()
    path = tmp_path_factory.mktemp("browser") / "clockface.db"
    with Store.open(path) as store, store.transaction() as db:
        for role in ROLES:
            sql = "INSERT INTO users (login, role, password_hash, must_change, created_at, elsewhere) VALUES (?, ?, ?, 0, 0, 1)"
            db.execute(sql, [role, role, stored_password])
    with Running(path, Settings(attendance=AttendanceSettings(refractory_seconds=5))) as terminal:
        yield terminal


@pytest.fixture(scope="module")
def page(running: Running) -> Iterator[Any]:
    with chromium(*SIZES[0]) as driver:
        yield driver


def state(page: Any) -> str:
    return str(page.find_element("tag name", "body").get_attribute("data-state"))


def press(page: Any, selector: str) -> None:
    page.find_element("css selector", selector).click()


def go(page: Any, selector: str) -> None:
    """Press what leads to another page, and wait for that page."""
    page.execute_script("window.before = true")
    press(page, selector)
    wait(lambda: page.execute_script("return !window.before && document.readyState === 'complete'"), words=f"the page after {selector}")


def fill(page: Any, **values: str) -> None:
    for name, value in values.items():
        page.find_element("name", name).send_keys(value)


def fits(page: Any) -> bool:
    """Nothing that can be seen reaches over the edge of the screen."""
    script = """
    const over = [...document.querySelectorAll("h1, h2, p, button, input, time, a")].filter((element) => {
      const box = element.getBoundingClientRect();
      return element.checkVisibility() && box.width && !element.closest(".wording")
        && (box.left < -1 || box.top < -1 || box.right > innerWidth + 1 || box.bottom > innerHeight + 1);
    });
    return over.map((element) => element.outerHTML.slice(0, 80));
    """
    over = page.execute_script(script)
    assert over == [], over
    return True


def test_enrol_from_a_clip_then_the_tick(running: Running, page: Any, shared: Path, record_property: Any) -> None:
    page.get(f"{running.url}/kiosk/enrol")
    fill(page, login="operator", password=PASSWORD)
    assert fits(page)
    go(page, "button.go")
    fill(page, name="Person A", code="E17")
    assert fits(page)
    go(page, "button.go")
    assert "Consent" in page.find_element("tag name", "h1").text and fits(page)
    running.camera.show(shared / "clips/again.mkv")
    go(page, ".grow button")
    wait(lambda: page.current_url.endswith("/enrol/test"), 40, "captured and stored")
    wait(lambda: not page.find_element("id", "trial").get_attribute("hidden"), words="recognised in the test")
    assert "Recognised" in page.find_element("id", "view").text and fits(page)
    with Store.open(running.database) as store:
        (person,) = store.people()
        (counts,) = store.template_counts_by_person()[person.id].values()
        assert 5 <= counts <= 8 and store.punches() == []  # no punch while the camera serves an enrolment
        with store.reading() as db:
            given = db.execute("SELECT person_id, version, language, way FROM consents").fetchall()
        assert given == [(person.id, "2026-11", "en", "screen")]
    go(page, ".column a")
    assert fits(page)
    fill(page, pin="270819")
    go(page, "button.go")
    go(page, ".column .go")
    wait(lambda: page.current_url.endswith("/kiosk"))
    wait(lambda: state(page) == "recognised", words="the tick")
    card = page.find_element("css selector", "#cards article")
    assert card.find_element("tag name", "h1").text == "Person A" and "In" in card.text and fits(page)
    latency = int(wait(lambda: page.find_element("id", "cards").get_attribute("data-latency-ms")))
    record_property("decision_to_tick_ms", latency)
    print(f"decision to tick on screen: {latency} ms")
    with Store.open(running.database) as store:
        (punch,) = store.punches()
    assert (punch.person_id, punch.method, punch.direction) == (person.id, "face", "in")
    page.get(f"{running.url}/kiosk/enrol")
    assert "unlock" in page.current_url  # locked behind the operator


def enter(page: Any, running: Running, role: str) -> None:
    """Log in at the desk, as somebody else than before."""
    page.get(running.url + "/login")
    page.delete_all_cookies()
    page.get(running.url + "/login")
    fill(page, login=role, password=PASSWORD)
    go(page, "button.primary")


def test_the_punch_is_found_in_the_log_corrected_and_exported(running: Running, page: Any, tmp_path: Path) -> None:
    """HR asks, an admin approves, the export has the punch as it was recorded and the sheet what counts."""
    running.camera.show(None)
    resize(page, 1280, 900)
    enter(page, running, "hr")
    page.get(f"{running.url}/log")
    (row,) = page.find_elements("css selector", "table.data tbody tr")
    assert "Person A" in row.text and "face" in row.text and "whole" in row.text
    go(page, "a[aria-label^='Correct punch']")
    page.execute_script("document.querySelector('[name=time]').value = '00:01'")
    fill(page, reason="the terminal was covered")
    go(page, "button.primary")
    assert "counts once somebody approves it" in page.find_element("css selector", ".said").text
    assert page.find_element("css selector", "[value=approve]").get_attribute("disabled")  # four eyes
    asked = page.current_url
    enter(page, running, "admin")
    page.get(asked)
    go(page, "[value=approve]")
    page.get(f"{running.url}/log")
    (row,) = page.find_elements("css selector", "table.data tbody tr")
    assert "counts as in 00:01" in row.text
    page.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    press(page, ".actions a[href^='/exports/log']")
    exported = wait(lambda: next(tmp_path.glob("log-*.csv"), None), words="the downloaded export")
    with Store.open(running.database) as store:
        (punch,) = store.punches()
        assert store.verify_chain("corrections").count == 1
    (line,) = csv.DictReader(exported.read_text(encoding="utf-8-sig").splitlines())
    assert (line["name"], line["code"], line["direction"], line["method"], line["punch_id"]) == ("Person A", "E17", "in", "face", str(punch.id))


def test_many_are_enrolled_from_a_folder_with_progress_and_report(running: Running, page: Any, shared: Path, tmp_path: Path) -> None:
    people = [folder for folder in sorted((shared / "faces/dev").iterdir()) if folder.is_dir()][:3]
    staff = tmp_path / "staff"
    for folder, name in zip(people, ["Person P (E31)", "Person Q"], strict=False):
        shutil.copytree(folder, staff / name, ignore=lambda _, names: sorted(names)[2:])
    for photo in list((staff / "Person Q").iterdir()):  # as a phone stores it: on its side, with a box that says so
        image = Image.fromarray(np.rot90(cv2.imread(str(photo))[:, :, ::-1]))
        pillow_heif.from_pillow(image).save(photo.with_suffix(".HEIC"), exif=b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0")
        photo.unlink()
    (staff / "Person R").mkdir()
    (staff / "Person R/wall.png").write_bytes(cv2.imencode(".png", np.full((200, 200, 3), 128, np.uint8))[1].tobytes())
    enter(page, running, "hr")
    page.get(f"{running.url}/people/bulk")
    page.find_element("id", "folder").send_keys(str(staff))
    press(page, "#choose button")
    wait(lambda: len(page.find_elements("css selector", "#rows tr")) == 3)
    assert not page.find_element("id", "start").is_enabled()  # no consent, no template
    press(page, "#agreed")
    press(page, "#start")
    said = wait(lambda: "enrolled," in page.find_element("id", "said").text and page.find_element("id", "said").text, 60)
    assert said == "2 enrolled, 1 refused, 0 left out."
    assert "no face found" in page.find_elements("css selector", "#rows tr")[2].text
    page.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    press(page, "#report")
    report = wait(lambda: next(tmp_path.glob("enrolment.csv"), None), words="the report")
    assert [line["state"] for line in csv.DictReader(report.read_text(encoding="utf-8-sig").splitlines())] == ["enrolled", "enrolled", "refused"]
    with Store.open(running.database) as store:
        found = {person.name: person for person in store.people()}
        assert found["Person P"].code == "E31" and "Person R" not in found
        with store.reading() as db:
            ways = db.execute("SELECT way FROM consents WHERE person_id IN (?, ?)", [found["Person P"].id, found["Person Q"].id]).fetchall()
        assert ways == [("paper",), ("paper",)]
        for name in ("Person P", "Person Q"):
            store.erase(found[name].id)
    assert complaints(page) == []
    resize(page, *SIZES[0])


def test_the_same_person_again_is_found_and_the_decision_noted(running: Running, page: Any, shared: Path) -> None:
    running.camera.show(shared / "clips/again.mkv")
    page.get(f"{running.url}/kiosk/unlock")
    fill(page, login="operator", password=PASSWORD)
    go(page, "button.go")
    fill(page, name="Person A again")
    go(page, "button.go")
    go(page, ".grow button")
    wait(lambda: "Already enrolled as Person A" in page.find_element("tag name", "h1").text, 40, "the look-alike")
    assert fits(page)
    go(page, ".ends .go")
    wait(lambda: "Nobody was enrolled" in page.find_element("tag name", "body").text)
    go(page, ".top button")
    with Store.open(running.database) as store, store.reading() as db:
        noted = [row[0] for row in db.execute("SELECT action FROM audit WHERE actor LIKE 'user:%'")]
        actions = [action for action in noted if action.startswith("look-alike")]
        assert actions == ["look-alike found", "look-alike decided"]
        assert "templates read" in noted and sum(not person.erased for person in store.people()) == 1


def test_no_consent_stores_nothing(running: Running, page: Any) -> None:
    page.get(f"{running.url}/kiosk/unlock")
    fill(page, login="operator", password=PASSWORD)
    go(page, "button.go")
    fill(page, name="Person N")
    go(page, "button.go")
    go(page, ".ends form:nth-child(2) button")
    wait(lambda: "No picture was taken" in page.find_element("tag name", "body").text)
    go(page, ".top button")
    with Store.open(running.database) as store:
        assert [person.name for person in store.people() if not person.erased] == ["Person A"]


def test_a_camera_that_is_lost_and_comes_back(running: Running, page: Any) -> None:
    running.camera.show(None)
    page.get(f"{running.url}/kiosk")
    wait(lambda: state(page) == "idle")
    running.camera.plugged = False
    wait(lambda: state(page) == "camera_lost", words="the loss")
    assert fits(page)
    running.camera.plugged = True
    wait(lambda: state(page) == "idle", words="the return")
    wait(lambda: page.execute_script("return document.getElementById('picture').naturalWidth") == 640, words="the picture")


def test_a_stranger_stays_unknown_at_both_sizes(running: Running, page: Any, shared: Path) -> None:
    running.camera.show(shared / "clips/eat.mkv")
    for width, height in SIZES:
        resize(page, width, height)
        wait(lambda: state(page) == "unknown", words="unknown")
        assert fits(page) and page.find_element("id", "words").text == "Not recognised"
        press(page, "#open-pin")
        assert fits(page)
        press(page, "#pin-cancel")
    running.camera.show(None)
    resize(page, *SIZES[0])
    assert complaints(page) == []


def test_wrong_passwords_are_locked_out_and_a_viewer_is_refused(running: Running, page: Any) -> None:
    page.delete_all_cookies()
    page.get(f"{running.url}/users")
    for _ in range(5):
        fill(page, password="not the password")
        page.find_element("name", "login").clear()
        fill(page, login="admin")
        go(page, "button.primary")
        assert "wrong" in page.find_element("css selector", "[role=alert]").text
    fill(page, password=PASSWORD)
    go(page, "button.primary")
    assert "Too many attempts" in page.find_element("css selector", "[role=alert]").text
    page.get(f"{running.url}/login")
    fill(page, login="viewer", password=PASSWORD)
    go(page, "button.primary")
    page.get(f"{running.url}/users")
    assert "does not allow" in page.find_element("tag name", "body").text
