"""Back to factory from the desk: told, behind the administrator's own password, decided before the answer is sent, carried out by the next start."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from device.maintenance import database_start, factory_reset
from device.maintenance.reset_request import FILE, reset_file
from device.storage import key_folder
from device.storage.records import PunchDraft
from device.storage.reset_mark import is_marked
from device.storage.store import Store, TemplateDraft
from device.system.clock import ClockState
from tests.device.web.conftest import PASSWORD, START, Desk
from tests.refused import refused


@pytest.fixture
def filled(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("CLOCKFACE_KEYS", str(tmp_path / "own-keys"))  # other tests keep keys in the common folder
    with desk.store() as store:
        person = store.add_person_with_templates("Ann", None, [TemplateDraft("m1", np.eye(8, dtype=np.float32)[0], 0.5, None, "")]).id
        store.outbox.set_targets(["payroll"])
        store.record_punch(PunchDraft(person, START, "in", "door", "manual", ClockState(True, "boot", 1)), ["payroll"])
    return desk


def test_an_administrator_resets_with_password_name_and_number(filled: Desk) -> None:
    admin, name = filled.browser("admin"), filled.terminal.device
    page = admin.get("/reset").text
    assert "1 person, with face" in page and "1 punch," in page and "No backup was made here." in page and "1 row is not delivered" in page
    right = {"password": PASSWORD, "confirm": name, "lost": "1"}
    for wrong in ({"password": "not this one"}, {"confirm": f"{name}x"}, {"lost": ""}, {"lost": "2"}):
        answer = admin.post("/reset", "/reset", right | wrong)
        assert answer.status_code == 400 and 'role="alert"' in answer.text
        assert not is_marked(filled.terminal.database) and not filled.terminal.live.restart.is_set()
    answer = admin.post("/reset", "/reset", right)
    assert answer.status_code == 200 and "first login is admin" in answer.text and filled.terminal.live.restart.is_set()
    with refused("store.being_reset"):
        filled.store()
    assert factory_reset.go_on(filled.terminal.database) and not list(key_folder.folder().glob("*.key*"))
    with filled.store() as store:
        assert not store.people() and not store.punches()


def test_the_file_for_a_stick_is_given_to_an_administrator(filled: Desk, tmp_path: Path) -> None:
    admin, name = filled.browser("admin"), filled.terminal.device
    assert admin.post("/reset/stick", "/reset", {"password": "not this one"}).status_code == 400
    answer = admin.post("/reset/stick", "/reset", {"password": PASSWORD})
    assert 'filename="clockface-reset.txt"' in answer.headers["content-disposition"] and answer.headers["cache-control"] == "no-store"
    (tmp_path / "stick").mkdir()
    (tmp_path / "stick" / FILE).write_bytes(answer.content)
    assert reset_file(name, filled.terminal.database, [str(tmp_path / "stick")], []) is not None
    assert filled.browser("hr").post("/reset/stick", "/people", {"password": PASSWORD}).status_code == 403


@pytest.mark.parametrize("role", ["viewer", "hr"])
def test_nobody_else_may(filled: Desk, role: str) -> None:
    browser = filled.browser(role)
    assert browser.get("/reset").status_code == 403 and browser.post("/reset", "/people", {"password": PASSWORD}).status_code == 403
    assert not is_marked(filled.terminal.database)


def test_it_is_in_german_too(filled: Desk) -> None:
    admin = filled.browser("admin")
    admin.http.headers["accept-language"] = "de"
    assert "Auf Werkszustand zurücksetzen" in admin.get("/backup").text and "1 Person mit Gesicht" in admin.get("/reset").text
    answer = admin.post("/reset", "/reset", {"password": PASSWORD, "confirm": "x", "lost": "1"})
    assert "nicht so eingegeben" in answer.text


def test_a_start_after_the_decision_begins_anew(filled: Desk) -> None:
    with filled.store() as store:
        factory_reset.begin(store.path, store.keys.store)
        database = store.path
    database_start.prepare(database)
    with Store.open(database) as store:
        assert not store.people()
