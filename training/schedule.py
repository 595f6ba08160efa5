"""Progress of a run, by steps or by time, and the learning rate at each point of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from training.config import ScheduleSettings

Progress = Callable[[int, float], float]  # (step, now in seconds) -> 0..1


def by_steps(total: int) -> Progress:
    """Progress by optimiser steps, complete after `total`; the same in every run."""
    return lambda step, now: min(1.0, step / total)


@dataclass(frozen=True)
class ByClock:
    """Progress by time, linear from `start` at `begin_seconds` to 1 at `end_seconds`; for a machine shared with other work."""

    start: float  # progress already made, 0..1
    begin_seconds: float
    end_seconds: float

    def __call__(self, step: int, now: float) -> float:
        share = (now - self.begin_seconds) / max(self.end_seconds - self.begin_seconds, 1e-9)
        return min(1.0, self.start + (1.0 - self.start) * max(0.0, share))


def learning_rate(settings: ScheduleSettings, peak: float, progress: float) -> float:
    """Linear warm-up, then half a cosine down to `floor`. Source: https://arxiv.org/abs/1608.03983."""
    if progress < settings.warmup:
        return peak * (settings.floor + (1 - settings.floor) * progress / settings.warmup)
    along = (progress - settings.warmup) / max(1e-9, 1 - settings.warmup)
    return peak * (settings.floor + (1 - settings.floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, along))))
