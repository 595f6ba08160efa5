"""The augmentation of batches against that of single crops (OpenCV, libjpeg), with the same changes and with the same distributions."""

from __future__ import annotations

from collections import defaultdict

import cv2
import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp

from tests.conftest import ROOT
from training import augment
from training.batch_augment import BatchAugmentation, Changes, draw
from training.config import AugmentSettings

NOTHING = {"flip": 0.0, "rotation_degrees": 0.0, "scale": 0.0, "shift_px": 0.0, "light": 0.0, "blur": 0.0, "low_resolution": 0.0, "jpeg": 0.0}
PLACES = {"flip": 0.5, "rotation_degrees": 8.0, "scale": 0.08, "shift_px": 3.0}


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    """(24, 112, 112, 3) windows of two photographs of faces."""
    rng, found = np.random.default_rng(0), []
    for name in ("astronaut.png", "grace_hopper.jpg"):
        photo = cv2.imread(str(ROOT / "models" / name))[:, :, ::-1]
        for _ in range(12):
            size = int(rng.integers(120, 240))
            x, y = rng.integers(0, 500 - size, 2)
            found.append(cv2.resize(photo[y : y + size, x : x + size], (112, 112), interpolation=cv2.INTER_AREA))
    return np.stack(found)


def one(crop: np.ndarray, changes: Changes, i: int, light: float) -> np.ndarray:
    """The crop changed by `augment.py`, in its order."""
    if changes.cover[i]:
        crop = augment.covered(crop, int(changes.cover[i]))
    crop = augment.warped(crop, changes.places[i])
    if light:
        crop = augment.relit(crop, changes.gain[i].astype(np.float64), float(changes.gamma[i]), bool(changes.grey[i]))
    if changes.sigma[i]:
        crop = augment.blurred(crop, float(changes.sigma[i]))
    if changes.path[i].any():
        crop = augment.moved(crop, changes.path[i])
    if changes.size[i]:
        crop = augment.lower_resolution(crop, int(changes.size[i]))
    if changes.noise[i].any():
        crop = augment.noisy(crop, float(changes.noise[i, 0]), int(changes.noise[i, 1]))
    return augment.compress(crop, int(changes.quality[i])) if changes.quality[i] else crop


@pytest.mark.parametrize(
    ("asked", "levels"),  # mean difference in levels of 0..255; JPEG rounds coefficients, so that the least difference may become a step
    [
        (PLACES, 0.01),
        ({"light": 0.3}, 0.01),
        ({"light": 0.3, "exposure": 1.0}, 0.01),
        ({"blur": 1.0, "blur_px": 3.5}, 0.05),
        ({"motion": 1.0}, 0.05),
        ({"covered": 1.0}, 0.05),
        ({"low_resolution": 1.0}, 0.25),
        ({"noise": 1.0}, 0.05),
        ({"jpeg": 1.0}, 0.7),
        ({**PLACES, "covered": 1.0, "light": 0.3}, 0.05),
    ],
    ids=["places", "light", "exposure", "blur", "motion", "covering", "low resolution", "noise", "jpeg", "places, covering and light"],
)
def test_a_batch_is_changed_as_its_crops(asked: dict[str, float], levels: float, crops: np.ndarray) -> None:
    settings = AugmentSettings(**{**NOTHING, **asked})
    changes = draw(len(crops), settings, np.random.default_rng(1))
    expected = np.stack([one(crop, changes, i, settings.light) for i, crop in enumerate(crops)]).astype(int)
    got = BatchAugmentation(torch.device("cpu"))(torch.from_numpy(crops), changes)
    assert got.dtype == torch.uint8 and got.is_contiguous()
    assert np.abs(expected - got.numpy()).mean() < levels
    assert np.abs(expected - crops).mean() > 5 * levels  # the change itself is far larger


def test_nothing_asked_changes_nothing(crops: np.ndarray) -> None:
    changes = draw(len(crops), AugmentSettings(**NOTHING), np.random.default_rng(0))
    assert torch.equal(BatchAugmentation(torch.device("cpu"))(torch.from_numpy(crops), changes), torch.from_numpy(crops))


def test_changes_have_the_distributions_of_single_crops(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `augment.augment` asks of its steps for 4,000 crops, against as many drawn at once: two-sample tests of each number."""
    seen: dict[str, list[float]] = defaultdict(list)
    numbers = {"warped": lambda m: [*m.flat], "relit": lambda gain, gamma, grey: [*gain, gamma, float(grey)], "blurred": lambda s: [s]}
    numbers |= {"lower_resolution": lambda size: [size], "compress": lambda quality: [quality], "moved": lambda path: [*path]}
    numbers |= {"covered": lambda number: [number], "noisy": lambda deviation, tile: [deviation, tile]}
    settings = AugmentSettings(exposure=0.2, motion=0.2, covered=0.2, noise=0.2)
    for name, wanted in numbers.items():

        def record(crop: np.ndarray, *values: object, name: str = name, wanted=wanted) -> np.ndarray:
            for place, value in enumerate(wanted(*values)):
                seen[f"{name} {place}"].append(value)
            return crop

        monkeypatch.setattr(augment, name, record)
    rng = np.random.default_rng(2)
    for _ in range(4000):
        augment.augment(np.zeros((112, 112, 3), np.uint8), settings, rng)
    changes = draw(4000, settings, np.random.default_rng(3))
    got = {f"warped {place}": changes.places.reshape(-1, 6)[:, place] for place in range(6)}
    got |= {f"relit {place}": column for place, column in enumerate([*changes.gain.T, changes.gamma, changes.grey])}
    got |= {f"moved {place}": changes.path[changes.path.any(1)][:, place] for place in range(2)}
    got |= {f"noisy {place}": changes.noise[changes.noise.any(1)][:, place] for place in range(2)} | {"covered 0": changes.cover[changes.cover > 0]}
    got |= {f"{name} 0": a[a > 0] for name, a in (("blurred", changes.sigma), ("lower_resolution", changes.size), ("compress", changes.quality))}
    assert got.keys() == seen.keys()
    for name, values in seen.items():
        assert ks_2samp(values, got[name].astype(float), method="asymp").pvalue > 1e-3, name
        assert abs(len(values) - len(got[name])) < 5 * np.sqrt(2 * len(values)), name
