"""A run that is asked to end: SIGTERM, as schedulers send it before they take a machine away, or the first Ctrl-C."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
from types import FrameType

from training import config
from training.config import Recipe

EXIT_STOPPED = 75  # exit code of a run that was asked to stop and has saved: "try again", as in sysexits.h


class Stop:
    """Open during the steps of a run: a signal is noted, and the loop ends after the step; all processes after the same one.

    Ctrl-C is noted where there is one process, and a second one ends it at once. torchrun passes it on to processes that have it already: there it ends them.
    """

    def __init__(self, alone: bool = True) -> None:
        self.asked = False
        self._signals = (signal.SIGTERM, signal.SIGINT) if alone else (signal.SIGTERM,)

    def __enter__(self) -> Stop:
        self._before = {number: signal.signal(number, self._note) for number in self._signals}
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        if number == signal.SIGINT:
            signal.signal(number, signal.default_int_handler)


def command(args: argparse.Namespace, recipe: Recipe, minutes: float) -> str:
    """The command that goes on with a run: with the environment that its recipe names, on as many processes."""
    names = sorted({"".join(found) for path in _paths(recipe) for found in config.A_VARIABLE.findall(path)})
    words = [f"{name}={shlex.quote(os.environ.get(name, ''))}" for name in names]
    world, here = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    nodes = ["--nnodes", str(world // here)] if world > here else []
    words += ["torchrun", *nodes, "--nproc-per-node", str(here)] if world > 1 else ["python"]
    words += ["-m", "training", "train", _quoted(args.recipe), "--out", _quoted(str(args.out)), "--resume"]
    words += ["--budget-minutes", f"{minutes:.1f}"] if minutes else []
    return " ".join([*words, *(word for line in args.set for word in ("--set", _quoted(line)))])


def _quoted(text: str) -> str:
    """As one would type it: in double quotes where there are single ones in it."""
    return f'"{text}"' if "'" in text and not set(text) & set('"$`\\!') else shlex.quote(text)


def _paths(recipe: Recipe) -> list[str]:
    return [recipe.data.validation, *(path for source in recipe.data.sources for path in (source.path, source.teacher))]
