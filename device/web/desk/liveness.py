"""Liveness at the desk: the model in force, and refused attempts in plain words. Nobody is named, since nobody is stored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from device.attendance.timesheet.worksite import Site
from device.contract import LivenessCard
from device.storage.refusals import Refusal
from device.web.call import Call


@dataclass(frozen=True)
class RefusedToday:
    """The refused attempts of the site's day."""

    number: int
    last: datetime | None  # local to the site
    why: str  # the reason of the last one; empty where there is none


def card_in_force(call: Call) -> LivenessCard | None:
    """The card of the model that judges; None where nothing is judged."""
    using = call.terminal.live.booth.recogniser
    return using.liveness.card if using and using.liveness else None


def threshold_in_force(call: Call) -> float | None:
    card = card_in_force(call)
    return card.threshold if card else None


def refused_today(call: Call, site: Site) -> RefusedToday | None:
    """The refused attempts of today; None where liveness is off and there are none, since a zero would look like a promise."""
    if call.terminal.desk:
        return None
    found = call.store.refusals(site.begins(site.day_of(int(call.terminal.now() // 60))) * 60.0)
    if not found.total and call.terminal.settings.liveness.mode == "off":
        return None
    last = found.latest
    return RefusedToday(found.total, local(last, site) if last else None, call.texts.text(f"refusal.{last.reason}") if last else "")


def local(refusal: Refusal, site: Site) -> datetime:
    """The time of an attempt as the site's clocks showed it."""
    return site.clock.at(refusal.occurred_at)
