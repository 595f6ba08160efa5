"""What a run says of itself in its folder: `run.json`, which `training runs` and the report read, and a lock, so that one run at a time writes there."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from device.contract import ClockfaceError
from training.config import Recipe
from training.data import Corruption
from training.resume import Position
from training.validation import ValidationReport

RUNNING, STOPPED, DONE, FAILED = "running", "stopped", "done", "failed"


class RunError(ClockfaceError):
    """A folder of runs cannot be used."""

    code = "run"


@dataclass(frozen=True)
class RunRecord:
    """One run; `figures` are those of the best checkpoint."""

    recipe: dict[str, Any]  # all settings, as in a checkpoint
    started: float  # seconds since 1970, of the first start
    go_on: str  # the command that resumes it
    processes: int = 1
    state: str = RUNNING
    reason: str = ""  # why it is "failed"
    step: int = 0
    steps: int = 0  # of the whole run; 0: a time ends it
    progress: float = 0.0
    images: int = 0
    crops: int = 0  # to train on
    classes: int = 0
    corrupted: int = 0
    corrupted_names: list[str] = field(default_factory=list)
    best: float = -1.0
    best_step: int = 0
    figures: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0  # of training, over all starts
    changed: float = 0.0


def read(folder: Path) -> RunRecord | None:
    """The record of a folder; None where there is none. A run that says it is running, and whose process is gone, has stopped."""
    try:
        record = RunRecord(**json.loads((folder / "run.json").read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise RunError(f"{folder / 'run.json'} cannot be read ({error}); it was written by another version, or is damaged: delete it") from error
    killed = record.state == RUNNING and not is_locked(folder)
    return dataclasses.replace(record, state=STOPPED) if killed else record


def is_locked(folder: Path) -> bool:
    try:
        with (folder / "run.lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


class OpenRun:
    """The record of the run that is going on, written by its first process only.

    Raises:
        RunError: another run is going on in the folder.
    """

    def __init__(self, out: Path, active: bool, record: RunRecord, resumed: bool) -> None:
        self._out, self._active, self._begin = out, active, time.time()
        before = read(out) if resumed and active else None
        if before is not None:
            kept = ("started", "seconds", "best_step", "figures")
            record = dataclasses.replace(record, **{name: getattr(before, name) for name in kept})
        self.record, self._seconds = record, record.seconds

    def __enter__(self) -> OpenRun:
        if self._active:
            self._lock = (self._out / "run.lock").open("a")
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                self._lock.close()
                raise RunError(f"another run is going on in {self._out}; wait for its end, or choose another --out") from error
            self.update(state=RUNNING)
        return self

    def update(self, **changed: Any) -> None:
        """Change the record and write it."""
        if not self._active:
            return
        now = time.time()
        self.record = dataclasses.replace(self.record, seconds=self._seconds + now - self._begin, changed=now, **changed)
        part = self._out / "run.json.part"
        part.write_text(json.dumps(dataclasses.asdict(self.record), indent=1), encoding="utf-8")
        os.replace(part, self._out / "run.json")

    def validated(self, position: Position, report: ValidationReport, better: bool) -> None:
        figures = {**dataclasses.asdict(report), "score": report.score}
        self.update(best=position.best, **({"best_step": position.step, "figures": figures} if better else {}))

    def reached(self, position: Position, corruption: Corruption) -> None:
        """A checkpoint has been written."""
        damaged = {"corrupted": corruption.count, "corrupted_names": list(corruption.names)}
        self.update(step=position.step, progress=position.progress, images=position.images, best=position.best, **damaged)

    def ended(self, complete: bool, go_on: str) -> None:
        """The run has ended by itself or, not complete, because it was asked to."""
        self.update(state=DONE if complete else STOPPED, go_on=go_on)
        if self._active and not complete:
            print(f"stopped after step {self.record.step}, which {self._out / 'last.pt'} has. Go on with: {go_on}", flush=True)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, KeyboardInterrupt):
            self.update(state=STOPPED)
        elif error is not None:
            self.update(state=FAILED, reason=str(error) if isinstance(error, ClockfaceError) else type(error).__name__)
        if self._active:
            self._lock.close()


def new(recipe: Recipe, go_on: str, processes: int, crops: int, classes: int, steps: int) -> RunRecord:
    return RunRecord(dataclasses.asdict(recipe), time.time(), go_on, processes, steps=steps, crops=crops, classes=classes)
