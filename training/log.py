"""Log of a run: a progress bar on a terminal, lines of text elsewhere, a CSV file and TensorBoard events."""

from __future__ import annotations

import csv
import dataclasses
import sys
import time
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from training.validation import ValidationReport

COLUMNS = ("time", "step", "epoch", "images", "progress", "images_per_second", "learning_rate", "loss", "parts", "gradient_norm", "corrupted", "validation")


class Log:
    """Written by the first process only; opened and closed with the run."""

    def __init__(self, out: Path, resume: bool, active: bool, every_steps: int) -> None:
        self._active, self._every = active, every_steps
        self._begin, self._images, self._count = time.time(), 0, 0
        self._sum: Any = 0.0
        columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
        self._bar = Progress(*columns) if active and sys.stdout.isatty() else None
        if active:
            self._task = self._bar.add_task("starting", total=1.0) if self._bar else None
            self._file = (out / "log.csv").open("a" if resume else "w", newline="", encoding="utf-8")
            self._csv = csv.writer(self._file)
            self._board = SummaryWriter(str(out))
            if not resume:
                self._csv.writerow(COLUMNS)

    def __enter__(self) -> Log:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()
        if self._active:
            self._file.close()
            self._board.close()

    def step(self, position: Any, rate: float, losses: dict[str, Tensor], norm: Tensor, corrupted: int) -> None:
        """Count a step; every `every_steps` steps read the losses from the device and write a row."""
        self._sum, self._count = self._sum + losses["loss"], self._count + 1
        if not self._active or position.step % self._every:
            return
        mean, self._sum, self._count = float(self._sum) / self._count, 0.0, 0  # waits for the device, so that the speed is that of finished steps
        now = time.time()
        speed = (position.images - self._images) / (now - self._begin) if self._images else 0.0
        self._begin, self._images = now, position.images
        parts = " ".join(f"{name}={float(value):.4f}" for name, value in losses.items() if name != "loss")
        values = {"images_per_second": round(speed, 1), "learning_rate": f"{rate:.3g}", "loss": round(mean, 5), "parts": parts}
        self._row(position, **values, gradient_norm=round(float(norm), 3), corrupted=corrupted)
        self._board.add_scalar("loss", mean, position.step)
        self._board.add_scalar("images_per_second", speed, position.step)
        self._say(position, f"step {position.step} epoch {position.epoch} {100 * position.progress:.1f} % loss {mean:.4f} {speed:.0f} images/s")

    def validation(self, position: Any, report: ValidationReport) -> None:
        if not self._active:
            return
        text = " ".join(f"{name}={value:.4f}" for name, value in dataclasses.asdict(report).items())
        self._row(position, validation=text)
        for name, value in dataclasses.asdict(report).items():
            self._board.add_scalar(f"validation/{name}", value, position.step)
        self._say(position, f"validation at step {position.step}: {text}")

    def _say(self, position: Any, line: str) -> None:
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=position.progress, description=line)
        else:
            print(line, flush=True)

    def _row(self, position: Any, **values: Any) -> None:
        known = {"time": round(time.time(), 1), "step": position.step, "epoch": position.epoch, "images": position.images}
        known |= {"progress": round(position.progress, 5), **values}
        self._csv.writerow([known.get(column, "") for column in COLUMNS])
        self._file.flush()
