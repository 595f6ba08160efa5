"""The demo camera: who is in view at which time, the same pictures each time, and faces that the detector finds."""

from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from device.config import CameraSettings, DetectorSettings
from device.vision import catalogue
from device.vision.camera import demo
from device.vision.camera.source import open_source
from device.vision.catalogue import ModelError
from device.vision.detector import Detector


@pytest.fixture(scope="module")
def stage() -> demo.Stage:
    """Plain coloured cards instead of portraits: enough to check positions and times."""
    hopper = np.full((600, 512, 3), (0, 0, 250), np.uint8)
    collins = np.full((512, 512, 3), (250, 0, 0), np.uint8)
    return demo.Stage([hopper, collins])


@pytest.fixture(scope="module")
def portraits() -> demo.Stage:
    try:
        return demo.Stage()
    except ModelError as error:
        pytest.skip(f"portraits not pulled: {error}")


def in_view(image: NDArray[np.uint8]) -> set[str]:
    blue, _, red = (image[:, :, c].astype(int) for c in range(3))
    return {name for name, more, less in (("hopper", red, blue), ("collins", blue, red)) if (more - less > 150).sum() > 5000}


@pytest.mark.parametrize(("seconds", "who"), [(1, set()), (5, {"hopper"}), (9.2, set()), (12, {"collins"}), (20, {"hopper", "collins"}), (25, set())])
def test_who_is_in_view(stage: demo.Stage, seconds: float, who: set[str]) -> None:
    assert in_view(stage.draw(seconds)) == who


def test_a_picture_depends_on_the_time_alone(stage: demo.Stage) -> None:
    other = demo.Stage([np.full((600, 512, 3), (0, 0, 250), np.uint8), np.full((512, 512, 3), (250, 0, 0), np.uint8)])
    image = stage.draw(5.0)
    assert image.shape == (480, 640, 3) and image.dtype == np.uint8
    assert np.array_equal(image, other.draw(5.0))
    assert not np.array_equal(image, stage.draw(5.05))


def test_it_moves_smoothly_and_the_light_changes(stage: demo.Stage) -> None:
    pictures = [stage.draw(t).astype(np.float32) for t in np.arange(0, 8, 1 / demo.RATE)]
    steps = [np.abs(a - b).mean() for a, b in zip(pictures, pictures[1:], strict=False)]
    assert max(steps) < 20  # grey levels from one picture to the next
    walls = [p[:20, :40].mean() for p in pictures]
    assert max(walls) - min(walls) > 20


def test_one_round_unpaced(stage: demo.Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("it waits"))
    frames = list(demo.DemoRound(500.0, stage))
    assert len(frames) == demo.ROUND_SECONDS * demo.RATE
    assert frames[40].time == 502.0 and not frames[0].live


def test_live_it_keeps_its_rate(portraits: demo.Stage) -> None:
    with open_source("demo", CameraSettings()) as source:
        assert source.live and "Grace Hopper" in source.describe()
        frames = [frame for frame, _ in zip(source, range(10), strict=False)]
    elapsed = frames[-1].time - frames[0].time
    assert 0.3 < elapsed < 10
    assert (frames[-1].index - frames[0].index) >= 9


def test_faces_are_found_at_the_right_places(portraits: demo.Stage) -> None:
    try:
        detector = Detector(catalogue.path("yunet"), DetectorSettings())
    except ModelError as error:
        pytest.skip(f"detector not pulled: {error}")
    counts = {seconds: len(detector.detect(portraits.draw(seconds))) for seconds in (1.0, 5.0, 12.0, 20.0)}
    assert counts == {1.0: 0, 5.0: 1, 12.0: 1, 20.0: 2}
    eyes = [face.eye_distance for t in np.arange(3.5, 7.5, 0.5) for face in detector.detect(portraits.draw(float(t)))]
    assert min(eyes) >= 40 and max(eyes) <= 150


def test_the_person_who_is_enrolled(portraits: demo.Stage) -> None:
    name, image = demo.demo_enrolment()
    assert name == "Grace Hopper" and image.shape == (600, 512, 3)
