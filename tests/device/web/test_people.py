"""People, settings, audit and health by their pages; what was written is read from the store."""

from __future__ import annotations

import html
import json
import re
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from device.__main__ import main
from device.config import Settings, WebSettings, loader
from device.delivery.connectors import Connector
from device.delivery.outcomes import Failed, Outcome, Refused
from device.storage import hash_chain
from device.storage import settings as stored_settings
from device.storage.audit import Action
from device.storage.consents import ConsentDraft
from device.storage.events import Event
from device.storage.records import Person, TemplateDraft
from device.terminal.reembedding import Reembedded
from device.web.access import accounts, pins
from device.web.desk import health, setting_words
from tests.device.fakes.terminal import courier, punch
from tests.device.web.conftest import Desk
from tests.refused import refused


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


def test_settings_are_checked_like_the_file_and_audited(desk: Desk) -> None:
    admin = desk.browser("admin")
    assert admin.post("/settings", "/settings", {"attendance.direction": "in", "attendance.refractory_seconds": "90"}).status_code == 303
    for name, value in [("attendance.direction", "sideways"), ("attendance.refractory_seconds", "-1"), ("decision.agree", "20"), ("decision.agree", "x"),
                        ("store.path", "/tmp/x"), ("web.plain_http", "true"), ("nothing.here", "1"), ("attendance.direction", "schedule")]:  # fmt: skip
        answer = admin.post("/settings", "/settings", {name: value})
        assert answer.status_code == 400, name
    with desk.store() as store:
        stored = stored_settings.read(store)
    assert stored == {"attendance": {"direction": "in", "refractory_seconds": 90.0}}
    assert actions(desk).count("setting changed") == 2
    assert loader.load(None, stored).attendance.direction == "in"
    assert "from the next start" in admin.get("/settings").text


def test_the_default_again_is_no_setting(desk: Desk) -> None:
    admin = desk.browser("admin")
    admin.post("/settings", "/settings", {"web.language": "de"})
    admin.post("/settings", "/settings", {"web.language": "en"})
    with desk.store() as store:
        assert stored_settings.read(store) == {}


def test_the_rules_of_the_site_lie_beside_the_settings_and_are_none(desk: Desk) -> None:
    with desk.store() as store, store.transaction() as db:
        db.execute("INSERT INTO settings (key, value) VALUES ('site', '{}'), ('gone.away', '1')")
    with desk.store() as store:
        assert stored_settings.read(store) == {"gone": {"away": 1}}
        with refused("config.unknown", "settings unset gone.away"):
            loader.load(None, stored_settings.read(store))
    command = ["settings", "unset", "gone.away", "--db", str(desk.terminal.database)]
    assert main(command) == 0 and desk.browser("admin").get("/settings").status_code == 200


def test_file_and_page_cannot_contradict_each_other(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "clockface.toml"
    file.write_text('[attendance]\ndirection = "out"\n')
    admin = Desk(replace(desk.terminal, config_file=file), desk.clock).browser("admin")
    assert admin.post("/settings", "/settings", {"attendance.direction": "in"}).status_code == 400
    assert "set by the file" in admin.get("/settings").text
    with refused("config.set_twice", "settings unset attendance.direction"):
        loader.load(file, {"attendance": {"direction": "in"}})
    assert loader.load(file, {"attendance": {"direction": "out", "refractory_seconds": 5}}).attendance.refractory_seconds == 5


def test_the_page_shows_help_range_and_unit_of_the_configuration(desk: Desk) -> None:
    page = html.unescape(desk.browser("admin").get("/settings").text)
    assert "Fewest pictures of a visit that somebody is recognised by" in page and "160 to 7680 px" in page and "0.00001 to 0.5 share" in page
    for setting in stored_settings.editable():
        assert setting.help in page, setting.name


def test_settings_are_shown_in_words(desk: Desk) -> None:
    """What a reader sees: no key, no choice as it stands in the file, and beside each field its range, unit and default."""
    page = html.unescape(desk.browser("admin").get("/settings").text)
    shown = re.sub(r"<[^>]*>", "\n", page)
    for setting in stored_settings.editable():
        assert "_" not in setting.key or setting.key not in shown, setting.name
        words = re.search(rf'<label for="{setting.name}"[^>]*>([^<]*)<', page)
        assert words and words[1][0].isupper() and "_" not in words[1], setting.name
    assert not set(setting_words.WORDS) - {setting.name for setting in stored_settings.editable()}
    facts = {
        "camera.stall_seconds": "1 to 25 s · default 5 s", "camera.mirror": "default no",
        "web.hosts": "host names · empty by default", "retention.crops_days": "0 to 3650 days · default 0 days",
    }  # fmt: skip
    assert all(f'<small id="{name}-facts">{words}</small>' in page for name, words in facts.items())
    assert '<option value="alternate" selected>by turns</option>' in page and '<option value="false" selected>no</option>' in page


@pytest.mark.parametrize(("typed", "kept"), [("0,125", 0.125), ("0.125", 0.125), ("-0,02", None), ("1,500", None), ("0,1,2", None), ("0,", None)])
def test_a_decimal_comma_is_one(desk: Desk, typed: str, kept: float | None) -> None:
    """Shown as the language writes it, taken with comma or point; what may be a thousand is refused."""
    german = Desk(replace(desk.terminal, settings=replace(desk.terminal.settings, web=WebSettings(language="de"))), desk.clock).browser("admin")
    answer = german.post("/settings", "/settings", {"decision.min_lead": typed})
    assert answer.status_code == (400 if kept is None else 303)
    with desk.store() as store:
        assert stored_settings.read(store).get("decision", {}).get("min_lead") == kept
    page = german.get("/settings").text
    assert "0,00001 bis 0,5" in page and (kept is None or 'name="decision.min_lead" value="0,125"' in page)


def test_a_restart_is_asked_for_and_audited(desk: Desk) -> None:
    assert desk.browser("admin").post("/restart", "/settings").status_code == 200
    assert desk.terminal.live.restart.is_set() and actions(desk)[-1] == "restart asked"


# audit and health


def test_the_audit_log_is_filtered(desk: Desk) -> None:
    face(desk)
    admin = desk.browser("admin")
    admin.post("/people", "/people", {"name": "Cem", "code": "E19"})
    page = admin.get("/audit?action=person added").text
    assert page.count("<strong>person added</strong>") == 2 and "<strong>templates added</strong>" not in page
    with desk.store() as store, store.reading() as db:
        actor = db.execute("SELECT actor FROM audit ORDER BY id DESC LIMIT 1").fetchone()[0]
    assert actor == "user:4" and "<td>admin</td>" in admin.get(f"/audit?actor={actor}").text
    assert "No entry matches" in admin.get("/audit?from=2031-01-01").text
    assert admin.get("/audit?from=yesterday").status_code == 400 and admin.get("/audit?from=0001-01-01").status_code in (200, 400)
    assert admin.get("/audit?before=5").status_code == 200


def test_the_audit_log_names_people_and_logins(desk: Desk) -> None:
    admin = desk.browser("admin")
    admin.post("/people", "/people", {"name": "Zoë <Kern>", "code": "E19"})
    with desk.store() as store:
        zoe = next(person for person in store.people() if person.code == "E19")
    stranger = desk.browser(address="10.0.0.9")
    stranger.log_in("hr", "not it")
    stranger.log_in("my secret", "not it either")
    page = admin.get("/audit").text
    assert f'<small>person</small> <a href="/people/{zoe.id}">Zoë &lt;Kern&gt;</a>' in page
    known, unknown = (re.search(rf"{words}</span>", page) for words in ("<small>login</small> hr", "<small>login</small> unknown"))
    assert known and unknown and "my secret" not in page
    with desk.store() as store:
        hr = next(user.id for user in accounts.users(store) if user.login == "hr")
        with store.reading() as db:
            details = [row[0] for row in db.execute("SELECT details FROM audit ORDER BY id")]
            wrong = [row[0] for row in db.execute("SELECT json_extract(details, '$.user_id') FROM audit WHERE action = 'wrong password' ORDER BY id")]
        assert wrong == [hr, None] and not any("Kern" in one or "secret" in one for one in details)
        store.erase(zoe.id)
    assert "Kern" not in admin.get("/audit").text


def test_the_audit_log_shows_what_another_version_wrote(desk: Desk) -> None:
    with desk.store() as store, store.transaction() as db:
        row: dict[str, hash_chain.Value] = {"at": round(desk.clock.now * 1000), "actor": "user:4", "action": "biometrics compared", "details": "{}"}
        hash_chain.append(db, "audit", row)
    admin = desk.browser("admin")
    page = admin.get("/audit").text
    assert "<strong>biometrics compared</strong>" in page and "<strong>biometrics compared</strong>" in admin.get("/audit?action=biometrics compared").text
    choices = re.findall(r"<option value=\"[^\"]+\">([a-z -]*)</option>", page.partition('name="action"')[2])
    assert choices == sorted({*(action.value for action in Action), "biometrics compared"})
    with desk.store() as store:
        assert store.verify_chain("audit").ok


def test_health_says_what_is_wrong(desk: Desk) -> None:
    page = desk.browser("viewer").get("/health").text
    assert "no pictures" in page and "0 people, 0 punches" in page
    answer = desk.browser("hr").post("/health/verify", "/health")
    assert answer.text.count("badge good") == 4 and actions(desk)[-1] == "chains verified"


def test_a_broken_chain_is_shown(desk: Desk, with_settings: Callable[..., Desk]) -> None:
    face(desk)
    with sqlite3.connect(desk.terminal.database) as raw:
        raw.execute("DROP TRIGGER audit_no_update")
        raw.execute("UPDATE audit SET actor = 'nobody' WHERE id = 1")
    assert "audit row 1 was changed" in desk.browser("hr").post("/health/verify", "/health").text


class Picky(Connector):
    """Knows nobody."""

    def send(self, event: Event) -> Outcome:
        return Refused("no employee with this code") if event.direction == "in" else Failed("busy <later>", whole_target=True)


def test_health_shows_what_a_target_answered(desk: Desk) -> None:
    ada = face(desk)
    assert "Given up" not in desk.browser("viewer").get("/health").text
    with courier(desk.terminal.database, Picky(SimpleNamespace(name="payroll")), clock=desk.clock) as made:
        with desk.store() as store:
            punch(store, ada.id)
            punch(store, ada.id, direction="out")
        made.drain()
    page = desk.browser("viewer").get("/health").text
    assert "Given up by a target" in page and "<td>E17</td><td>no employee with this code</td>" in page
    assert "1 waiting" in page and "1 given up; busy &lt;later&gt;" in page


def test_throttling_flags_of_a_raspberry_pi() -> None:
    assert health.throttling(0x50005) == (["under_voltage", "throttled"], ["under_voltage", "throttled"])
    assert health.throttling(0) == ([], [])


def test_the_threshold_in_force_is_that_for_the_people_who_are_searched_for(desk: Desk) -> None:
    """Not for those who are inactive or wait for templates of this model, and each person once."""
    card = SimpleNamespace(model_id="m" * 64, name="net", embedding_size=2)
    desk.terminal.live.booth.recogniser = SimpleNamespace(  # type: ignore[assignment]
        coming=None,
        embedder=SimpleNamespace(card=card, provider="cpu"),
        capacity=1000,
        liveness=None,
        settings=Settings(),
        threshold=lambda people: people / 10,
    )
    with desk.store() as store:
        for name, model in (("Ada", "m"), ("Bea", "m"), ("Cleo", "m"), ("Dora", "o")):
            store.add_person_with_templates(name, None, [TemplateDraft(model * 64, np.array([1, 0], np.float32), 0.5)] * 3)
        store.deactivate(3)
    page = desk.browser("viewer").get("/health").text
    assert "for 2 people" in page and "0.200" in page
    for capacity, words in ((2, "2 of at most 2 people that net has a threshold for"), (1, "the last 1 to be enrolled cannot be recognised")):
        desk.terminal.live.booth.recogniser.capacity = capacity  # type: ignore[union-attr,misc]
        assert words in desk.browser("viewer").get("/health").text


@pytest.fixture
def change(desk: Desk) -> Person:
    """A change of model: templates of 120 of 500 people are made, and of one, who is returned, no picture is kept."""
    card, coming = (SimpleNamespace(model_id=name[0] * 64, name=name, embedding_size=2) for name in ("former", "coming"))
    desk.terminal.live.booth.recogniser = SimpleNamespace(  # type: ignore[assignment]
        embedder=SimpleNamespace(card=card, provider="cpu"),
        capacity=1000,
        coming=SimpleNamespace(card=coming),
        liveness=None,
        settings=Settings(),
        threshold=lambda people: 0.5,
    )
    person = face(desk, "<b>Bo</b>", "E18")
    desk.terminal.live.reembedded = lambda: Reembedded("coming", 120, 500, (person,))
    return person


def test_health_shows_how_far_templates_are_made_and_who_must_be_enrolled_again(desk: Desk, change: Person) -> None:
    def text() -> str:
        return html.unescape(re.sub(r"<[^>]*>", " ", desk.browser("viewer").get("/health").text))

    during = text()
    assert "120 of 500 people" in during and "former recognises until coming can take over." in during
    named = f"<b>Bo</b> (id {change.id}): no picture of their enrolment is kept. former recognises them until coming takes over."
    assert "1 person" in during and named in during
    assert "enrol them at the kiosk with the same name and code" in during and "<b>Bo" not in desk.browser("viewer").get("/health").text
    desk.terminal.live.booth.recogniser.coming = None  # type: ignore[union-attr]
    desk.terminal.live.reembedded = lambda: Reembedded("coming", 500, 500, (change,))
    after = text()
    assert "of 500 people" not in after and "no picture of their enrolment is kept. Give new pictures on their page" in after
    desk.terminal.live.reembedded = lambda: Reembedded("coming", 501, 501, ())
    assert "enrol again" not in text().lower()


def test_people_who_must_be_enrolled_again_are_marked_and_listed(desk: Desk, change: Person) -> None:
    face(desk, "Ada Kern", "E17")
    browser = desk.browser("viewer")
    assert browser.get("/people").text.count("enrol again</span>") == 1
    again = browser.get("/people?show=again").text
    assert "&lt;b&gt;Bo" in again and "Ada Kern" not in again
    assert "The model coming cannot recognise" in browser.get(f"/people/{change.id}").text
    desk.terminal.live.reembedded = lambda: None
    assert "enrol again</span>" not in browser.get("/people").text and "Ada Kern" not in browser.get("/people?show=again").text


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
