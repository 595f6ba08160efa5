"""People by their pages; what was written is read from the store."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path

import cv2
import numpy as np

from device.storage.consents import ConsentDraft
from device.storage.records import Person, TemplateDraft
from device.web.access import pins
from tests.device.web.conftest import Desk


def face(desk: Desk, name: str = "Ada Kern", code: str | None = "E17") -> Person:
    """Somebody with a template, a crop and a consent."""
    random = np.random.default_rng(1)
    embedding = random.normal(size=64).astype(np.float32)
    embedding /= np.linalg.norm(embedding)
    crop = cv2.imencode(".png", random.integers(0, 255, (112, 112, 3), dtype=np.uint8))[1].tobytes()
    with desk.store() as store:
        draft = TemplateDraft("m" * 64, embedding, 0.9, crop, "kiosk")
        return store.add_person_with_templates(name, code, [draft], ConsentDraft("2026-11", "en", "the whole text", "screen", desk.clock.now))


def actions(desk: Desk) -> list[str]:
    with desk.store() as store, store.reading() as db:
        return [row[0] for row in db.execute("SELECT action FROM audit ORDER BY id")]


def test_people_are_found_by_name_and_code(desk: Desk) -> None:
    face(desk)
    with desk.store() as store:
        for number in range(60):
            store.add_person(f"Person {number:02}", f"P{number}")
    page = desk.browser("viewer")
    assert "Page 1 of 2" in page.get("/people").text and "Page 2 of 2" in page.get("/people?page=99").text
    assert "Ada Kern" in page.get("/people?q=e17").text and "Ada Kern" not in page.get("/people?q=person").text
    assert "Nobody matches" in page.get("/people?q=zzz").text
    assert "Ada Kern" not in page.get("/people?show=no_face").text


def test_names_are_never_markup(desk: Desk) -> None:
    person = face(desk, '<img src=x onerror="alert(1)">')
    page = desk.browser("hr")
    for path in ("/people", f"/people/{person.id}"):
        assert "<img src=x" not in page.get(path).text


def test_withdrawal_deletes_templates_and_keeps_the_pin(desk: Desk) -> None:
    person = face(desk)
    with desk.store() as store:
        pins.set_pin(store, person.id, "270819")
        crop = store.kept_crops(person.id)[0].crop
    assert not any(crop[200:400] in part.read_bytes() for part in files(desk.terminal.database))  # sealed from the start
    hr = desk.browser("hr")
    assert hr.post(f"/people/{person.id}/withdraw", f"/people/{person.id}", {"confirm": "somebody else"}).status_code == 400
    assert hr.post(f"/people/{person.id}/withdraw", f"/people/{person.id}", {"confirm": "Ada Kern"}).status_code == 303
    with desk.store() as store:
        assert store.template_counts_by_person() == {} and store.person(person.id).active and pins.who_have_one(store) == {person.id}
        with store.reading() as db:
            assert db.execute("SELECT count(*) FROM consents WHERE withdrawn_at IS NULL").fetchone() == (0,)
    assert not any(crop[200:400] in part.read_bytes() for part in files(desk.terminal.database))
    assert actions(desk)[-1] == "consent withdrawn"


def files(database: Path) -> list[Path]:
    return [part for part in database.parent.iterdir() if part.name.startswith(database.name)]


def test_erasure_keeps_the_punches_under_a_pseudonym(desk: Desk) -> None:
    person = face(desk)
    with desk.store() as store:
        pins.set_pin(store, person.id, "270819")
    hr = desk.browser("hr")
    assert hr.post(f"/people/{person.id}/erase", f"/people/{person.id}", {"confirm": "Ada Kern"}).status_code == 303
    with sqlite3.connect(desk.terminal.database) as raw:
        assert raw.execute("SELECT name, code FROM people").fetchone() == (f"erased-{person.id}", None)
        assert [raw.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("templates", "pins")] == [0, 0]
    assert "person erased" in actions(desk)
    assert b"Ada Kern" not in b"".join(part.read_bytes() for part in files(desk.terminal.database))


def test_each_look_at_pictures_is_audited(desk: Desk) -> None:
    person = face(desk)
    before = actions(desk).count("biometrics read")
    answer = desk.browser("hr").post(f"/people/{person.id}/pictures", f"/people/{person.id}")
    assert answer.text.count("data:image/png;base64,") == 1
    assert actions(desk).count("biometrics read") == before + 1
    assert "data:image" not in desk.browser("viewer").get(f"/people/{person.id}").text


def test_a_pin_is_shown_once(desk: Desk) -> None:
    person = face(desk)
    hr = desk.browser("hr")
    shown = hr.post(f"/people/{person.id}/pin", f"/people/{person.id}").text
    pin = re.search(r"<code>(\d{6})</code>", shown)
    assert pin is not None and pin[1] not in hr.get(f"/people/{person.id}").text
    with desk.store() as store:
        assert pins.identify(store, "E17", pin[1], "here", desk.clock.now).id == person.id
    assert hr.post(f"/people/{person.id}", f"/people/{person.id}", {"name": "Ada Kern", "code": ""}).status_code == 400
    hr.post(f"/people/{person.id}/pin/remove", f"/people/{person.id}")
    assert hr.post(f"/people/{person.id}", f"/people/{person.id}", {"name": "Ada Kern", "code": ""}).status_code == 303


def test_codes_are_given_once(desk: Desk) -> None:
    person, other = face(desk), face(desk, "Ben Ott", "E18")
    hr = desk.browser("hr")
    assert hr.post(f"/people/{other.id}", f"/people/{other.id}", {"name": "Ben Ott", "code": "e17"}).status_code == 400
    assert hr.post("/people", "/people", {"name": "Cem", "code": "E17"}).status_code == 400
    assert hr.get("/people/77").status_code == 404 and hr.get(f"/people/{10**30}").status_code == 404
    with desk.store() as store:
        assert store.person(person.id).code == "E17"


# settings


def test_the_plan_of_a_bulk_enrolment_gives_each_person_their_own_photo(desk: Desk) -> None:
    browser = desk.browser("hr")
    paths = ["staff/Ada/front.jpg", "staff/Ben/front.jpg"]  # as a browser names the files of a chosen folder

    def plan(listed: str) -> list[tuple[str, list[str], str]]:
        files = {"list": ("staff.csv", listed.encode())} if listed else None
        answer = browser.post("/people/bulk/plan", "/people/bulk", {"paths": json.dumps(paths)}, files=files)
        return [(person["name"], person["photos"], person["problem"]) for person in answer.json()["people"]]

    assert plan("name,photo\nBen,Ben/front.jpg\nAda,Ada\\Front.jpg\n") == [("Ben", paths[1:], ""), ("Ada", paths[:1], "")]
    assert plan("") == [("Ada", paths[:1], ""), ("Ben", paths[1:], "")]
    (unclear,) = plan("name,photo\nAda,front.jpg\n")
    assert unclear[1] == [] and "front.jpg is not clear: staff/Ada/front.jpg, staff/Ben/front.jpg" in unclear[2]
