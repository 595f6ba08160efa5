"""Attacks that are made for training: the face stays where its box says, and what is drawn on top is what it is called."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from training.recapture import FacePicture, closer, cut, displayed, framed, hold, photographed, printed, recapture, resized, waves

Change = Callable[[FacePicture, np.random.Generator], FacePicture]


def marked(value: tuple[int, int, int] = (0, 0, 255)) -> FacePicture:
    """A grey picture with a red face."""
    image = np.full((300, 400, 3), 100, np.uint8)
    image[110:170, 180:230] = value
    return FacePicture(image, (180.0, 110.0, 50.0, 60.0))


def red(image: np.ndarray) -> tuple[float, float, float, float]:
    """Centre and size of what is red."""
    values = image.astype(int)
    y, x = np.nonzero(values[:, :, 2] - values[:, :, :2].max(2) > 60)
    return (x.min() + x.max() + 1) / 2, (y.min() + y.max() + 1) / 2, x.max() - x.min() + 1, y.max() - y.min() + 1


def on_green(picture: FacePicture, rng: np.random.Generator) -> FacePicture:
    return hold(picture, np.full((300, 400, 3), (0, 90, 0), np.uint8), rng)


def as_sheet(picture: FacePicture, rng: np.random.Generator) -> FacePicture:
    return framed(picture, False, rng)


@pytest.mark.parametrize("change", [cut, as_sheet, on_green, closer, resized, photographed], ids=lambda change: change.__name__)
@pytest.mark.parametrize("seed", range(8))
def test_the_box_stays_on_the_face(change: Change, seed: int) -> None:
    result = change(marked(), np.random.default_rng(seed))
    x, y, w, h = result.box
    found = red(result.image)
    tolerance = 0.25 * w  # a tilted or blurred face fills its box a little more or less
    assert found == pytest.approx((x + w / 2, y + h / 2, w, h), abs=tolerance)


@pytest.mark.parametrize("seed", range(8))
def test_somebody_near_is_still_in_the_frame(seed: int) -> None:
    result = closer(marked(), np.random.default_rng(seed))
    (x, y, w, h), (height, width) = result.box, result.image.shape[:2]
    assert min(x + w / 2, width - x - w / 2) >= 1.2 * w / 2 - 1 and min(y + h / 2, height - y - h / 2) >= 1.2 * h / 2 - 1


def test_the_scene_stays_around_what_is_held() -> None:
    scene = np.full((300, 400, 3), (0, 90, 0), np.uint8)
    result = recapture(marked(), scene, np.random.default_rng(3))
    assert result.image.shape == scene.shape
    assert 0.02 < np.mean(np.all(result.image == (0, 90, 0), axis=2)) < 0.98


def test_the_same_seed_makes_the_same_attack() -> None:
    first, again, other = (recapture(marked(), marked().image, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert np.array_equal(first.image, again.image) and first.box == again.box
    assert not np.array_equal(first.image, other.image)


def test_interference_has_the_period_and_strength_asked_for() -> None:
    drawn = waves((128, 128), 0.1, 8.0, 8.0, np.random.default_rng(0))[:, :, 1]
    assert np.abs(drawn).max() <= 0.1
    power = np.abs(np.fft.fft2(drawn))
    row, column = np.unravel_index(power.argmax(), power.shape)
    frequency = np.hypot(np.fft.fftfreq(128)[row], np.fft.fftfreq(128)[column])
    assert 1 / frequency == pytest.approx(8.0, rel=0.1)


def test_a_print_has_less_contrast_than_what_it_shows() -> None:
    image = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    assert all(printed(image, np.random.default_rng(seed)).std() < image.std() for seed in range(5))


def test_the_black_of_a_screen_shines() -> None:
    black = np.zeros((50, 50, 3), np.uint8)
    assert max(displayed(black, np.random.default_rng(seed)).mean() for seed in range(5)) > 5
