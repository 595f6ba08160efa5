"""Numbers for the plots: presence over a day, arrivals, and scores of recognised and of unknown faces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from device.attendance.timesheet.workday import WorkDay
from device.attendance.timesheet.worksite import Site
from device.storage.store import Store

QUARTER = 15  # minutes
BIN = 0.02  # width of a bin of scores


@dataclass(frozen=True)
class Scores:
    """Histograms over bins of `BIN`: bin k holds BIN * k <= score < BIN * (k + 1)."""

    genuine: dict[int, int]  # scores of punches by face
    unknown: dict[int, int]  # best scores of sightings
    thresholds: tuple[float, ...]  # in force in this period
    nearest_genuine: float | None  # 5th percentile
    nearest_unknown: float | None  # 95th percentile


@dataclass(frozen=True)
class LivenessScores:
    """Histograms over bins of `BIN`, as in `Scores`."""

    punches: dict[int, int]  # scores stored with punches by face
    below: int  # punches whose score is at or below the threshold: in observe mode those that would have been refused
    refused: dict[int, int]  # scores of refused attempts
    not_judged: int  # refused attempts without a score


def presence_over_day(sheets: Iterable[Iterable[WorkDay]], day: date, site: Site, as_of: int) -> list[int]:
    """How many people are at work at the start of each quarter of an hour, on a day of 23, 24 or 25 hours.

    Args:
        sheets: for each person, the day before and the day itself.
        as_of: the moment until which a person counts who has not left yet.
    """
    start, end = site.begins(day), site.begins(day + timedelta(days=1))
    change = Counter[int]()
    for first, last in (span for days in sheets for one in days for span in at_work(one, as_of)):
        change[max(0, -(-(first - start) // QUARTER))] += 1
        change[max(0, -(-(last - start) // QUARTER))] -= 1
    counts, present = [], 0
    for quarter in range((end - start) // QUARTER):
        present += change[quarter]
        counts.append(present)
    return counts


def at_work(day: WorkDay, as_of: int) -> Iterable[tuple[int, int]]:
    """Start and end of each period of work, as moments; a period that is not over ends at `as_of`."""
    yield from ((span.start, span.end) for span in day.spans if span.kind == "work")
    if day.state == "in" and not day.over and day.faults[-1:] != ("missing out",):
        yield day.stamps[-1].at, as_of


def arrivals(store: Store, first: date, last: date, site: Site) -> list[int]:
    """Number of "in" punches per quarter of an hour of local time: 96 numbers."""
    counts = [0] * (24 * 60 // QUARTER)
    sql = "SELECT occurred_at / 60000 FROM punches WHERE occurred_at >= ? AND occurred_at < ? AND direction = 'in'"
    for day in days(first, last):
        begin, end = site.begins(day), site.begins(day + timedelta(days=1))
        with store.reading() as db:
            moments = [row[0] for row in db.execute(sql, [begin * 60_000, end * 60_000])]
        if end - begin == 24 * 60:  # the clocks do not change on this day: one offset holds for all punches
            offset = site.local(begin).hour * 60 + site.local(begin).minute - begin
            quarters: Iterable[int] = ((moment + offset) % 1440 // QUARTER for moment in moments)
        else:
            quarters = ((local.hour * 60 + local.minute) // QUARTER for local in map(site.local, moments))
        for quarter in quarters:
            counts[quarter] += 1
    return counts


def scores(store: Store, first: date, last: date, site: Site) -> Scores:
    """Histograms of the scores of a period, and the thresholds they were compared with."""
    span = [site.begins(first) * 60_000, site.begins(last + timedelta(days=1)) * 60_000]
    bins = f"CAST((score + 1) / {BIN} + 1e-9 AS INTEGER) - {round(1 / BIN)}"  # scores are -1 to 1; not every SQLite has `floor`
    known_sql = f"SELECT {bins}, threshold, count(*) FROM punches WHERE occurred_at >= ? AND occurred_at < ? AND method = 'face' GROUP BY 1, 2"
    unknown_sql = f"SELECT {bins.replace('score', 'best_score')}, sum(count) FROM sightings \
WHERE occurred_at >= ? AND occurred_at < ? AND best_score IS NOT NULL GROUP BY 1"
    genuine, thresholds = Counter[int](), set[float]()
    with store.reading() as db:
        for number, threshold, count in db.execute(known_sql, span):
            genuine[number] += count
            thresholds.add(round(threshold, 3))
        unknown = Counter(dict(db.execute(unknown_sql, span).fetchall()))
    return Scores(dict(genuine), dict(unknown), tuple(sorted(thresholds)), percentile(genuine, 0.05), percentile(unknown, 0.95))


def liveness_scores(store: Store, first: date, last: date, site: Site, threshold: float | None) -> LivenessScores:
    """Histograms of the liveness scores of a period. `threshold`: of the model in force; None where there is none."""
    span = [site.begins(first) * 60_000, site.begins(last + timedelta(days=1)) * 60_000]
    where = "WHERE occurred_at >= ? AND occurred_at < ?"
    sql = f"SELECT CAST({{column}} / {BIN} + 1e-9 AS INTEGER), count(*) FROM {{table}} {where} GROUP BY 1"  # scores are 0 to 1
    with store.reading() as db:
        punches = dict(db.execute(sql.format(column="liveness", table="punches"), span).fetchall())
        refused = dict(db.execute(sql.format(column="score", table="refusals"), span).fetchall())
        below = db.execute(f"SELECT count(*) FROM punches {where} AND liveness <= ?", [*span, threshold]).fetchone()[0]  # 0 without a threshold
    not_judged = refused.pop(None, 0)
    punches.pop(None, None)
    return LivenessScores(punches, below, refused, not_judged)


def percentile(histogram: Counter[int], share: float) -> float | None:
    """The lower edge of the bin in which that share is reached; None for an empty histogram."""
    wanted = share * histogram.total()
    for number in sorted(histogram):
        wanted -= histogram[number]
        if wanted <= 0:
            return round(number * BIN, 2)
    return None


def days(first: date, last: date) -> Sequence[date]:
    return [first + timedelta(days=offset) for offset in range((last - first).days + 1)]
