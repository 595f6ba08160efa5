"""What changed against the run before: settings that differ, figures side by side."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training import run_record
from training.run_record import RunRecord

PEOPLE = ("data.validation", "data.validation_identities", "run.seed", "data.sources")  # what decides on whom a run is measured
FIGURES = {  # shown -> field of `figures`, decimals; higher is better
    "TAR at FAR 1e-2": ("tar_at_far_1e_2", 4),
    "TAR at FAR 1e-3": ("tar_at_far_1e_3", 4),
    "TAR at FAR 1e-4": ("tar_at_far_1e_4", 4),
    "d'": ("d_prime", 3),
    "score, which selects the best": ("score", 4),
}


@dataclass(frozen=True)
class ComparedLine:
    """One line: what it is, before and now."""

    name: str
    before: str
    now: str
    better: bool | None = None  # None: neither better nor worse


@dataclass(frozen=True)
class RunComparison:
    """Two runs side by side."""

    name: str  # of the run before
    settings: list[ComparedLine]
    figures: list[ComparedLine]
    same_people: bool  # measured on the same people, as far as the settings say


def before(folder: Path) -> Path | None:
    """The run beside this one that was started last before it, and has figures."""
    mine = run_record.read(folder)
    others = [(run_record.read(path.parent), path.parent) for path in folder.resolve().parent.glob("*/run.json") if path.parent != folder.resolve()]
    earlier = [(record.started, path) for record, path in others if record and record.figures and mine and record.started < mine.started]
    return max(earlier, default=(0.0, None), key=lambda pair: pair[0])[1]


def compare(folder: Path, record: RunRecord) -> RunComparison | None:
    """This run against the one in a folder; None where that has no figures."""
    old = run_record.read(folder)
    if old is None or not old.figures:
        return None
    flat, was = flattened(record.recipe), flattened(old.recipe)
    names = [name for name in sorted({*flat, *was}) if flat.get(name) != was.get(name)]
    settings = [ComparedLine(name, _text(was.get(name)), _text(flat.get(name))) for name in names]
    same = not any(name == people or name.startswith(f"{people}[") for name in names for people in PEOPLE)
    return RunComparison(folder.name, settings, [*_figures(old, record), *_amounts(old, record)], same)


def _figures(old: RunRecord, new: RunRecord) -> list[ComparedLine]:
    found = []
    for shown, (field, decimals) in FIGURES.items():
        if field in old.figures and field in new.figures:
            was, now = old.figures[field], new.figures[field]
            better = None if round(was, decimals) == round(now, decimals) else now > was
            found.append(ComparedLine(shown, f"{was:.{decimals}f}", f"{now:.{decimals}f}", better))
    return found


def _amounts(old: RunRecord, new: RunRecord) -> list[ComparedLine]:
    def of(record: RunRecord) -> dict[str, str]:
        speed = record.images / record.seconds if record.seconds else 0.0
        return {
            "best at step": f"{record.best_step:,}",
            "steps": f"{record.step:,}",
            "crops to train on": f"{record.crops:,}",
            "identities": f"{record.classes:,}",
            "images per second": f"{speed:,.0f}",
            "time": spent(record.seconds),
        }

    was, now = of(old), of(new)
    return [ComparedLine(name, was[name], now[name]) for name in now]


def spent(seconds: float) -> str:
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    return f"{hours} h {minutes % 60:02d} min" if hours else f"{minutes} min {int(seconds % 60):02d} s" if minutes else f"{seconds:.0f} s"


def flattened(table: Any, where: str = "") -> dict[str, Any]:
    """Settings by their dotted names; the items of a list by their number."""
    if isinstance(table, dict) and table:
        return {name: value for key, item in table.items() for name, value in flattened(item, f"{where}.{key}".lstrip(".")).items()}
    if isinstance(table, list | tuple) and table:
        return {name: value for i, item in enumerate(table) for name, value in flattened(item, f"{where}[{i}]").items()}
    return {where: table}


def _text(value: Any) -> str:
    return "-" if value is None else "true" if value is True else "false" if value is False else str(value) if value not in ("", {}, [], ()) else "none"
