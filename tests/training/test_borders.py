"""Black edges are filled by mirroring; the oracle is the picture that the black was cut out of, continued by reflection."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from training.borders import fill_black, photo
from training.synthetic import draw


def turned(picture: np.ndarray, degrees: float, border: int) -> np.ndarray:
    """A (90, 90, 3) picture turned into the middle of a crop, a little below; `border` says what lies outside it."""
    matrix = cv2.getRotationMatrix2D((44.5, 44.5), degrees, 1.0)
    matrix[:, 2] += (10, 16)
    return cv2.warpAffine(picture, matrix, (112, 112), flags=cv2.INTER_LINEAR, borderMode=border)


@pytest.fixture
def picture() -> np.ndarray:
    """Soft colours, all of them bright."""
    noise = np.random.default_rng(0).integers(60, 255, (5, 5, 3)).astype(np.uint8)
    return cv2.resize(noise, (90, 90), interpolation=cv2.INTER_CUBIC).clip(40, 255)


@pytest.mark.parametrize("degrees", [0.0, 7.0, -12.0])
def test_black_edges_become_the_mirrored_picture(picture: np.ndarray, degrees: float) -> None:
    cut, whole = turned(picture, degrees, cv2.BORDER_CONSTANT), turned(picture, degrees, cv2.BORDER_REFLECT)
    assert (cut.max(2) < 20).mean() > 0.2
    filled = fill_black(cut)
    assert np.abs(filled.astype(int) - whole).mean() < 6  # the edge is found to a pixel or two
    inside = cut.max(2) > 39
    changed = (filled != cut).any(2) & inside
    assert changed[8:].mean() < 0.06  # a seam of two pixels along the edges


def test_a_crop_without_black_edges_stays_as_it_is() -> None:
    crop = draw(3, 1).clip(30, 255)
    assert photo(crop) is None
    np.testing.assert_array_equal(fill_black(crop), crop)


def test_dark_hair_inside_the_photo_stays(picture: np.ndarray) -> None:
    picture[30:50, 20:60] = 0
    cut = turned(picture, 5.0, cv2.BORDER_CONSTANT)
    np.testing.assert_array_equal(fill_black(cut)[55:60, 45:55], cut[55:60, 45:55])


def test_a_black_crop_is_no_photo() -> None:
    black = np.zeros((112, 112, 3), np.uint8)
    assert photo(black) is None
    np.testing.assert_array_equal(fill_black(black), black)
