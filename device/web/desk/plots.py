"""Plots: presence over a day, when people arrive, and whether the threshold is right for this site."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from starlette.responses import Response

from device.attendance import distributions
from device.attendance.distributions import LivenessScores, Scores
from device.attendance.planning import Planning
from device.attendance.sheets import company_sheets
from device.attendance.timesheet.worksite import Site
from device.storage.store import Store
from device.web import parameters
from device.web.call import Call
from device.web.desk import charts
from device.web.desk.liveness import threshold_in_force
from device.web.messages import Messages
from device.web.pages import get

SPANS = (7, 30, 90)  # days
FRESH_MINUTES = 10  # how long computed numbers are reused


def plots(call: Call) -> Response:
    site = Planning(call.store).site()
    moment = int(call.terminal.now() // 60)
    today = site.day_of(moment)
    day = parameters.day(call, "day", today)
    span = int(call.query["days"]) if call.query.get("days", "") in map(str, SPANS) else SPANS[0]
    if day == today:
        presence = distributions.presence_over_day((line.days for line in call.picture().lines), day, site, moment)
    else:
        presence = presence_counts(call.terminal.database, moment // FRESH_MINUTES, site, day, call.store.departments)
    bar = threshold_in_force(call)
    first, seen = today - timedelta(days=span - 1), call.store.departments
    arrivals, scores, liveness = histograms(call.terminal.database, moment // FRESH_MINUTES, site, first, today, bar, seen)
    labels = [f"{k // 4:02}:{k % 4 * 15:02}" for k in range(96)]
    of_day = [f"{site.local(site.begins(day) + k * distributions.QUARTER):%H:%M}" for k in range(len(presence))]
    gone = (moment - site.begins(day)) / (len(presence) * distributions.QUARTER) if day == today else None
    texts, say = call.texts, call.texts.within("plots")
    known, unknown = scores.nearest_genuine, scores.nearest_unknown
    return call.page(
        "plots.html", day=day, before=day - timedelta(days=1), after=day + timedelta(days=1) if day < today else None, span=span, spans=SPANS,
        most=max(presence, default=0), arrivals=charts.over_day(texts, arrivals, labels, say("arrivals", days=span), say("arrived"), bars=True),
        presence=charts.over_day(texts, presence, of_day, say("at_work", day=texts.medium_day(day)), say("people"), now=gone),
        presence_numbers=charts.table(texts, (say("time"), say("people")), charts.quarters(presence, of_day)),
        arrival_numbers=charts.table(texts, (say("from"), say("arrived")), charts.quarters(arrivals, labels)), judged=verdict(scores),
        known=None if known is None else texts.number(known, 2), unknown=None if unknown is None else texts.number(unknown + 0.02, 2),
        score_plot=charts.against_threshold(texts, scores.genuine, scores.unknown, scores.thresholds, say("scores_title")),
        score_numbers=score_table(texts, scores.genuine, scores.unknown, "recognised", "unknown"), **_liveness(texts, liveness, bar),
    )  # fmt: skip


def _liveness(texts: Messages, scores: LivenessScores, bar: float | None) -> dict[str, Any]:
    """The liveness scores of the period, and the threshold in force."""
    title = texts.text("plots.liveness_title")
    chart = charts.against_threshold(texts, scores.punches, scores.refused, () if bar is None else (bar,), title, lowest=0.0)
    numbers = score_table(texts, scores.punches, scores.refused, "punches", "refused")
    return {"liveness": scores, "liveness_bar": bar, "liveness_plot": chart, "liveness_numbers": numbers}


def verdict(scores: Scores) -> tuple[str, str]:
    """The verdict (good, warn or info) on the threshold in force, and the key of its explanation."""
    if not scores.genuine or not scores.thresholds:
        return "info", "none_recognised"
    threshold, near = scores.thresholds[-1], scores.nearest_genuine
    if sum(scores.unknown.values()) < 20 or scores.nearest_unknown is None:
        return "info", "too_few"
    if near is not None and scores.nearest_unknown + 0.02 < threshold < near - 0.02:
        return "good", "fits"
    return "warn", "close" if scores.nearest_unknown + 0.02 >= threshold else "just_above"


def score_table(texts: Messages, one: Mapping[int, int], two: Mapping[int, int], *names: str) -> str:
    """The numbers of two histograms beside each other. `names`: keys of their words."""
    first, second, say = charts.bins(one), charts.bins(two), texts.within("plots")
    starts = sorted({*first, *second}, key=float)
    rows = [(texts.number(float(start), 2), str(first.get(start, 0)), str(second.get(start, 0))) for start in starts]
    return charts.table(texts, (say("score_from"), *map(say, names)), rows)


@lru_cache(maxsize=16)
def presence_counts(database: Path, fresh: int, site: Site, day: date, departments: tuple[str, ...]) -> list[int]:
    with Store.open(database, must_exist=True, actor="plots") as store, store.seeing(departments):
        as_of = site.begins(day + timedelta(days=1))
        _, sheets = company_sheets(store, [day - timedelta(days=1), day], as_of)
    return distributions.presence_over_day((sheet.days for sheet in sheets.values()), day, site, as_of)


@lru_cache(maxsize=16)
def histograms(
    database: Path, fresh: int, site: Site, first: date, last: date, bar: float | None, departments: tuple[str, ...]
) -> tuple[list[int], Scores, LivenessScores]:
    with Store.open(database, must_exist=True, actor="plots") as store, store.seeing(departments):
        span = (first, last, site)
        return distributions.arrivals(store, *span), distributions.scores(store, *span), distributions.liveness_scores(store, *span, bar)


ROUTES = (get("/plots", plots, "viewer", teams=True),)
