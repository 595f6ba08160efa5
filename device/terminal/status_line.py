"""What the terminal prints: punches and changes as lines, and the people in view on one line that is updated."""

from __future__ import annotations

import time
from collections.abc import Callable

from device.system.output import show_status
from device.system.time_zones import LocalClock
from device.terminal.pipeline import Scene


class Status:
    """Prints punches as lines, and the people in view on one line that is updated, unless headless."""

    def __init__(self, headless: bool, clock: Callable[[], LocalClock]) -> None:
        """`clock`: the site's."""
        self.headless = headless
        self._clock = clock
        self._started = self._drawn = time.monotonic()
        self._frames = 0
        self._camera, self._hangs = "ok", ""

    def show(self, scene: Scene, work: str = "") -> None:
        """Show a scene, and what is done in the background."""
        self._frames += 1
        if self._frames == 1:
            self.say("first frame seen; stop with Ctrl-C")
        for person, punch in scene.punches:
            at = self._clock().said(punch.occurred_at, "%H:%M:%S")
            self.say(f"recorded {at} {person.name} {punch.direction} (score {punch.score:.2f}, threshold {punch.threshold:.2f})")
        now = time.monotonic()
        if not self.headless and now - self._drawn > 0.2:
            self._drawn = now
            faces = ", ".join(subject.words for subject in scene.subjects) or "nobody in view"
            show_status(f"{self._frames / (now - self._started):5.1f} frames/s  {faces}{f'  [{work}]' if work else ''}")

    def end(self) -> None:
        self.say(f"end: {self._frames} frames in {time.monotonic() - self._started:.1f} s")

    def camera(self, state: str) -> None:
        """Report when the camera becomes black or slow, and when it recovers."""
        if state != self._camera:
            self._camera = state
            self.say(f"camera: {state}")

    def hanging(self, words: str) -> None:
        """Report when the camera is found to hang turned, and when it no longer does."""
        if words != self._hangs:
            self._hangs = words
            self.say(words or "the camera hangs upright")

    def say(self, text: str) -> None:
        print(text, flush=True)
