"""What the liveness gate makes of recorded presentations: each clip is played as the terminal sees it, and the outcomes become error rates.

A clip is one presentation, that of the largest face of each frame. It is accepted if the gate was open at any moment, refused if it was judged and
never open, and not judged if there were never enough pictures. A still is a presentation of one picture.
Terms as in ISO/IEC 30107-3; docs/liveness.md says how to make a trial.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from device.config import Settings
from device.contract import LivenessCard
from device.vision.camera.source import CameraError, Frame, Source, open_source
from device.vision.detector import Face
from device.vision.error_rates import ErrorRate, equal_error_rate
from device.vision.evaluation import Progress
from device.vision.liveness import Judgement, Presentation
from device.vision.recogniser import Recogniser, Sample
from device.vision.tracker import Track, Tracker
from device.vision.trial_files import TrialFile


class Judge(Protocol):
    """What `device.vision.liveness.LivenessModel` offers."""

    def judge(self, image: NDArray[np.uint8], face: Face) -> Judgement: ...


@dataclass(frozen=True)
class Presented:
    """What came of one presentation."""

    file: TrialFile
    scores: tuple[float, ...]  # of its judged pictures, 0..1
    unjudged: int  # good pictures without a score
    score: float | None  # what the threshold is held against: the highest running median; None: never enough pictures
    accepted: bool
    reason: str = ""  # why it was not judged
    seconds: float | None = None  # from the first good picture until it was accepted

    @property
    def median(self) -> float | None:
        """Of all its pictures."""
        return median(self.scores) if self.scores else None

    def as_dict(self) -> dict[str, Any]:
        """One entry of `liveness-trial --json`."""
        said: dict[str, Any] = {"file": self.file.name, "species": self.file.species, "attack": self.file.attack}
        said |= {"judged": self.score is not None, "accepted": self.accepted, "score": _rounded(self.score)}
        said |= {"pictures": len(self.scores), "median": _rounded(self.median), "scores": [_rounded(score) for score in self.scores]}
        return {**said, "seconds": _rounded(self.seconds), "source": self.file.source, "reason": self.reason}


@dataclass
class _Stretch:
    """One stretch of one track: what the gate judges together."""

    presentation: Presentation
    next_look: float  # s
    best: tuple[Sample, NDArray[np.uint8]] | None = None  # of this interval, with its frame


class Sitting:
    """One presentation while it is played.

    Args:
        recogniser: the device's own detector and quality gate.
        judge: the liveness model.
        card: with the threshold and the number of pictures that are tried.
    """

    def __init__(self, recogniser: Recogniser, judge: Judge, card: LivenessCard) -> None:
        self._recogniser, self._judge, self._card = recogniser, judge, card
        self._interval = recogniser.settings.decision.interval_ms / 1000
        self._stretches: dict[tuple[int, int], _Stretch] = {}  # by track id and stretch
        self._scores: list[float] = []
        self._hints: Counter[str] = Counter()  # why pictures did not count
        self._highest: float | None = None
        self._began: float | None = None  # s, first good picture
        self._accepted: float | None = None  # s

    def see(self, frame: Frame, track: Track | None) -> None:
        """Take in a frame; of each interval the best picture is judged, as `device/terminal/pipeline.py` does."""
        if track is None:
            self._hints["no_face"] += 1
            return
        stretch = self._stretches.setdefault((track.id, track.stretch), _Stretch(Presentation(self._card), frame.time))
        sample = self._recogniser.quick(frame.image, track.face)
        if not sample.quality.acceptable:
            self._hints[sample.quality.reasons[0]] += 1
        elif stretch.best is None or sample.quality.score > stretch.best[0].quality.score:
            stretch.best = sample, frame.image
        if stretch.best is not None and frame.time >= stretch.next_look:
            best, image = stretch.best
            self._look(stretch.presentation, self._recogniser.sample(image, best.face), image, frame.time)
            stretch.best, stretch.next_look = None, frame.time + self._interval

    def _look(self, presentation: Presentation, sample: Sample, image: NDArray[np.uint8], now: float) -> None:
        if not sample.quality.acceptable:
            self._hints[sample.quality.reasons[0]] += 1
            return
        self._began = now if self._began is None else self._began
        judgement = self._judge.judge(image, sample.face)
        presentation.add(judgement)
        if judgement.score is None:
            self._hints[judgement.reason] += 1
            return
        self._scores.append(judgement.score)
        if presentation.state != "undecided":
            self._highest = max(presentation.score or 0.0, self._highest or 0.0)
        if presentation.state == "live" and self._accepted is None:
            self._accepted = now

    def concluded(self, file: TrialFile) -> Presented:
        """The outcome once everything was played."""
        unjudged = self._hints["step_back"] + self._hints["not_judged"]
        seconds = None if self._accepted is None or self._began is None else self._accepted - self._began
        reason = "" if self._highest is not None else self._why_not()
        return Presented(file, tuple(self._scores), unjudged, self._highest, self._accepted is not None, reason, seconds)

    def _why_not(self) -> str:
        most = max((stretch.presentation.pictures for stretch in self._stretches.values()), default=0)
        counted = f"{most} of {self._card.pictures} pictures without a break"
        return ", ".join([counted, *(hint for hint, _ in self._hints.most_common(1))])


def searched(recogniser: Recogniser, source: Source) -> Iterator[tuple[Frame, Track | None]]:
    """The frames that the terminal searches for faces, each with the track of its largest face."""
    settings: Settings = recogniser.settings
    tracker, last = Tracker(settings.tracker), float("-inf")
    for frame in source:
        if frame.time - last >= settings.detector.interval_ms / 1000:
            last = frame.time
            tracks = tracker.update(recogniser.detector.detect(frame.image), frame.time)
            yield frame, tracks[0] if tracks else None


def present(recogniser: Recogniser, judge: Judge, card: LivenessCard, file: TrialFile) -> Presented:
    """Play one file.

    Raises:
        CameraError: it cannot be read.
    """
    sitting = Sitting(recogniser, judge, replace(card, pictures=1) if file.still else card)
    with open_source(str(file.path), recogniser.settings.camera, once=True, start=0.0) as source:
        for frame, track in searched(recogniser, source):
            sitting.see(frame, track)
    return sitting.concluded(file)


def played(recogniser: Recogniser, judge: Judge, card: LivenessCard, files: Sequence[TrialFile], progress: Progress) -> tuple[list[Presented], dict[str, str]]:
    """All presentations, and the name of each file that cannot be read with the reason."""
    presented, unreadable, by_path = [], {}, {file.path: file for file in files}
    for path in progress(list(by_path), "presentations"):
        try:
            presented.append(present(recogniser, judge, card, by_path[path]))
        except CameraError as error:
            unreadable[by_path[path].name] = str(error)
    return presented, unreadable


@dataclass(frozen=True)
class TrialRates:
    """Error rates. APCER and BPCER are shares of the presentations that were judged, non-response is a share of all."""

    apcer: dict[str, ErrorRate]  # by species
    bpcer: ErrorRate
    non_response: ErrorRate
    eer: float | None  # of all attacks together

    @classmethod
    def of(cls, presented: Sequence[Presented]) -> TrialRates:
        judged = [found for found in presented if found.score is not None]
        attacks, bona_fide = ([found for found in judged if found.file.attack == attack] for attack in (True, False))
        species = sorted({found.file.species for found in presented if found.file.attack})
        accepted = {name: [found.accepted for found in attacks if found.file.species == name] for name in species}
        return cls(
            apcer={name: ErrorRate(sum(those), len(those)) for name, those in accepted.items()},
            bpcer=ErrorRate(sum(not found.accepted for found in bona_fide), len(bona_fide)),
            non_response=ErrorRate(len(presented) - len(judged), len(presented)),
            eer=equal_error_rate(scores_of(attacks), scores_of(bona_fide)),
        )

    @property
    def worst_species(self) -> str | None:
        """The species with the highest APCER; of equals the one that was tried least, so that nothing looks safe for want of trying."""
        tried = [name for name, rate in self.apcer.items() if rate.n]
        return max(tried, key=lambda name: (self.apcer[name].value or 0.0, self.apcer[name].interval[1]), default=None)

    def as_dict(self, intervals: bool = True) -> dict[str, Any]:
        """The rates in the form of `liveness-trial --json`."""
        kept = ("value", "low", "high", "n") if intervals else ("value", "n")

        def form(rate: ErrorRate) -> dict[str, Any]:
            return {key: value for key, value in rate.as_dict().items() if key in kept}

        apcer = {name: form(rate) for name, rate in self.apcer.items()}
        return {"apcer": apcer, "bpcer": form(self.bpcer), "non_response": form(self.non_response), "eer": self.eer}


def scores_of(presented: Sequence[Presented]) -> list[float]:
    """Of those that were judged."""
    return [found.score for found in presented if found.score is not None]


def attacks_by_species(presented: Sequence[Presented]) -> dict[str, list[float]]:
    """Species -> scores of those that were judged."""
    species = sorted({found.file.species for found in presented if found.file.attack})
    return {name: scores_of([found for found in presented if found.file.species == name]) for name in species}


def by_pictures(presented: Sequence[Presented], threshold: float) -> TrialRates:
    """The same rates with each good picture as a presentation of its own. The pictures of one clip are alike: these rates have no honest interval."""
    singles: list[Presented] = []
    for found in presented:
        singles += [replace(found, scores=(score,), score=score, accepted=score > threshold) for score in found.scores]
        singles += [replace(found, scores=(), score=None, accepted=False)] * found.unjudged
    return TrialRates.of(singles)


def by_source(presented: Sequence[Presented]) -> dict[str, TrialRates]:
    """The rates of each source; nothing where no sources are named."""
    named = sorted({found.file.source for found in presented} - {""})
    return {name: TrialRates.of([found for found in presented if found.file.source == name]) for name in named}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
