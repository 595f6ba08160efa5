"""The score of a crop against its closed form."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from device.config import QualitySettings
from device.contract import CANONICAL_LANDMARKS
from device.vision.detector import Face
from device.vision.quality import ENOUGH_DETAIL, assess, detail

SQUARES = np.random.default_rng(0).choice([40, 220], (7, 7)).astype(np.uint8)
ROUGH = cv2.resize(cv2.cvtColor(SQUARES, cv2.COLOR_GRAY2RGB), (112, 112), interpolation=cv2.INTER_NEAREST)  # (112, 112, 3) squares of 16 px, sharp


def score(detection: float, crop: np.ndarray, landmarks: np.ndarray = CANONICAL_LANDMARKS) -> float:
    return assess(Face((0.0, 0.0, 112.0, 112.0), landmarks.astype(np.float32), detection), crop, QualitySettings()).score


@pytest.mark.parametrize(("detection", "expected"), [(1.0, 1.0), (0.9, 0.64), (0.75, 0.25), (0.5, 0.0), (0.3, 0.0)])
def test_of_a_sharp_crop_it_is_the_square_of_how_sure_the_detector_is(detection: float, expected: float) -> None:
    assert score(detection, ROUGH) == pytest.approx(expected)


@pytest.mark.parametrize("blur", [1, 2, 4, 6])
def test_of_a_blurred_crop_it_is_less_in_proportion_to_the_sharpness(blur: float) -> None:
    crop = cv2.GaussianBlur(ROUGH, (0, 0), blur)
    sharpness = detail(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)[24:104, 16:96])
    assert score(1.0, crop) == pytest.approx(min(1.0, sharpness / ENOUGH_DETAIL))


def test_the_more_blurred_of_two_crops_is_not_chosen() -> None:
    scores = [score(0.9, cv2.GaussianBlur(ROUGH, (0, 0), blur)) for blur in (2, 4, 6, 9)]
    assert scores == sorted(scores, reverse=True) and scores[0] > scores[-1]


def test_light_and_distance_do_not_change_it() -> None:
    blurred = cv2.GaussianBlur(ROUGH, (0, 0), 6)
    assert 0 < score(0.9, blurred) < score(0.9, ROUGH)
    assert score(0.9, (blurred * 0.5).astype(np.uint8)) == pytest.approx(score(0.9, blurred), rel=0.1)
    assert score(0.9, blurred, CANONICAL_LANDMARKS * 4) == score(0.9, blurred)
