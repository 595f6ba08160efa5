"""The page of a terminal at first sight, at the kiosk in its languages and from the desk; the report of it; what health says."""

from __future__ import annotations

import inspect
from dataclasses import replace
from html import unescape

import pytest

from device.config import LANGUAGES, WebSettings
from device.maintenance import camera_check, doctor, first_sight, machine_check, zone_check
from device.maintenance.database_check import Finding
from device.maintenance.first_sight import SightReport
from device.web.messages import Messages
from device.web.sight import told
from tests.device.web.conftest import START, Desk

FINDINGS = (
    Finding("picture", "ok", "640 x 480", "picture", {"width": 640, "height": 480}),
    Finding("upright", "FAULT", "turned", "turned", {"turn": 180, "rotate": "180"}),
    Finding("database", "FAULT", "an error that has no text"),
    Finding("network", "warning", "none", "no_network"),
)
REPORT = SightReport(START, FINDINGS, ("artefact x",), ("host: y",))


def kept(desk: Desk) -> None:
    with desk.store() as store:
        first_sight.keep(store, REPORT)


def test_a_look_begins_and_its_result_is_shown(desk: Desk) -> None:
    """Without a camera: that is said, and the machine is looked at all the same."""
    desk.terminal.__dict__["first_sight"] = first_sight.FirstSight(desk.terminal.settings, desk.terminal.database, desk.terminal._keep_report, seconds=0.1)
    operator = desk.browser("operator")
    assert operator.get("/check/report").status_code == 404
    assert operator.post("/check", "/check").status_code == 303
    desk.terminal.first_sight.wait(30)
    page = operator.get("/check").text
    assert "The camera gives no picture" in page and "to change" in page and page.index("The camera gives no picture") < page.index("of the disk")
    report = operator.get("/check/report").text
    assert "Speed of the disk" in report and "<img" not in report and "to change" in desk.browser("viewer").get("/health").text
    assert desk.browser("viewer").get("/check").status_code == 403


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_kiosk_says_it_in_its_languages(desk: Desk, language: str) -> None:
    kept(desk)
    desk = Desk(replace(desk.terminal, settings=replace(desk.terminal.settings, web=WebSettings(language=language, languages=""))), desk.clock)
    answer, texts = desk.browser("operator", "kiosk").get("/kiosk/check"), Messages.load(language)
    page = unescape(answer.text)
    assert answer.status_code == 200 and texts.text("check.is_no_network") in page and "an error that has no text" in page
    assert texts.text("check.change", count=3) in page


def test_every_finding_has_a_text() -> None:
    """What the checks can find, read from their source, is in the catalogue, and the other way round."""
    code = "".join(inspect.getsource(module) for module in (camera_check, machine_check, doctor, zone_check))
    known = {key.removeprefix("check.is_") for key in Messages.load("en").texts if key.startswith("check.is_")}
    assert {key for key in known if f'"{key}"' not in code} == set()
    names = {key.removeprefix("check.of_") for key in Messages.load("en").texts if key.startswith("check.of_")}
    assert {name for name in names if f'Finding("{name}"' not in code} == set()


def test_words_are_those_of_the_language() -> None:
    rows = told(Messages.load("de"), FINDINGS)
    assert [row.state for row in rows] == ["good", "bad", "bad", "warn"] and "rotate = 180" in rows[1].words and rows[0].words == "640 × 480 Bildpunkte"


def test_no_live_picture_from_afar(desk: Desk) -> None:
    assert "/kiosk/picture" in desk.browser("operator").get("/check").text
    afar = desk.browser("operator", address="192.0.2.7").get("/check")
    assert afar.status_code == 200 and "/kiosk/picture" not in afar.text and "/kiosk/check" in afar.text
