"""Keeps recognition running: failed parts restart with growing pauses, and their state is shown."""

from __future__ import annotations

import time
from collections.abc import Callable

from device.storage.audit import Action
from device.storage.database import DamagedError, StoreError
from device.system.restart import Backoff, Say, in_words
from device.terminal.capture_session import Booth
from device.terminal.pipeline import Pipeline, Scene
from device.vision.camera.frame import Frame
from device.vision.recogniser import Recogniser
from device.vision.upright import Hanging

LATE_SECONDS = 2.0  # on one frame; then the part that is at work is named. Less than what the pages wait for a scene before they call the camera lost


class Recognition:
    """Pipeline and booth of a live camera, kept going: a failed recogniser is loaded again, a store that cannot write is retried.

    Args:
        pipeline: that works on frames.
        booth: that takes them first while somebody is being enrolled.
        load: makes another recogniser, where one fails.
        damaged: told when the database is damaged: only a start can restore it.
        monotonic: s.
        hanging: told what is seen of faces' turns, to find a camera that hangs turned.
        between_frames: called before each frame; may replace the recogniser.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        booth: Booth,
        load: Callable[[], Recogniser],
        say: Say,
        damaged: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
        hanging: Hanging | None = None,
        between_frames: Callable[[], None] = lambda: None,
    ) -> None:
        self._pipeline, self._booth, self._load, self._say, self._damaged, self._monotonic = pipeline, booth, load, say, damaged, monotonic
        self._hanging, self._between_frames = hanging, between_frames
        self._backoff, self._failures = Backoff(), 0
        self._again_at = float("-inf")
        self.trouble = ""  # "" works, "store" nothing can be recorded, "recogniser" nobody is recognised
        self._begun: float | None = None  # monotonic, of the frame at work
        self.decided = False  # whether the newest frame was processed completely, or attempted while the store fails

    @property
    def late(self) -> str:
        """The part that keeps a frame waiting: "store", such as for another process's lock, or "recogniser"; "" for none. Any thread may ask."""
        begun = self._begun
        if begun is None or self._monotonic() - begun < LATE_SECONDS:
            return ""
        return "store" if self._pipeline.store.at_work else "recogniser"

    def process(self, frame: Frame) -> Scene:
        """The scene of a frame; an empty one while a part waits for its restart."""
        self._begun = self._monotonic()
        try:
            return self._processed(frame)
        finally:
            self._begun = None

    def _processed(self, frame: Frame) -> Scene:
        self.decided = False
        if self._monotonic() < self._again_at:
            return Scene(frame, (), ())
        try:
            if self.trouble == "recogniser":
                self._pipeline.recogniser = self._booth.recogniser = self._load()
            if self.trouble == "store":
                self._pipeline.store.audit("terminal", Action.STORE_WORKS_AGAIN, {})  # this write proves it
            self._between_frames()
            scene = self.look(frame)
        except DamagedError as error:
            self._damaged()
            return self._failed("store", error, frame)
        except StoreError as error:
            self.decided = True  # the loop itself works: a restart does not help against a full disk
            return self._failed("store", error, frame)
        except Exception as error:  # from OpenCV, ONNX Runtime or a driver: the loop continues
            return self._failed("recogniser", error, frame)
        if self.trouble:
            self._say(f"{self.trouble} works again")
            self.trouble = ""
            self._failures = 0
        return scene

    def look(self, frame: Frame) -> Scene:
        """The scene of a frame; errors of its parts are raised."""
        enrolling = self._booth.process(frame)
        scene = enrolling or self._pipeline.process(frame)
        self.decided = enrolling is not None or self._pipeline.searched(frame)
        if self._hanging is not None:
            looks = [subject.look for subject in scene.subjects if subject.look and subject.look.time == frame.time]
            self._hanging.see(self._pipeline.recogniser.detector, frame.image, frame.time, looks)
        return scene

    def _failed(self, part: str, error: Exception, frame: Frame) -> Scene:
        self._failures += 1
        seconds = self._backoff.wait(self._failures)
        self.trouble, self._again_at = part, self._monotonic() + seconds
        self._say(f"{part} failed ({in_words(error)}); it is tried again in {seconds:g} s")
        return Scene(frame, (), ())
