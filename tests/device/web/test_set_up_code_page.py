"""The desk's page of set-up codes: behind the admin's own password, its pictures are read by the detector, and nothing of them is stored."""

from __future__ import annotations

import base64
import json
import re

import cv2
import numpy as np

from device.maintenance.set_up_code import HEAD, opened
from device.storage.audit import Action
from device.system.clock import ClockState
from device.system.qr_codes import PartsReader
from tests.device.web.conftest import PASSWORD, START, Desk

FORM = {"zone": "Europe/Berlin", "language": "de", "ssid": 'Büro "Süd"', "wifi_password": "secret of the hall", "admin": "1", "password": PASSWORD}


def codes(page: str) -> list[np.ndarray]:
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    return [cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), cv2.IMREAD_COLOR) for text in found]


def test_the_pictures_say_what_the_form_says(desk: Desk) -> None:
    answer = desk.browser("admin").post("/setup/code", "/setup/code", FORM)
    reader = PartsReader(HEAD)
    texts = [text for text in map(reader.take, codes(answer.text)) if text]
    code = opened(texts[0], START, ClockState(True, "boot", 1))
    assert (code.zone, code.language, code.ssid, code.wifi_password) == ("Europe/Berlin", "de", 'Büro "Süd"', "secret of the hall")
    assert f"<code>{code.admin_password}</code>" in answer.text and "secret of the hall" not in answer.text
    assert answer.headers["cache-control"] == "no-store"
    stored = desk.terminal.database.read_bytes() + b"".join(file.read_bytes() for file in desk.terminal.database.parent.iterdir() if file.is_file())
    with desk.store() as store, store.reading() as db:
        made = [tuple(row) for row in db.execute("SELECT actor, details FROM audit WHERE action = ?", [Action.SET_UP_CODE_MADE.value])]
    gives = {"zone": "Europe/Berlin", "language": "de", "network": 'Büro "Süd"', "first_password": True}
    assert [(actor.partition(":")[0], json.loads(details)) for actor, details in made] == [("user", gives)]
    assert b"secret of the hall" not in stored and code.admin_password.encode() not in stored


def test_it_asks_for_the_password_again(desk: Desk) -> None:
    answer = desk.browser("admin").post("/setup/code", "/setup/code", {**FORM, "password": "another one"})
    assert answer.status_code == 400 and not codes(answer.text)
    assert desk.browser("hr").get("/setup/code").status_code == 403


def test_a_value_that_cannot_be_is_told_in_the_form(desk: Desk) -> None:
    for wrong in ({"zone": "Europe/Atlantis"}, {"wifi_password": "short"}, {"ssid": "ü" * 17}, {"language": "xx"}):
        answer = desk.browser("admin").post("/setup/code", "/setup/code", {**FORM, **wrong})
        assert answer.status_code == 400 and not codes(answer.text) and "secret of the hall" not in answer.text
