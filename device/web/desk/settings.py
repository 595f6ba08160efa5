"""The settings page: every setting with its unit, range and default. Settings from the file are shown, but not changed here."""

from __future__ import annotations

from functools import partial
from typing import Any

from starlette.responses import Response

from device.config.fields import ConfigError
from device.contract import ClockfaceError
from device.storage import settings as stored_settings
from device.storage.audit import Action
from device.terminal.model_in_force import check_covered
from device.web.call import Call
from device.web.desk.setting_words import SECTIONS, SettingWords
from device.web.pages import get, post


def settings_page(call: Call, status: int = 200, problem: ClockfaceError | None = None, typed: dict[str, str] | None = None) -> Response:
    stored, fixed = stored_settings.read(call.store), stored_settings.fixed_by(call.terminal.config_file)
    above = stored_settings.overridden(call.store, call.terminal.config_file)
    following = stored_settings.in_force(call.store, call.terminal.config_file)
    words = SettingWords(call.texts)
    sections: dict[str, list[dict[str, Any]]] = {}
    for setting in stored_settings.editable():
        value, running = (getattr(getattr(of, setting.section), setting.key) for of in (following, call.terminal.settings))
        row = {
            "setting": setting, "value": (typed or {}).get(setting.name, words.written(setting, _text(value))), "fixed": setting.name in {*fixed, *above},
            "above": above.get(setting.name),
            "set_here": setting.key in stored.get(setting.section, {}), "waiting": value != running,
            "called": words.called(setting), "choices": words.choices(setting), "unit": words.unit(setting), "help": words.help(setting),
            "facts": words.facts(setting, _text(setting.default)),
        }  # fmt: skip
        sections.setdefault(setting.section, []).append(row)
    order = sorted(sections, key=lambda name: list(SECTIONS).index(name) if name in SECTIONS else len(SECTIONS))
    waiting = sum(row["waiting"] for rows in sections.values() for row in rows)
    labelled = [(name, words.section(name), sections[name]) for name in order]
    return call.page("settings.html", status, sections=labelled, problem=problem and call.texts.refusal(problem), waiting=waiting)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value).removesuffix(".0") if isinstance(value, float) else str(value)


def save_settings(call: Call) -> Response:
    """Save all fields of one section, or none: a value that is not allowed is named."""
    known = {setting.name: setting for setting in stored_settings.editable()}
    typed = {name: value for name, value in call.form.items() if name != "form_token" and isinstance(value, str)}
    try:
        unknown = [name for name in typed if name not in known]
        if unknown:
            raise ConfigError(call.texts.text("settings.unknown", name=unknown[0][:80]), code="config.unknown")
        values = {name: stored_settings.parsed(known[name], value) for name, value in typed.items()}
        changed = stored_settings.change(call.store, call.terminal.config_file, values, partial(check_covered, call.store))
    except ClockfaceError as error:
        return settings_page(call, 400, error, typed)
    names = ", ".join(SettingWords(call.texts).called(known[name]) for name in changed)
    return call.goto("/settings", call.texts.text("settings.saved", names=names) if changed else call.texts.text("settings.unchanged"))


def restart(call: Call) -> Response:
    """Restart the terminal with the settings that are stored now."""
    stored_settings.in_force(call.store, call.terminal.config_file)
    call.store.audit(call.who.actor, Action.RESTART_ASKED, {})
    call.terminal.live.restart.set()
    return call.page("restarting.html")


ROUTES = (
    get("/settings", settings_page, "admin"),
    post("/settings", save_settings, "admin"),
    post("/restart", restart, "admin"),
)
