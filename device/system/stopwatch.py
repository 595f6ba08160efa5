"""Milliseconds per stage, for the benchmark and the live status."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """`with stopwatch("detect"): ...` adds one measurement in ms to that stage."""

    def __init__(self) -> None:
        self.stages: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=10_000))  # ms, the latest last

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.stages[stage].append((time.perf_counter() - start) * 1000)
