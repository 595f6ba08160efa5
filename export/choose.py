"""The rule that chooses the default: the fastest file that misses hardly more visits than the reference and treats no group much worse than the others.

How uneven groups are is known only roughly from a thousand people. So the rule reads the interval, not the figure: no set of people may show that the limit is
exceeded, and at least one must be large enough to show that it is kept.

`python -m export table MODEL... --choose` measures the files and prints the table with the reason for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from device.contract import ClockfaceError
from device.vision.embedder import Embedder
from device.vision.visit_trial import Share
from export.crops import CropSet, embed
from export.groups import Strangers, WorstGroup
from export.search import visit_trial
from export.visits import JUDGED_RATE

MORE_MISSED = 0.005  # FNIR per visit that a file may have above the reference's
WORST_GROUP = 1.7  # largest false matches within the worst group, as a multiple of the mean of all groups
LIMITS = (
    f"FNIR at equal FPIR at most {100 * MORE_MISSED:g} points above the reference's; worst group at most {WORST_GROUP:g} times the mean at FMR "
    f"{JUDGED_RATE:g}, by the interval shown for one set of people and disproved for none"
)


class ChooseError(ClockfaceError):
    """The default cannot be chosen."""

    code = "choose"


@dataclass(frozen=True)
class Candidate:
    """One file; without visits in its card or without a cohort, it lacks what the rule asks for, and is not measured further."""

    name: str
    p50_ms: float
    lacks: str = ""
    fnir: Share | None = None  # per visit at the card's threshold
    fpir: Share | None = None
    equal_fnir: Share | None = None  # at the threshold that lets through the wanted share of these very strangers: the rule compares this one
    worst_groups: tuple[WorstGroup, ...] = ()  # of each set of people


@dataclass(frozen=True)
class Verdict:
    """What the rule says of one file."""

    eligible: bool
    reason: str


def choose(candidates: Sequence[Candidate]) -> tuple[int | None, list[Verdict]]:
    """The row of the chosen file, None where no file is eligible, and the verdict on each. The first is the reference; it may be chosen itself.

    Raises:
        ChooseError: the reference was not measured.
    """
    limit = candidates[0].equal_fnir
    if limit is None:
        raise ChooseError(
            f"{candidates[0].name}, the reference, is {candidates[0].lacks}: calibrate it with --visits and --cohort, or give another --reference"
        )
    verdicts = [_verdict(one, limit.value + MORE_MISSED + 1e-9) for one in candidates]
    eligible = [row for row, verdict in enumerate(verdicts) if verdict.eligible]
    chosen = min(eligible, key=lambda row: candidates[row].p50_ms, default=None)
    if chosen is not None:
        slower = Verdict(True, f"slower than {candidates[chosen].name}")
        verdicts = [slower if verdict.eligible else verdict for verdict in verdicts]
        verdicts[chosen] = Verdict(True, "chosen: the fastest that meets both limits")
    return chosen, verdicts


def _verdict(one: Candidate, most_missed: float) -> Verdict:
    if one.lacks or one.equal_fnir is None:
        return Verdict(False, one.lacks or "not measured")
    faults = []
    if one.equal_fnir.value > most_missed:
        faults.append(f"misses more than {100 * most_missed:.2f} %")
    uneven = [found.people for found in one.worst_groups if found.low > WORST_GROUP]
    if uneven:
        faults.append(f"worst group above {WORST_GROUP} ({', '.join(uneven)})")
    elif not any(found.high <= WORST_GROUP for found in one.worst_groups):  # NaN is shown for nobody
        faults.append(f"worst group not shown to be within {WORST_GROUP}")
    return Verdict(not faults, " and ".join(faults))


def measured(path: Path, p50_ms: float, people: Path, strangers: Path, groups: Sequence[tuple[CropSet, NDArray[Any]]]) -> Candidate:
    """One file as a candidate.

    Args:
        p50_ms: its time, measured alternately with that of the others.
        people: one sub-folder of photos per person.
        strangers: photos of other people.
        groups: crops and the group of each, of several sets of people, see `export/groups.py`.
    """
    embedder = Embedder(path, "cpu")
    if lacks := _lacks(embedder):
        return Candidate(embedder.card.name, p50_ms, lacks)
    way = visit_trial(path, people, strangers).rules["visit"]
    rows = embed(embedder.embed, [crops for crops, _ in groups])
    worst = tuple(Strangers(own, labels, embedder.cohort, JUDGED_RATE).worst(crops.name) for own, (crops, labels) in zip(rows, groups, strict=True))
    return Candidate(embedder.card.name, p50_ms, "", way.fnir, way.fpir, way.equal_fnir, worst)


def _lacks(embedder: Embedder) -> str:
    missing = [words for words, there in (("visits in its card", embedder.card.visits), ("a cohort", embedder.cohort)) if there is None]
    return f"without {' and '.join(missing)}" if missing else ""


def cells(one: Candidate, verdict: Verdict) -> str:
    """The candidate's part of a row of the table."""
    rates = [f"{100 * rate.value:.2f} % ({100 * rate.low:.2f} to {100 * rate.high:.2f})" if rate else "" for rate in (one.fnir, one.fpir, one.equal_fnir)]
    return " | ".join([*rates, "; ".join(f"{found.people} {found}" for found in one.worst_groups), verdict.reason])
