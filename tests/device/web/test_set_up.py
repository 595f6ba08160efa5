"""A new terminal is set up step by step: what is there already is done, a step may be skipped and come back to, nothing is stored half."""

from __future__ import annotations

import re

import numpy as np
import pytest

from device.attendance import calendars, public_holidays
from device.attendance.planning import Planning
from device.maintenance import first_sight, set_up
from device.maintenance.first_sight import SightReport
from device.storage import settings as stored_settings
from device.storage.audit import Action
from device.storage.store import TemplateDraft
from tests.device.web.conftest import START, Desk
from tests.refused import refused

BAVARIA = {"country": "DE", "part": "BY"}


def states(desk: Desk) -> dict[str, str]:
    with desk.store() as store:
        return dict(set_up.states(store, None))


def test_a_fresh_terminal_leads_its_admin_there_once(desk: Desk) -> None:
    assert desk.browser("hr").get("/").headers["location"] == "/today"
    admin = desk.browser("admin")
    assert admin.get("/").headers["location"] == "/setup"
    assert "0 of 6 steps done" in admin.get("/setup").text
    admin.post("/setup/skip", "/setup", {"step": "site"})
    assert admin.get("/").headers["location"] == "/today" and states(desk)["site"] == "skipped"
    admin.post("/setup/skip", "/setup", {"step": "site", "skip": "0"})
    assert states(desk)["site"] == "open"
    assert admin.post("/setup/skip", "/setup", {"step": "coffee"}).status_code == 400


def test_site_both_or_neither(desk: Desk) -> None:
    admin = desk.browser("admin")
    for wrong in ({"zone": "Europe/Atlantis", "language": "de"}, {"zone": "Europe/Berlin", "language": "xx"}):
        answer = admin.post("/setup/site", "/setup", wrong)
        assert answer.status_code == 400 and f'value="{wrong["zone"]}"' in answer.text
        with desk.store() as store:
            assert "UTC" in Planning(store).site().zone and stored_settings.read(store) == {}
    admin.post("/setup/site", "/setup", {"zone": "Europe/Berlin", "language": "de"})
    with desk.store() as store:
        assert Planning(store).site().zone == "Europe/Berlin" and stored_settings.read(store) == {"web": {"language": "de"}}
    assert states(desk)["site"] == "done" and "Restart with the changes" in admin.get("/setup").text


def test_country_shows_its_days_then_enters_them_all_or_none(desk: Desk) -> None:
    admin = desk.browser("admin")
    page = admin.get("/setup?step=country&country=DE&part=BY").text
    assert "3 October" in page and "6 January" in page and '<option value="de" selected>' in page and "Augsburg" in page
    for wrong in ({"country": "XX", "law": "de"}, {"country": "DE", "part": "ZZ", "law": "de"}, {**BAVARIA, "law": "klingon"}):
        assert admin.post("/setup/country", "/setup?step=country", wrong).status_code == 400
        with desk.store() as store:
            assert Planning(store).site().accounting.law == "none" and not Planning(store).holidays()
    admin.post("/setup/country", "/setup?step=country", {**BAVARIA, "law": "de"})
    with desk.store() as store:
        days = {day.isoformat() for day in Planning(store).holidays()}
        assert Planning(store).site().accounting.law == "de"
    # Of Bavaria, from START (2026-09-21): Easter 2027 is on 28 March
    fixed = {f"{year}-{day}" for year in (2026, 2027) for day in ("10-03", "11-01", "12-25", "12-26")} | {"2027-01-01", "2027-01-06", "2027-05-01"}
    assert days == fixed | {"2027-03-26", "2027-03-29", "2027-05-06", "2027-05-17", "2027-05-27"}
    assert states(desk)["country"] == "done"


def test_no_country_is_a_decision(desk: Desk) -> None:
    answer = desk.browser("admin").post("/setup/country", "/setup?step=country", {"country": "", "law": "none"})
    assert answer.status_code == 303
    assert states(desk)["country"] == "skipped"


def test_what_is_there_is_done(desk: Desk) -> None:
    with desk.store() as store:
        planned = Planning(store)
        planned.add_plan("week", [None] * 7, planned.site().day_of(int(START // 60)), "test")
        store.add_person_with_templates("Ann", None, [TemplateDraft("m1", np.eye(8, dtype=np.float32)[0], 0.5, None, "")])
        first_sight.keep(store, SightReport(START, (), (), ()))
        store.audit("test", Action.BACKUP_MADE, {})
        calendars.set_day(store, planned.site().day_of(int(START // 60)), "Works outing", "", "test")
    assert states(desk) == {"site": "open", **dict.fromkeys(("country", "shifts", "people", "camera", "backup"), "done")}
    page = desk.browser("admin").get("/setup").text
    assert re.search(r'class="card now" id="step-site"', page) and "5 of 6 steps done" in page


@pytest.mark.parametrize("step", set_up.STEPS)
@pytest.mark.parametrize("language", ["en", "de"])
def test_every_step_is_shown(desk: Desk, step: str, language: str) -> None:
    admin = desk.browser("admin")
    admin.http.headers["accept-language"] = language
    answer = admin.get(f"/setup?step={step}")
    assert answer.status_code == 200 and f'class="card now" id="step-{step}"' in answer.text


def test_countries_and_parts() -> None:
    assert public_holidays.countries()["GB"] == "United Kingdom" and public_holidays.parts("DE")["BY"] == "Bayern"
    assert [public_holidays.law_of(code) for code in ("DE", "FR", "US")] == ["de", "eu", "none"]
    with refused("holidays.country"):
        public_holidays.parts("XX")
