"""The log of a run as columns."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, field
from pathlib import Path

TARS = {"1e-2": "tar_at_far_1e_2", "1e-3": "tar_at_far_1e_3", "1e-4": "tar_at_far_1e_4"}


@dataclass
class Curves:
    """Rows of log.csv: those of steps, and those of validations. A step that was done again after a resumption counts once, the last time."""

    steps: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    speeds: list[float] = field(default_factory=list)
    validated: list[float] = field(default_factory=list)  # steps
    figures: dict[str, list[float]] = field(default_factory=dict)


def read(folder: Path) -> Curves:
    with (folder / "log.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    steps = {int(row["step"]): row for row in rows if row["loss"] and math.isfinite(float(row["loss"]))}
    done = sorted(steps)
    losses, rates, speeds = ([float(steps[step][name]) for step in done] for name in ("loss", "learning_rate", "images_per_second"))
    validations = {int(row["step"]): found for row in rows if math.isfinite((found := _figures(row["validation"])).get("d_prime", math.nan))}
    validated = sorted(validations)
    names = validations[validated[0]] if validated else {}
    figures = {name: [validations[step][name] for step in validated] for name in names}
    return Curves(list(map(float, done)), losses, rates, speeds, list(map(float, validated)), figures)


def _figures(text: str) -> dict[str, float]:
    """ "tar_at_far_1e_2=0.9 d_prime=3.1" -> its numbers by name."""
    return {name: float(value) for name, _, value in (word.partition("=") for word in text.split())}
