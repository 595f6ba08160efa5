"""The score of a crop against its closed form."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from device.config import QualitySettings
from device.contract import CANONICAL_LANDMARKS
from device.vision.detector import Face
from device.vision.images import read_image
from device.vision.quality import ENOUGH_DETAIL, assess, detail, smeared

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


def moved(image: np.ndarray, length: float, angle: float) -> np.ndarray:
    """What a camera sees of an image that moves in a straight line while the shutter is open, in px and radians."""
    height, width = image.shape[:2]
    total = np.zeros(image.shape, np.float64)
    steps = np.linspace(-length / 2, length / 2, 25)
    for step in steps:
        shift = np.array([[1, 0, step * np.cos(angle)], [0, 1, step * np.sin(angle)]])
        total += cv2.warpAffine(image, shift, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.rint(total / len(steps)).astype(np.uint8)


def cells(seed: int) -> np.ndarray:
    """(160, 160) a sharp pattern without a direction, with about as much detail as a face."""
    noise = np.random.default_rng(seed).normal(size=(2, 160, 160))
    fine, coarse = (cv2.GaussianBlur(layer, (0, 0), deviation) * deviation for layer, deviation in zip(noise, (1.2, 8.0), strict=True))
    return np.clip(128 + 80 * (0.3 * fine + coarse), 0, 255).astype(np.uint8)


def middle(image: np.ndarray, side: int = 80) -> np.ndarray:
    edge = (len(image) - side) // 2
    return np.ascontiguousarray(image[edge : edge + side, edge : edge + side])


@pytest.mark.parametrize("angle", np.arange(12) * np.pi / 12)
def test_motion_in_any_direction_is_seen_though_detail_across_it_stays(angle: float) -> None:
    sharp, blurred = middle(cells(1)), middle(moved(cells(1), 14.0, angle))
    assert detail(blurred) > 0.065  # the mean over all directions accepts it
    assert smeared(blurred, 0.065) and not smeared(sharp, 0.065)


@pytest.mark.parametrize("deviation", [0.5, 1.0, 2.0, 4.0])
def test_blur_without_a_direction_is_not_taken_for_motion(deviation: float) -> None:
    assert not smeared(middle(cv2.GaussianBlur(cells(2), (0, 0), deviation)), 0.065)


def test_sharp_stripes_are_smeared_only_without_any_other_detail() -> None:
    """Where nothing changes along the stripes they could be motion; with a texture across them they are not. Without a limit nothing is refused."""
    stripes = np.tile(np.repeat(np.array([60, 200], np.uint8), 5), (80, 8))
    texture = np.clip(stripes + np.random.default_rng(0).normal(0, 12, stripes.shape), 0, 255).astype(np.uint8)
    assert smeared(stripes, 0.065) and not smeared(texture, 0.065) and not smeared(stripes, 0.0)


def test_the_gate_says_hold_still_and_does_not_look_for_motion_when_it_is_quick() -> None:
    face = Face((0.0, 0.0, 112.0, 112.0), CANONICAL_LANDMARKS.astype(np.float32), 0.9)
    crop = cv2.cvtColor(middle(moved(cells(1), 14.0, 0.3), 112), cv2.COLOR_GRAY2RGB)
    assert assess(face, crop, QualitySettings()).guidance == "hold still" and assess(face, crop, QualitySettings(), quick=True).acceptable


def test_real_portraits_stay_acceptable_and_smeared_ones_do_not(shared: Path) -> None:
    crops = [read_image(folder / f"{folder.name}_0001.webp") for folder in sorted((shared / "faces/verify").iterdir()) if folder.is_dir()]
    greys = [cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)[24:104, 16:96] for crop in crops]
    assert sum(smeared(grey, 0.065) for grey in greys) == 0
    assert np.mean([smeared(moved(grey, 14.0, number), 0.065) for number, grey in enumerate(greys)]) > 0.9
