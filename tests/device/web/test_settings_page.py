"""Settings by their page: checked like the file, kept beside it, shown in words."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from pathlib import Path

import pytest

from device.__main__ import main
from device.config import WebSettings, loader
from device.storage import settings as stored_settings
from device.web.desk import setting_words
from tests.device.web.conftest import Desk
from tests.device.web.test_people import actions
from tests.refused import refused


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
