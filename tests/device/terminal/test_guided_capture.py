"""Guided capture with faces drawn by hand, and on a real clip; the choice of crops against brute force."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from device.config import LivenessSettings, Settings
from device.terminal.enrolment import APART_SECONDS, alike, best_apart
from device.terminal.guided_capture import FEWEST, MOST, GuidedCapture
from device.vision import catalogue
from device.vision.camera.frame import Frame
from device.vision.camera.source import open_source
from device.vision.cohort import Comparison
from device.vision.detector import Face
from device.vision.liveness import NOT_JUDGED, STEP_BACK, Judgement
from device.vision.quality import Quality
from device.vision.recogniser import Recogniser, Sample
from tests.device.terminal import drawn
from tests.refused import refused

GOOD = Quality(0.9, (), 40.0, 0.0, 0.0, 0.0, 0.2, 120.0, 40.0)
LIVING = Judgement(0.9)
IMAGE = np.zeros((48, 64, 3), np.uint8)


class Sees:
    """A recogniser that sees faces of these qualities, the largest first."""

    def __init__(self, settings: Settings) -> None:
        self.faces: list[Quality] = [GOOD]
        self.live = LIVING
        self.settings = settings
        self.liveness = SimpleNamespace(card=drawn.CARD, judge=lambda image, face: self.live)
        self.detector = SimpleNamespace(detect=self.detect)

    def detect(self, image: Any) -> list[Face]:
        return [self.face(quality) for quality in self.faces]

    @staticmethod
    def face(quality: Quality) -> Face:
        landmarks = np.array([[0, 0], [quality.eye_distance, 0], [0, 0], [0, 0], [0, 0]], np.float32)
        return Face((0.0, 0.0, 50.0, 50.0), landmarks, 0.9)

    def sample(self, image: Any, face: Face) -> Sample:
        return Sample(face, np.zeros((112, 112, 3), np.uint8), self.faces[0])


class Kiosk:
    def __init__(self, liveness: LivenessSettings = drawn.OFF) -> None:
        self.sees = Sees(Settings(liveness=liveness))
        self.capture = GuidedCapture(self.sees)  # type: ignore[arg-type]
        self.now, self.index = 100.0, 0

    def show(self, seconds: float, *faces: Quality, live: Judgement = LIVING) -> Any:
        self.sees.faces, self.sees.live = list(faces), live
        for _ in range(round(seconds * 10)):
            progress = self.capture.add(Frame(IMAGE, self.now, self.index, live=True))
            self.now, self.index = self.now + 0.1, self.index + 1
        return progress


def turned(yaw: float) -> Quality:
    return replace(GOOD, yaw=yaw)


def test_front_left_right_and_it_is_done() -> None:
    kiosk = Kiosk()
    assert kiosk.show(0.5, GOOD).view == "front"
    assert kiosk.show(1.5, GOOD).view == "left"
    assert kiosk.show(2.0, turned(0.2)).view == "right"
    progress = kiosk.show(2.0, turned(-0.2))
    assert progress.state == "done" and progress.taken == progress.wanted == 7
    yaws = [sample.quality.yaw for sample in kiosk.capture.samples()]
    assert sorted(yaws) == [-0.2, -0.2, 0.0, 0.0, 0.0, 0.2, 0.2]


def test_who_cannot_turn_is_enrolled_from_the_front() -> None:
    progress = (kiosk := Kiosk()).show(25.0, GOOD)
    assert progress.state == "done" and FEWEST <= len(kiosk.capture.samples()) <= MOST


@pytest.mark.parametrize(("faces", "reason"), [((), "nobody"), ((GOOD, GOOD), "two_people"), ((replace(GOOD, reasons=("blurred", "flat")),), "blurred")])
def test_what_is_wrong_is_said_and_nothing_is_taken(faces: tuple[Quality, ...], reason: str) -> None:
    kiosk = Kiosk()
    progress = kiosk.show(3.0, *faces)
    assert (progress.state, progress.taken, progress.reason) == ("capturing", 0, reason)
    progress = kiosk.show(60.0, *faces)
    assert (progress.state, progress.reason) == ("failed", reason) and kiosk.capture.samples() == []


@pytest.mark.parametrize(("live", "reason"), [(Judgement(0.1), "turn_to_light"), (STEP_BACK, "step_back"), (NOT_JUDGED, "not_judged")])
def test_nobody_is_taken_who_is_not_taken_for_a_living_person(live: Judgement, reason: str) -> None:
    kiosk = Kiosk(drawn.ENFORCE)
    assert kiosk.show(2.0, GOOD, live=live).reason == reason
    assert (progress := kiosk.show(60.0, GOOD, live=live)).state == "failed" and progress.reason == reason
    for liveness in (drawn.OBSERVE, drawn.OFF):
        assert Kiosk(liveness).show(30.0, GOOD, live=live).state == "done"


def test_a_living_person_is_taken_though_one_picture_in_three_is_doubtful() -> None:
    kiosk = Kiosk(drawn.ENFORCE)
    for live in itertools.islice(itertools.cycle([0.9, 0.1, 0.8]), 250):
        progress = kiosk.show(0.1, GOOD, live=Judgement(live))
    assert progress.state == "done"


def test_a_bystander_far_behind_does_not_matter() -> None:
    assert Kiosk().show(3.0, GOOD, replace(GOOD, eye_distance=12.0)).taken > 0


def test_the_better_crops_are_chosen() -> None:
    kiosk = Kiosk()
    kiosk.show(0.6, replace(GOOD, score=0.3))
    kiosk.show(25.0, GOOD)
    assert all(sample.quality.score == 0.9 for sample in kiosk.capture.samples())


def test_the_first_choice_is_the_best_there_is() -> None:
    """Greedy by score: the best crop is always in, and any two are apart; compared with every order of a small set."""
    random = np.random.default_rng(5)
    sample = Sample(Sees.face(GOOD), np.zeros((112, 112, 3), np.uint8), GOOD)
    for _ in range(20):
        found = [
            (float(t), replace(sample, quality=replace(GOOD, score=float(s)))) for t, s in zip(random.uniform(0, 2, 7), random.uniform(0, 1, 7), strict=True)
        ]
        chosen = best_apart(found, 3)
        assert max(found, key=lambda pair: pair[1].quality.score) in chosen
        assert all(abs(a[0] - b[0]) >= APART_SECONDS for a, b in itertools.combinations(chosen, 2))
        most = max(
            len(group)
            for n in range(4)
            for group in itertools.combinations(found, n)
            if all(abs(a[0] - b[0]) >= APART_SECONDS for a, b in itertools.combinations(group, 2))
        )
        assert len(chosen) <= most <= 3


def test_crops_of_somebody_else_are_left_out() -> None:
    one, other = np.eye(8, dtype=np.float32)[:2]
    samples = [Sample(Sees.face(GOOD), np.full((112, 112, 3), index, np.uint8), GOOD) for index in range(6)]
    kept, embeddings = alike(samples, np.stack([one, one, other, one, one, one]), Comparison(0.5))
    assert [int(sample.crop[0, 0, 0]) for sample in kept] == [0, 1, 3, 4, 5] and (embeddings @ one > 0.99).all()
    with refused("enrolment.not_alone"):
        alike(samples[:4], np.stack([one, one, one, other]), Comparison(0.5))


@pytest.mark.parametrize("clip", ["night.mkv", "book.mkv"])
def test_a_real_clip_gives_crops_of_one_person(shared: Path, clip: str) -> None:
    try:
        catalogue.path("yunet"), catalogue.path("sface")
    except catalogue.ModelError as error:
        pytest.skip(f"models not pulled: {error}")
    settings = Settings()
    recogniser = Recogniser(settings)
    capture = GuidedCapture(recogniser, seconds_a_view=0.5)
    with open_source(str(shared / "clips" / clip), settings.camera) as source:
        states = [capture.add(frame).state for frame in source]
    assert states[-1] == "done"
    samples = capture.samples()
    kept, _ = alike(samples, recogniser.embed(samples), recogniser.same_person())
    assert FEWEST <= len(kept) <= MOST
