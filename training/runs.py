"""List the runs of a folder: recipe, step, best figure, state, last change, and how to go on.

    python -m training runs [DIR] [--json]
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from dataclasses import dataclass
from pathlib import Path

from training import run_record
from training.run_record import DONE, RUNNING, RunError, RunRecord


@dataclass(frozen=True)
class ListedRun:
    """One line of the list."""

    name: str
    recipe: str
    step: int
    steps: int  # 0: a time ends the run
    progress: float
    best: float | None  # the score of the best checkpoint (training/validation.py); None before the first validation
    state: str
    changed: float  # seconds since 1970
    go_on: str  # "" while it runs

    def line(self, now: float) -> tuple[str, ...]:
        steps = f"{self.step:,} of {self.steps:,}" if self.steps else f"{self.step:,}"
        best = "-" if self.best is None else f"{self.best:.4f}"
        return self.name, self.recipe, f"{steps} ({100 * self.progress:.0f} %)", best, self.state, ago(now - self.changed)


def ago(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{max(0, seconds):.0f} s ago"


def listed(folder: Path, root: Path) -> ListedRun | None:
    """The run of a folder; None where there is none. One of an earlier version has its log alone."""
    record = run_record.read(folder)
    name = str(folder.relative_to(root)) if folder != root else folder.name
    if record is None:
        return _from_log(folder, name)
    go_on = {RUNNING: "", DONE: f"python -m training export-weights {folder / 'best.pt'} {folder / 'weights.pt'}"}.get(record.state, record.go_on)
    best = record.best if record.figures else None
    return ListedRun(name, record.recipe["name"], *_reached(folder, record), best, record.state, record.changed, go_on)


def _reached(folder: Path, record: RunRecord) -> tuple[int, int, float]:
    """Step, steps and progress: of the last row of the log while the run goes on, otherwise of its checkpoint."""
    rows = _rows(folder) if record.state == RUNNING else []
    return (int(rows[-1]["step"]), record.steps, float(rows[-1]["progress"])) if rows else (record.step, record.steps, record.progress)


def _from_log(folder: Path, name: str) -> ListedRun | None:
    rows = _rows(folder)
    if not rows:
        return None
    step, progress = int(rows[-1]["step"]), float(rows[-1]["progress"])
    done = progress >= 1.0
    go_on = f"python -m training {'export-weights' if done else 'train RECIPE --resume --out'} {folder / 'best.pt' if done else folder}"
    return ListedRun(name, "?", step, 0, progress, None, DONE if done else run_record.STOPPED, float(rows[-1]["time"]), go_on)


def _rows(folder: Path) -> list[dict[str, str]]:
    path = folder / "log.csv"
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines())) if path.is_file() else []


def all_runs(root: Path) -> list[ListedRun]:
    """The runs in a folder and below it, the last changed first.

    Raises:
        RunError: there is no such folder, or no run in it.
    """
    if not root.is_dir():
        raise RunError(f"{root} is no folder; name the one that has the runs, the parent of what `train --out` names")
    folders = sorted({path.parent for name in ("run.json", "log.csv") for path in root.rglob(name)})
    found = [run for run in (listed(folder, root) for folder in folders) if run is not None]
    if not found:
        raise RunError(f"{root} has no run; `python -m training train smoke --out {root / 'smoke'}` makes one")
    return sorted(found, key=lambda run: -run.changed)


def as_text(runs: list[ListedRun], now: float) -> str:
    table = [("run", "recipe", "step", "best", "state", "changed"), *(run.line(now) for run in runs)]
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    return "\n".join([*lines, "", *(f"{run.name}: {run.go_on}" for run in runs if run.go_on)])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, nargs="?", default=Path("runs"), metavar="DIR", help="folder of runs (default runs)")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    found = all_runs(args.folder)
    print(json.dumps([vars(one) for one in found], indent=1) if args.json else as_text(found, time.time()))
    return 0
