"""End to end with the real models on real clips: a phone with somebody's face, then that person; a poster of somebody in view while they come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from device.config import CameraSettings, LivenessSettings, Settings
from device.storage.records import Punch
from device.storage.store import Store
from device.terminal.enrolment import capture, enrol
from device.terminal.guided_capture import GuidedCapture
from device.terminal.pipeline import Pipeline
from device.vision import catalogue
from device.vision.camera.source import Frame, open_source
from device.vision.detector import Face
from device.vision.liveness import Judgement
from device.vision.recogniser import Recogniser
from tests.refused import refused

SETTINGS = Settings(liveness=LivenessSettings(mode="enforce"))
LATER = 3600.0  # s


@pytest.fixture(scope="module")
def recogniser(shared: Path) -> Recogniser:
    try:
        return Recogniser(SETTINGS)
    except catalogue.ModelError as error:
        pytest.skip(f"models not pulled: {error}")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "clockface.db") as opened:
        yield opened


def frames(clip: Path, start: float = LATER, seconds: float = 4.0) -> list[Frame]:
    """The first seconds of a clip, ten frames of each: no more of them are searched."""
    found: list[Frame] = []
    with open_source(str(clip), CameraSettings(), start=start) as source:
        for frame in source:
            if frame.time - start > seconds:
                break
            if not found or frame.time - found[-1].time >= 0.095:
                found.append(frame)
    return found


def enrolled(store: Store, recogniser: Recogniser, clip: Path) -> int:
    samples = capture(recogniser, frames(clip))
    return enrol(store, recogniser, "Ada", None, samples, ["clip"] * len(samples)).id


def played(pipeline: Pipeline, shown: Iterable[Frame]) -> list[Punch]:
    return [punch for frame in shown for _, punch in pipeline.process(frame).punches]


def test_a_phone_with_somebodys_face_is_refused_and_the_person_then_recorded(shared: Path, recogniser: Recogniser, store: Store) -> None:
    person = enrolled(store, recogniser, shared / "pad/clips/a_real.webm")
    pipeline = Pipeline(SETTINGS, recogniser, store, "door")
    assert played(pipeline, frames(shared / "pad/clips/a_phone.webm")) == []
    assert store.refusals().counts == {"picture": 1} and store.punches() == []
    last = store.refusals().latest
    assert last is not None and last.score is not None and last.score < 0.1
    [punch] = played(pipeline, frames(shared / "pad/clips/a_real.webm", 2 * LATER))
    assert punch.person_id == person and punch.liveness is not None and punch.liveness > 0.5
    assert store.punches() == [punch] and store.refusals().total == 1


@pytest.mark.parametrize("clip", ["a_phone.webm", "d_phone.mp4"])
def test_nobody_is_enrolled_by_a_phone(shared: Path, recogniser: Recogniser, clip: str) -> None:
    shown = frames(shared / "pad/clips" / clip, seconds=7.0)
    with refused("enrolment.not_living"):
        capture(recogniser, shown)
    guided = GuidedCapture(recogniser, seconds_a_view=2.0)
    states = [guided.add(frame) for frame in shown]
    assert (states[-1].state, states[-1].reason) == ("failed", "turn_to_light")


def test_people_are_enrolled_by_the_camera(shared: Path, recogniser: Recogniser) -> None:
    for clip in ("pad/clips/a_real.webm", "pad/clips/f_real_1.mp4", "clips/night.mkv"):
        assert len(capture(recogniser, frames(shared / clip))) >= 2


class KnowsThePoster:
    """The real model, except for the corner where the poster hangs: a picture that is pasted into a frame has none of the traces of one that was filmed."""

    def __init__(self, recogniser: Recogniser) -> None:
        assert recogniser.liveness is not None
        self.card, self._model = recogniser.liveness.card, recogniser.liveness

    def judge(self, image: NDArray[np.uint8], face: Face) -> Judgement:
        return Judgement(0.01) if face.centre[0] < 160 and face.centre[1] < 200 else self._model.judge(image, face)


def with_poster(image: NDArray[np.uint8], poster: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image = image.copy()
    image[: len(poster), : poster.shape[1]] = poster
    return image


def test_a_poster_does_not_hold_back_the_person_on_it(shared: Path, recogniser: Recogniser, store: Store) -> None:
    person = enrolled(store, recogniser, shared / "clips/again.mkv")
    picture = frames(shared / "clips/help.mkv")[5].image
    [face] = recogniser.detector.detect(picture)
    x, y = (round(value) for value in face.centre)
    poster = cv2.GaussianBlur(picture[y - 100 : y + 100, x - 80 : x + 80], (0, 0), 0.5)
    wall = np.full_like(picture, 150)
    times = np.arange(LATER, LATER + 70.0, 0.25)
    twin = recogniser.for_thread()
    twin.liveness = KnowsThePoster(recogniser)  # type: ignore[assignment]
    pipeline = Pipeline(SETTINGS, twin, store, "door")
    assert played(pipeline, [Frame(with_poster(wall, poster), at, 0, live=True) for at in times]) == []
    assert pipeline.picture_in_view and 1 <= store.refusals().total <= 5
    coming = [Frame(with_poster(frame.image, poster), frame.time, 0, live=True) for frame in frames(shared / "clips/brother.mkv", times[-1] + 0.1)]
    [punch] = played(pipeline, coming)
    assert punch.person_id == person and store.refusals().total <= 5
