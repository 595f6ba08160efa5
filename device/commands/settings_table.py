"""Every setting with default, unit, range and help, from the fields of its dataclass: `settings --help-all` and docs/settings.md."""

from __future__ import annotations

import json
from typing import Any

from device.delivery.connectors import described_kinds
from device.storage.settings import Setting, every_setting, on_page

HEAD = ("name", "default", "unit", "range or choices", "help", "set in")


def sections() -> dict[str, tuple[Setting, ...]]:
    """Heading, such as `[camera]` -> its settings; one for each kind of connector."""
    found: dict[str, tuple[Setting, ...]] = {}
    for setting in every_setting():
        heading = f"[{setting.section}]"
        found[heading] = (*found.get(heading, ()), setting)
    return found | {f'[connectors.NAME] kind = "{kind}"': settings for kind, settings in described_kinds().items()}


def rows() -> list[dict[str, Any]]:
    """One row per setting, for JSON; `connector` is the kind, and null outside `[connectors.NAME]`."""
    of_connectors = [_row(setting, kind) for kind, settings in described_kinds().items() for setting in settings]
    return [_row(setting, None) for setting in every_setting()] + of_connectors


def _row(setting: Setting, connector: str | None) -> dict[str, Any]:
    named = {"section": setting.section, "connector": connector, "name": setting.key}
    default = {"default": None if setting.needed else setting.default, "needed": setting.needed}
    limits = {"low": setting.low, "high": setting.high, "choices": setting.choices, "range": setting.allowed}
    return {**named, **default, "unit": setting.unit, **limits, "help": setting.help, "set_in": _places(setting)}


def text() -> str:
    """For a terminal: three lines for each setting."""
    return "\n\n".join("\n".join([heading, *map(_entry, settings)]) for heading, settings in sections().items())


def _entry(setting: Setting) -> str:
    facts = f"unit: {setting.unit}; range: {setting.allowed}; set in: {_places(setting)}"
    return f"{setting.key} = {_default(setting)}\n    {setting.help}\n    {facts}"


def markdown() -> str:
    """The tables of docs/settings.md."""
    parts = []
    for heading, settings in sections().items():
        lines = [HEAD, ("---",) * len(HEAD), *map(_cells, settings)]
        parts.append("\n".join([f"## `{heading}`", "", *(f"| {' | '.join(line)} |" for line in lines)]))
    return "\n\n".join(parts)


def _cells(setting: Setting) -> tuple[str, ...]:
    default = _default(setting) if setting.needed else f"`{_default(setting)}`"
    return f"`{setting.key}`", default, setting.unit, setting.allowed, setting.help, _places(setting)


def _default(setting: Setting) -> str:
    """The default as it is written in the file."""
    return "must be given" if setting.needed else json.dumps(setting.default)


def _places(setting: Setting) -> str:
    return "file or page" if on_page(setting) else "file"


FORMATS = {"text": text, "markdown": markdown}
