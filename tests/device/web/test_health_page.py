"""Devices and health, and the audit log, by their pages."""

from __future__ import annotations

import html
import re
import sqlite3
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from device.config import Settings
from device.delivery.connectors import Connector
from device.delivery.outcomes import Failed, Outcome, Refused
from device.storage import hash_chain
from device.storage.audit import Action
from device.storage.events import Event
from device.storage.records import Person, TemplateDraft
from device.terminal.reembedding import Reembedded
from device.web.access import accounts
from device.web.desk import health
from tests.device.fakes.terminal import courier, punch
from tests.device.web.conftest import Desk
from tests.device.web.test_people import actions, face


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
