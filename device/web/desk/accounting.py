"""How the site adds days up: the form with its rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from starlette.responses import Response

from device.attendance.planning import Planning
from device.attendance.timesheet.accounting import Accounting, from_texts, texts
from device.web.pages import Call, post


@dataclass(frozen=True)
class RuleField:
    """One rule as the form shows it."""

    name: str
    words: str
    text: str
    choices: Mapping[str, str]


def rule_fields(rules: Accounting) -> list[RuleField]:
    written = texts(rules)
    return [RuleField(rule.name, rule.metadata["words"], written[rule.name], rule.metadata["choices"]) for rule in fields(rules)]


def set_accounting(call: Call) -> Response:
    planned = Planning(call.store)
    site = planned.site()
    given = {rule.name: call.field(rule.name) for rule in fields(site.accounting) if rule.name in call.form}
    planned.set_site(replace(site, accounting=from_texts(site.accounting, given)), call.who.actor)
    return call.goto("/schedule", "The rules for pay periods and sums are changed.")


ROUTES = (post("/schedule/accounting", set_accounting, "admin"),)
