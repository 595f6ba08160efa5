"""The liveness model and what several pictures come to; against crops cut by hand and medians counted by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from device.config import DetectorSettings, LivenessSettings
from device.contract import LivenessCrop
from device.vision import catalogue
from device.vision.detector import Detector, Face
from device.vision.liveness import STEP_BACK, Judgement, LivenessModel, Presentation, context, open_liveness, surroundings
from tests.refused import refused


@pytest.fixture(scope="module")
def model() -> LivenessModel:
    return LivenessModel(catalogue.path("liveness"))


def face(x: float, y: float, width: float, height: float) -> Face:
    return Face((x, y, width, height), np.zeros((5, 2), np.float32), 0.9)


def test_a_crop_has_the_surroundings_and_is_moved_into_the_frame() -> None:
    image = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    crop = LivenessCrop("crop", 2.0, 40)
    middle = surroundings(image, (180, 130, 40, 40), crop)
    assert np.array_equal(middle[:, :, ::-1], cv2.resize(image[110:191, 160:241], (40, 40)))  # 80 px about (200, 150)
    corner = surroundings(image, (0, 0, 40, 40), crop)
    assert np.array_equal(corner[:, :, ::-1], cv2.resize(image[0:81, 0:81], (40, 40)))
    large = surroundings(image, (50, 50, 200, 200), crop)  # 400 px do not fit into a height of 300: 299 are taken
    assert np.array_equal(large[:, :, ::-1], cv2.resize(image[0:300, 0:300], (40, 40)))


def test_context_is_the_nearest_border_in_half_faces() -> None:
    assert context((180, 130, 40, 40), 400, 300) == pytest.approx(150 / 20)
    assert context((0, 130, 40, 40), 400, 300) == pytest.approx(1.0)
    assert context((-20, 130, 40, 40), 400, 300) == pytest.approx(0.0)
    assert context((0, 0, 0, 0), 400, 300) == 0.0
    assert not context((float("nan"), 0, 40, 40), 400, 300) >= 1.0


def test_nothing_is_judged_without_surroundings(model: LivenessModel) -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    assert model.judge(image, face(0, 200, 100, 120)) == STEP_BACK
    assert model.judge(image, face(100, 20, 400, 440)) == STEP_BACK
    assert model.judge(image, face(float("nan"), 20, 40, 44)) == STEP_BACK


def test_all_pictures_of_a_presentation_count(model: LivenessModel) -> None:
    card = replace(model.card, pictures=3, threshold=0.5)
    shown = Presentation(card)
    for score in (0.1, 0.2):
        shown.add(Judgement(score))
    assert (shown.state, shown.pictures) == ("undecided", 2)
    for score, state in ((0.9, "refused"), (0.9, "live"), (0.05, "refused")):  # medians 0.2, 0.55, 0.2
        shown.add(Judgement(score))
        assert shown.state == state


def test_pictures_that_are_not_judged_count_for_nothing(model: LivenessModel) -> None:
    shown = Presentation(replace(model.card, pictures=1, threshold=0.5))
    for _ in range(20):
        shown.add(STEP_BACK)
    assert (shown.state, shown.score, shown.hint) == ("undecided", None, "step_back")


def test_without_a_threshold_nobody_is_let_through(model: LivenessModel) -> None:
    shown = Presentation(replace(model.card, pictures=1, threshold=None))
    shown.add(Judgement(1.0))
    assert shown.state == "undecided"


def test_a_model_that_was_not_measured_is_not_enforced() -> None:
    assert open_liveness(LivenessSettings(mode="off")) is None
    assert open_liveness(LivenessSettings(mode="observe")) is not None


@pytest.mark.parametrize(("clip", "live"), [("a_real.webm", True), ("a_phone.webm", False), ("d_phone.mp4", False), ("c_screen.mp4", False)])
def test_real_clips(model: LivenessModel, shared: Path, clip: str, live: bool) -> None:
    capture, detector = cv2.VideoCapture(str(shared / "pad/clips" / clip)), Detector(catalogue.path("yunet"), DetectorSettings())
    shown = Presentation(model.card)
    for _ in range(5):
        for _ in range(6):
            read, image = capture.read()
        assert read
        shown.add(model.judge(np.asarray(image, np.uint8), detector.detect(np.asarray(image, np.uint8))[0]))
    assert shown.state == ("live" if live else "refused")


def test_an_unmeasured_model_is_refused_by_name(model: LivenessModel, monkeypatch: pytest.MonkeyPatch) -> None:
    unmeasured = replace(model.card, measured=())
    monkeypatch.setattr(LivenessModel, "__init__", lambda self, path: setattr(self, "card", unmeasured))
    with refused("liveness.not_measured"):
        open_liveness(LivenessSettings(mode="enforce"))
