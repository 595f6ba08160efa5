"""Augmentation keeps shape, repeats by its seed, and treats colours as what they are."""

from __future__ import annotations

import numpy as np
import pytest

from training.augment import augment, compress, lower_resolution, warp
from training.config import AugmentSettings


def crop(colour: tuple[int, int, int] = (120, 90, 60)) -> np.ndarray:
    noise = np.random.default_rng(3).integers(-20, 21, (112, 112, 3))
    return np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)


def test_the_same_seed_gives_the_same_crop() -> None:
    made = [augment(crop(), AugmentSettings(), np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert made[0].shape == (112, 112, 3) and made[0].dtype == np.uint8
    assert np.array_equal(made[0], made[1]) and not np.array_equal(made[0], made[2])


def test_nothing_asked_changes_nothing() -> None:
    still = AugmentSettings(flip=0.0, rotation_degrees=0.0, scale=0.0, shift_px=0.0, light=0.0, blur=0.0, low_resolution=0.0, jpeg=0.0)
    assert np.array_equal(augment(crop(), still, np.random.default_rng(0)), crop())


def test_a_flip_is_a_mirror_image() -> None:
    flip = AugmentSettings(flip=1.0, rotation_degrees=0.0, scale=0.0, shift_px=0.0)
    assert np.array_equal(warp(crop(), flip, np.random.default_rng(0)), crop()[:, ::-1])


@pytest.mark.parametrize("colour", [(200, 30, 30), (30, 200, 30), (30, 30, 200)])
def test_jpeg_keeps_the_colours_in_their_order(colour: tuple[int, int, int]) -> None:
    assert np.abs(compress(crop(colour), 60).astype(float).mean((0, 1)) - colour).max() < 6


def test_jpeg_keeps_green_finer_than_red_and_blue() -> None:
    """The standard (ITU-T T.871) weighs green 0.587 in the luma it keeps at full size; read as BGR, red and blue would change places."""
    stripes = [np.full((112, 112, 3), 60, np.uint8) for _ in range(3)]
    for channel, image in enumerate(stripes):
        image[:, ::2, channel] = 200
    kept = [float(compress(image, 75)[..., channel].astype(float).std()) for channel, image in enumerate(stripes)]
    assert kept[1] > kept[0] > kept[2]  # luma weights: green 0.587, red 0.299, blue 0.114


def test_low_resolution_removes_detail_and_keeps_light() -> None:
    small = lower_resolution(crop(), 28)
    assert small.std() < 0.8 * crop().std() or small[..., 0].std() < 0.5 * crop()[..., 0].std()
    assert small.mean() == pytest.approx(crop().mean(), abs=2)
