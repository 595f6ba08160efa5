"""The keys of faces on the page of back-ups: behind the admin's own password, taken along, brought back, and spoken of after an erasure."""

from __future__ import annotations

from typing import Any

import numpy as np

from device.storage.audit import Action
from device.storage.store import TemplateDraft
from tests.device.web.conftest import PASSWORD, Browser, Desk

PASSPHRASE = "seven red kites over the yard"
OWN = {"password": PASSWORD}


def enrolled(desk: Desk, name: str) -> int:
    with desk.store() as store:
        return store.add_person_with_templates(name, None, [TemplateDraft("m1", np.eye(8, dtype=np.float32)[0], 0.5, None, "")]).id


def brought(browser: Browser, file: bytes, **fields: str) -> Any:
    return browser.post("/backup/keys/import", "/backup", {"passphrase": PASSPHRASE, **OWN, **fields}, files={"file": ("k", file)})


def test_keys_are_taken_along_and_brought_back(desk: Desk) -> None:
    person = enrolled(desk, "Ann")
    admin = desk.browser("admin")
    fields = {"passphrase": PASSPHRASE, "again": PASSPHRASE}
    for wrong in ({"password": "not this one"}, OWN | {"again": "other"}, OWN | dict.fromkeys(fields, "password2026!!!")):
        refused = admin.post("/backup/keys", "/backup", fields | wrong)
        assert refused.status_code == 400 and "attachment" not in refused.headers.get("content-disposition", "")
    file = admin.post("/backup/keys", "/backup", fields | OWN)
    assert file.status_code == 200 and file.content.startswith(b"CLOCKFACE-KEYS-1") and file.headers["content-disposition"].endswith('.keys-export"')
    assert "Everybody&#39;s key is in the file of" in admin.get("/backup").text
    for given, more in ((file.content[:-3], {}), (b"", {}), (file.content, {"passphrase": "another passphrase"}), (file.content, {"password": "no"})):
        assert brought(admin, given, **more).status_code == 400 and not desk.terminal.live.restart.is_set()
    with desk.store() as store:
        key = store.keys.of(person)
        store.keys.forget(person)
    answer = brought(admin, file.content)
    assert answer.status_code == 200 and "The key of 1 person is imported." in answer.text and desk.terminal.live.restart.is_set()
    with desk.store() as store, store.reading() as db:
        assert key is not None and store.keys.of(person) == key
        noted = {row[0] for row in db.execute("SELECT action FROM audit")}
        assert {Action.KEYS_EXPORTED, Action.KEYS_IMPORTED, Action.WRONG_PASSWORD} <= noted


def test_an_erasure_says_what_the_export_still_has(desk: Desk) -> None:
    enrolled(desk, "Ann")
    second = enrolled(desk, "Bob")
    admin = desk.browser("admin")
    admin.post("/backup/keys", "/backup", {"passphrase": PASSPHRASE, "again": PASSPHRASE, **OWN})
    admin.post(f"/people/{second}/erase", f"/people/{second}", {"confirm": "Bob"})
    assert "still has that key" in admin.get("/people").text
    assert "1 person erased since" in admin.get("/backup").text
    admin.http.headers["accept-language"] = "de"
    assert "seither gelöschten Person" in admin.get("/backup").text
