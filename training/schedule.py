"""Progress of a run, by steps or by time, and the learning rate at each point of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from training.config import ScheduleSettings

Progress = Callable[[int, float], float]  # (step, now in seconds) -> 0..1


@dataclass(frozen=True)
class BySteps:
    """Progress by optimiser steps, complete after `total`; the same in every run.

    A run that resumes where another number of steps makes the whole (another number of processes, or a budget of time before) goes on from its progress.
    """

    total: int
    resumed: int = 0  # step at which it resumed
    start: float = 0.0  # progress then

    def __call__(self, step: int, now: float) -> float:
        if not self.start:
            return min(1.0, step / self.total)
        return min(1.0, self.start + (1.0 - self.start) * (step - self.resumed) / (self.total - self.resumed))


def by_steps(total: int, step: int = 0, progress: float = 0.0) -> BySteps:
    """Of a run with `total` steps on this number of processes, from a step at which it has made a progress."""
    if min(1.0, step / total) == progress:
        return BySteps(total)
    return BySteps(step + max(1, round((1.0 - progress) * total)), step, progress)


@dataclass(frozen=True)
class ByClock:
    """Progress by time, linear from `start` at `begin_seconds` to 1 at `end_seconds`; for a machine shared with other work."""

    start: float  # progress already made, 0..1
    begin_seconds: float
    end_seconds: float

    def __call__(self, step: int, now: float) -> float:
        share = (now - self.begin_seconds) / max(self.end_seconds - self.begin_seconds, 1e-9)
        return min(1.0, self.start + (1.0 - self.start) * max(0.0, share))


def minutes_left(progress: BySteps | ByClock, now: float) -> float:
    """Of a budget of time; 0 without one."""
    return max(0.1, (progress.end_seconds - now) / 60) if isinstance(progress, ByClock) else 0.0


def learning_rate(settings: ScheduleSettings, peak: float, progress: float) -> float:
    """Linear warm-up, then half a cosine down to `floor`. Source: https://arxiv.org/abs/1608.03983."""
    if progress < settings.warmup:
        return peak * (settings.floor + (1 - settings.floor) * progress / settings.warmup)
    along = (progress - settings.warmup) / max(1e-9, 1 - settings.warmup)
    return peak * (settings.floor + (1 - settings.floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, along))))
