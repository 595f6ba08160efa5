"""Enrolment capture: while an enrolment is open, frames go to enrolment instead of recognition, then to a test recognition.

The camera loop calls `process` with every frame; pages begin, look and end. What is captured stays in memory until it is
stored with its consent, and is dropped when nobody has looked at it for a while.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from device.storage.consents import ConsentDraft
from device.storage.records import TemplateDraft
from device.terminal.enrolled import EnrolledGallery
from device.terminal.guided_capture import SECONDS_A_VIEW, GuidedCapture, Progress
from device.terminal.pipeline import Scene
from device.vision.camera.source import Frame
from device.vision.decision import Outcome
from device.vision.embedder import Embedder
from device.vision.gallery import Gallery
from device.vision.recogniser import Recogniser, Sample
from device.vision.visit import Visit

FORGOTTEN_SECONDS = 20.0  # without a poll of the page the operator has left, and recognition resumes


@dataclass(frozen=True)
class Draft:
    """An enrolment that is not stored yet; after storing, the person to test."""

    operator_id: int
    name: str
    code: str
    person_id: int | None = None  # of a person who exists already
    again: bool = False  # they have templates, and get new ones
    consent: ConsentDraft | None = None
    samples: tuple[Sample, ...] = ()
    templates: tuple[TemplateDraft, ...] = ()  # of the samples, by the models at the time: another one may take over before they are stored
    stored_id: int | None = None  # the person once stored
    look_alike: tuple[int, float] | None = field(default=None)  # person id and score of a similar person who is enrolled


class Booth:
    """One enrolment at a time.

    Args:
        recogniser: of the camera loop; None where there is no camera (then nothing is ever captured).
        seconds_a_view: how long one view of the capture is waited for.
    """

    def __init__(self, monotonic: Callable[[], float], recogniser: Recogniser | None = None, seconds_a_view: float = SECONDS_A_VIEW) -> None:
        self.recogniser = recogniser
        self._monotonic = monotonic
        self._seconds_a_view = seconds_a_view
        self._lock = threading.RLock()
        self._draft: Draft | None = None
        self._capture: GuidedCapture | None = None
        self._trial: _Trial | None = None
        self._enrolled: tuple[Embedder, EnrolledGallery] | None = None
        self._looked_at = float("-inf")

    # the camera loop

    def process(self, frame: Frame) -> Scene | None:
        """Use a frame for the enrolment; None if no enrolment needs it, so that it goes to recognition."""
        if self._capture is None and self._trial is None:
            return None
        with self._lock:
            if self._monotonic() - self._looked_at > FORGOTTEN_SECONDS:
                self._capture = self._trial = None
                return None
            if self._capture is not None:
                self._capture.add(frame)
            elif self._trial is not None:
                self._trial.add(frame)
        return Scene(frame, (), ())

    # the pages

    def enrolled(self) -> EnrolledGallery:
        """Everybody enrolled, for the recogniser of the camera loop; kept from one enrolment to the next."""
        with self._lock:
            assert self.recogniser is not None
            if self._enrolled is None or self._enrolled[0] is not self.recogniser.embedder:
                self._enrolled = self.recogniser.embedder, EnrolledGallery(self.recogniser)
            return self._enrolled[1]

    def draft(self, operator_id: int) -> Draft | None:
        """The draft of this operator."""
        with self._lock:
            return self._draft if self._draft is not None and self._draft.operator_id == operator_id else None

    def keep(self, draft: Draft) -> None:
        with self._lock:
            self._draft = draft

    def begin_capture(self) -> None:
        with self._lock:
            assert self.recogniser is not None
            self._looked_at = self._monotonic()
            self._trial, self._capture = None, GuidedCapture(self.recogniser, self._seconds_a_view)

    def progress(self) -> Progress | None:
        """Progress of the capture; when it is done, its crops are taken into the draft."""
        with self._lock:
            self._looked_at = self._monotonic()
            if self._capture is None:
                return None
            progress = self._capture.progress
            if progress.state == "done" and self._draft is not None:
                self._draft = replace(self._draft, samples=tuple(self._capture.samples()))
            if progress.state != "capturing":
                self._capture = None
            return progress

    def begin_trial(self, recogniser: Recogniser, gallery: Gallery) -> None:
        """Start a test recognition, which records nothing; the gallery is of the recogniser's model."""
        with self._lock:
            self._looked_at = self._monotonic()
            self._capture, self._trial = None, _Trial(recogniser, gallery)

    def trial(self) -> Outcome | None:
        with self._lock:
            self._looked_at = self._monotonic()
            return self._trial.outcome if self._trial else None

    def end(self) -> None:
        """Drop everything; recognition resumes."""
        with self._lock:
            self._draft = self._capture = self._trial = None


class _Trial:
    """A visit of the largest face in view, as the pipeline decides it."""

    def __init__(self, recogniser: Recogniser, gallery: Gallery) -> None:
        self._recogniser, self._gallery, self._bar = recogniser, gallery, recogniser.bar(len(gallery))
        self._visit = Visit(recogniser.settings.decision)
        self._next = float("-inf")

    @property
    def outcome(self) -> Outcome:
        return self._visit.outcome

    def add(self, frame: Frame) -> None:
        if frame.time < self._next or self.outcome.state == "known":
            return
        self._next = frame.time + self._recogniser.settings.decision.interval_ms / 1000
        faces = self._recogniser.detector.detect(frame.image)
        sample = self._recogniser.sample(frame.image, faces[0]) if faces else None
        if sample is not None and sample.quality.acceptable:
            self._visit.look(self._recogniser.embed([sample])[0], sample.quality.score, frame.time, self._gallery.search, self._bar)
