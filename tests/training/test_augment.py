"""Augmentation keeps shape, repeats by its seed, and treats colours as what they are."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from device.contract import CANONICAL_LANDMARKS
from training.augment import augment, compress, lower_resolution, moved, noisy, relight, warp
from training.config import AugmentSettings
from training.covering import covering, glasses, hat, mask


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


@pytest.mark.parametrize("kind", [mask, glasses, hat])
def test_a_covering_covers_what_its_name_says(kind) -> None:
    """Mouth and chin, or the eyes, or the hair; and never all of the other features."""
    eyes, mouth, hair, chin = CANONICAL_LANDMARKS[:2], CANONICAL_LANDMARKS[3:], [(56.0, 6.0)], [(56.0, 106.0)]
    hidden, shown = {mask: ([*mouth, *chin], [*eyes, *hair]), glasses: (eyes, [*mouth, *hair, *chin]), hat: (hair, [*eyes, *mouth, *chin])}[kind]
    for seed in range(30):
        outlines = [np.array(outline, np.float32) for outline in kind(np.random.default_rng(seed))]
        inside = [[any(cv2.pointPolygonTest(o, [float(v) for v in place], False) > 0 for o in outlines) for place in places] for places in (hidden, shown)]
        assert all(inside[0]) and not any(inside[1]), seed


def test_coverings_differ_and_repeat() -> None:
    made = [covering(number) for number in (1, 2, 1)]
    assert np.array_equal(made[0][1], made[2][1]) and not np.array_equal(made[0][1], made[1][1])
    assert all(0.84 <= opacity.max() <= 1 and colour.min() >= 0 and colour.max() <= 255 for opacity, colour in made)


@pytest.mark.parametrize("path", [(8.0, 0.0), (0.0, 8.0), (6.0, 8.0)])
def test_motion_spreads_a_point_along_its_path(path: tuple[float, float]) -> None:
    """A point that moves evenly over a length L leaves a line of the standard deviation L / sqrt(12), as every uniform distribution."""
    point = np.zeros((112, 112, 3), np.uint8)
    point[56, 56] = 255
    light = moved(point, np.array(path))[..., 0].astype(float)
    down, across = ((light * places).sum() / light.sum() - 56 for places in np.indices((112, 112)))
    along = (np.indices((112, 112))[1] - 56) * path[0] + (np.indices((112, 112))[0] - 56) * path[1]
    assert abs(down) < 0.2 and abs(across) < 0.2
    assert np.sqrt((light * along**2).sum() / light.sum()) / np.hypot(*path) == pytest.approx(np.hypot(*path) / np.sqrt(12), rel=0.15)


def test_noise_has_its_deviation_and_differs_between_tiles() -> None:
    grey = np.full((112, 112, 3), 128, np.uint8)
    made = [noisy(grey, 12.0, tile).astype(float) for tile in (0, 1)]
    assert made[0].std() == pytest.approx(12, rel=0.02) and abs(np.corrcoef(made[0].ravel(), made[1].ravel())[0, 1]) < 0.02


def test_exposure_is_a_factor_that_clips() -> None:
    assert np.allclose(relight(crop((60, 60, 60)), 0.0, 2.0, np.random.default_rng(0)), 2.0 * crop((60, 60, 60)), atol=1)  # cut off, not rounded
    assert (relight(crop((250, 250, 250)), 0.0, 2.0, np.random.default_rng(0)) == 255).all()
