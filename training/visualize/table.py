"""The tables over several seeds: mean and standard deviation, as Markdown or as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from training.visualize.digits import HELD_OUT
from training.visualize.study import StudyResult, true_accept_rate

WIDE = 16  # dimensions for the verification of unseen classes, for which two are too few
Column = Callable[[StudyResult], float | None]
COMMON: dict[str, Column] = {
    "accuracy": lambda outcome: 100 * outcome.accuracy,
    "within": lambda outcome: outcome.within,
    "between": lambda outcome: outcome.between,
    "tar_known": lambda outcome: 100 * outcome.tar_known,
}
BY_DISTANCE: dict[str, Column] = {  # by what a pair loss was trained on, instead of the cosine
    "tar_l1": lambda outcome: 100 * true_accept_rate(outcome.frames[-1].embeddings, outcome.labels, distance="l1"),
    "tar_l2": lambda outcome: 100 * true_accept_rate(outcome.frames[-1].embeddings, outcome.labels, distance="l2"),
}
HEADS = {
    "accuracy": "accuracy, %", "within": "within, °", "between": "to the next class, °", "tar_known": "TAR known, %", "tar": "TAR held out, %",
    f"tar_{WIDE}d": f"TAR held out in {WIDE}-D, %", "tar_l1": "TAR by L1, %", "tar_l2": "TAR by L2, %",
}  # fmt: skip


def row(outcomes: Sequence[StudyResult], columns: Mapping[str, Column] = COMMON) -> dict[str, Any]:
    """Mean and standard deviation over the seeds; a run that ended with NaN counts by its step alone."""
    finite = [outcome for outcome in outcomes if outcome.nan_step is None]
    cells = {key: _spread([value for outcome in finite if (value := column(outcome)) is not None]) for key, column in columns.items()}
    return {"loss": outcomes[0].entry.title, "nan_steps": [o.nan_step for o in outcomes if o.nan_step is not None], **cells}


def full_row(flat: Sequence[StudyResult], wide: Sequence[StudyResult]) -> dict[str, Any]:
    """The row of a loss trained without the last classes, in two dimensions and in more."""
    held_out: Column = lambda outcome: None if outcome.tar is None else 100 * outcome.tar  # noqa: E731
    return row(flat, {**COMMON, "tar": held_out}) | {f"tar_{WIDE}d": row(wide, {"tar": held_out})["tar"]}


def _spread(values: list[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {"mean": statistics.fmean(values), "spread": statistics.stdev(values) if len(values) > 1 else 0.0}


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    keys = [key for key in rows[0] if key in HEADS]
    nan = any(each["nan_steps"] for each in rows)
    lines = ["| " + " | ".join(["loss", *(HEADS[key] for key in keys), *(["NaN at step"] * nan)]) + " |", "|---" * (len(keys) + 1 + nan) + "|"]
    for each in rows:
        cells = [f"{each[key]['mean']:.1f} ± {each[key]['spread']:.1f}" if each[key] else "-" for key in keys]
        lines.append("| " + " | ".join([each["loss"], *cells, *([", ".join(map(str, each["nan_steps"])) or "-"] * nan)]) + " |")
    return "\n".join(lines)


def report(tables: Mapping[str, Sequence[Mapping[str, Any]]], facts: Mapping[str, Any]) -> str:
    """All tables under their headings, and the single figures below."""
    parts = [f"{heading}\n\n{markdown(rows)}\n" for heading, rows in tables.items()]
    steps = [f"{form}: {_told(found, facts['nan_limit'])}" for form, found in facts["nan_steps"].items()]
    return "\n".join([
        *parts,
        f"{facts['seeds']} seeds, mean ± standard deviation; TAR at FAR 1 %; held out are the last {HELD_OUT} classes.",
        "Steps until NaN, by arccos " + "; ".join(steps) + ".",
        f"Ranks that differ between cosine and distance at unit length: {facts['ranks_that_differ']} of 2,000.",
        f"Triplets with a loss: {100 * facts['active_triplets_first']:.0f} % at first, {100 * facts['active_triplets_last']:.0f} % at the end.",
        f"{facts['seconds']:.0f} s, of which processors were busy {facts['processor_seconds']:.0f} s.",
    ])  # fmt: skip


def _told(steps: Sequence[int | None], limit: int) -> str:
    ended = [step for step in steps if step is not None]
    if not ended:
        return f"none of {len(steps)} seeds in {limit} steps"
    return f"{len(ended)} of {len(steps)} seeds, median {statistics.median(ended):.0f}, {min(ended)} to {max(ended)}"
