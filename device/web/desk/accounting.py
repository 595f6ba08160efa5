"""How the site adds days up: the form with its rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, dataclass, fields, replace
from typing import Any

from starlette.responses import Response

from device.attendance.planning import Planning
from device.attendance.timesheet.accounting import PREMIUMS, Accounting, from_texts, names_from, texts
from device.web.call import Call
from device.web.messages import Messages

KINDS = {"period_anchor": "date", "account_since": "date", "night_from": "time", "night_to": "time", "premiums": "several"}  # of fields; others are texts


@dataclass(frozen=True)
class RuleField:
    """One rule as the form shows it."""

    name: str
    words: str
    text: str
    choices: Mapping[str, str]
    kind: str  # date, time, several (of the choices) or text

    @property
    def chosen(self) -> tuple[str, ...]:
        """Of several choices."""
        return names_from(self.text)


def rule_fields(said: Messages, rules: Accounting) -> list[RuleField]:
    written = texts(rules)
    return [RuleField(rule.name, _label(said, rule.name), written[rule.name], _choices(said, rule), KINDS.get(rule.name, "text")) for rule in fields(rules)]


def _label(said: Messages, name: str) -> str:
    words = said.text(f"rules.{name}")
    return words[:1].upper() + words[1:]


def _choices(said: Messages, rule: Field[Any]) -> dict[str, str]:
    if rule.name == "premiums":
        return said.named("day", PREMIUMS, "bucket_")
    area, prefix = ("law", "name_") if rule.name == "law" else ("rules", f"{rule.name}_")
    return said.named(area, rule.metadata["choices"], prefix)


def set_accounting(call: Call) -> Response:
    planned = Planning(call.store)
    site = planned.site()
    given = {rule.name: ", ".join(map(str, call.form.getlist(rule.name))) for rule in fields(site.accounting) if rule.name in call.form}
    planned.set_site(replace(site, accounting=from_texts(site.accounting, given)), call.who.actor)
    return call.goto("/schedule", call.texts.text("rules.changed"))
