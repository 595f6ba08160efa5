"""Which way up a face is, on real photos turned and tilted; and when a camera counts as hanging turned, with looks made up."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from device.config import CameraSettings, Settings
from device.vision import catalogue
from device.vision.camera.frame import turned
from device.vision.camera.source import open_source
from device.vision.detector import Face
from device.vision.images import read_image
from device.vision.recogniser import Recogniser, Sample
from device.vision.upright import SEARCH_SECONDS, UNCLEAR, Hanging, Look, placed_back, remedy, upright_at

PEOPLE = 40
HERE = (100.0, 100.0, 50.0, 60.0)


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    try:
        return Recogniser(Settings())
    except catalogue.ModelError as error:
        pytest.skip(f"models not pulled: {error}")


@pytest.fixture(scope="module")
def photos(shared: Path, recogniser: Recogniser) -> list[NDArray[np.uint8]]:
    """One photo a person in which an upright face is found good."""
    folders = sorted((shared / "faces" / "dev").iterdir())[:PEOPLE]
    images = [read_image(sorted(folder.iterdir())[0]) for folder in folders]
    return [image for image in images if recogniser.still(image)[0].quality.acceptable]


def as_found(recogniser: Recogniser, image: NDArray[np.uint8]) -> list[Sample]:
    """The good faces of a frame, as the terminal takes them from a camera."""
    return [recogniser.sample(image, face) for face in recogniser.detector.detect(image, 12)]


def tilted(image: NDArray[np.uint8], degrees: int) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    return cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)  # type: ignore[return-value]


def test_photos_that_lie_turned_are_turned_back(recogniser: Recogniser, photos: list[NDArray[np.uint8]]) -> None:
    """The crop is the one of the upright photo, pixel for pixel."""
    assert len(photos) > 30
    for image, turn in itertools.product(photos, (90, 180, 270)):
        upright, (found, *_) = recogniser.still(image)[0], recogniser.still(turned(image, 360 - turn))
        assert (found.picture_turn, found.turn, upright.picture_turn) == (turn, 0, 0)
        assert np.array_equal(found.crop, upright.crop)


@pytest.mark.parametrize("name", ["p05914/p05914_0005.jpg", "p07334/p07334_0007.jpg", "p09510/p09510_0004.jpg"])
@pytest.mark.parametrize("turn", [90, 270])
def test_something_else_found_in_a_photo_that_lies_on_its_side_does_not_decide(shared: Path, recogniser: Recogniser, name: str, turn: int) -> None:
    """In these the face itself is not found as it lies, but something that looks like one is."""
    image = read_image(shared / "faces" / "dev" / name)
    found = recogniser.still(turned(image, 360 - turn))[0]
    assert found.picture_turn == turn and np.array_equal(found.crop, recogniser.still(image)[0].crop)


@pytest.mark.parametrize("degrees", [-30, -20, 0, 20, 30])
def test_a_head_that_leans_is_upright_and_an_inverted_one_never(recogniser: Recogniser, photos: list[NDArray[np.uint8]], degrees: int) -> None:
    leaning = [tilted(image, degrees) for image in photos]
    kept = sum(any(sample.quality.acceptable for sample in as_found(recogniser, image)) for image in leaning)
    assert kept >= 0.95 * len(photos)
    for image in leaning:
        inverted = as_found(recogniser, turned(image, 180))
        assert not any(sample.quality.acceptable for sample in inverted)
        assert all("not_upright" in sample.quality.reasons for sample in inverted if sample.turn)


@pytest.mark.parametrize("degrees", [45, 135, 225, 315])
def test_a_photo_turned_by_half_a_quarter_gives_no_template_of_nobody(recogniser: Recogniser, photos: list[NDArray[np.uint8]], degrees: int) -> None:
    """Its landmarks lie as on a level face: nearly all such photos are refused, and hardly one is unlike its upright self."""
    same, wrong = recogniser.same_person(), 0
    for image in photos[:20]:
        found = [sample for sample in recogniser.still(tilted(image, degrees)) if sample.quality.acceptable]
        if found:
            upright, aslant = recogniser.embed([recogniser.still(image)[0], found[0]])
            wrong += float(same.scores(upright[None], aslant[None])[0, 0]) < same.threshold
    assert wrong <= 4


def test_a_face_in_a_photo_that_was_turned_is_placed_where_it_was(recogniser: Recogniser, photos: list[NDArray[np.uint8]]) -> None:
    image = photos[0]
    upright = recogniser.still(image)[0].face
    height, width = image.shape[:2]
    found = recogniser.still(turned(image, 180))[0].face
    assert np.allclose(found.landmarks, np.array([width, height]) - upright.landmarks, atol=0.01)


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_placed_back_by_brute_force(turn: int) -> None:
    """A patch is found again where it was drawn."""
    image = np.zeros((90, 130, 3), np.uint8)
    image[20:40, 30:60] = 255
    rows, columns = np.nonzero(turned(image, turn)[:, :, 0])
    x, y, width, height = columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1
    corners = np.array([(x, y), (x + width, y), (x, y + height), (x + width, y + height), (x, y)], np.float32)
    face = placed_back(Face((float(x), float(y), float(width), float(height)), corners, 0.9), turn, 130, 90)
    assert face.box == (30, 20, 30, 20)
    assert {tuple(point) for point in face.landmarks.tolist()} == {(30, 20), (60, 20), (30, 40), (60, 40)}


@pytest.mark.parametrize(("mounted", "rotate", "mirror"), [*itertools.product((0, 90, 180, 270), (0, 90, 180, 270), (False, True))])
def test_the_remedy_makes_the_picture_upright(mounted: int, rotate: int, mirror: bool) -> None:
    """Whatever the camera gives and the settings say: with the advice followed, the picture is the scene, or its mirror image."""
    scene = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    taken = turned(scene, mounted)
    wanted = turned(scene, 0, mirror)
    shown = turned(taken, rotate, mirror)
    turn = next(turn for turn in (0, 90, 180, 270) if np.array_equal(turned(shown, turn), wanted))
    words = remedy(turn, CameraSettings(rotate=rotate, mirror=mirror))
    assert bool(words) == bool(turn)
    if turn:
        assert f"turned by {turn} degrees" in words
        assert np.array_equal(turned(taken, int(words.rpartition("= ")[2]), mirror), wanted)


def look(time: float, turn: int = 180, x: float = 0.0, score: float = 0.9) -> Look:
    return Look(turn, (HERE[0] + x, *HERE[1:]), time, score)


def told(*looks: Look) -> int:
    hanging = Hanging()
    for one in looks:
        hanging.add(one)
    return hanging.turn(looks[-1].time)


def test_several_turned_faces_over_time_are_a_camera_that_hangs_turned() -> None:
    assert told(*(look(time, 180, 30 * time) for time in range(3))) == 180
    assert told(*(look(time, 270, 30 * time) for time in range(3))) == 270
    assert told(look(0), look(1, x=30)) == 0  # too few
    assert told(*(look(time / 10, x=30 * time) for time in range(3))) == 0  # one moment
    assert told(*(look(time, UNCLEAR, 30 * time) for time in range(3))) == 0


def test_a_poster_upside_down_counts_once() -> None:
    assert told(*(look(time, x=0.5 * (time % 3)) for time in range(50))) == 0


def test_one_person_who_lies_does_not_outweigh_the_others() -> None:
    assert told(*(look(time, 0 if time % 3 else 90, 30 * time) for time in range(30))) == 0


def test_a_camera_that_was_put_right_is_noticed_and_old_looks_are_forgotten() -> None:
    turned_ones = [look(time, 180, 30 * time) for time in range(12)]
    assert told(*turned_ones, *(look(20 + time, 0) for time in range(4))) == 0
    assert told(*turned_ones, *(look(20 + time, 0, score=0.7) for time in range(4))) == 180  # not sure: as of a face printed on a shirt
    hanging = Hanging()
    for one in turned_ones:
        hanging.add(one)
    assert (hanging.turn(12), hanging.turn(12 + 3700)) == (180, 0)


class Counting:
    """A detector that sees nobody."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def detect(self, image: Any) -> list[Face]:
        self.shapes.append(image.shape)
        return []


def test_the_whole_frame_is_searched_at_one_other_turn_now_and_then_only_while_nobody_is_seen() -> None:
    hanging, detector = Hanging(), Counting()
    image = np.zeros((48, 64, 3), np.uint8)
    for tenth in range(100):
        hanging.see(detector, image, tenth / 10, [])  # type: ignore[arg-type]
    assert 10 / SEARCH_SECONDS - 1 <= len(detector.shapes) <= 10 / SEARCH_SECONDS + 1
    assert detector.shapes[:4] == [(48, 64, 3), (64, 48, 3), (64, 48, 3), (48, 64, 3)]
    searches = len(detector.shapes)
    for tenth in range(100, 200):
        hanging.see(detector, image, tenth / 10, [look(tenth / 10, 0)])  # type: ignore[arg-type]
    assert len(detector.shapes) == searches


def test_a_sideways_face_that_is_not_found_as_it_is_is_found_at_its_turn(recogniser: Recogniser, photos: list[NDArray[np.uint8]]) -> None:
    """Photos as small as faces before a camera; and in an upright one nothing is found at another turn."""
    frame = np.full((480, 640, 3), 128, np.uint8)
    for image in photos[:15]:
        small = cv2.resize(image, (120, 120), interpolation=cv2.INTER_AREA)
        frame[180:300, 260:380] = small
        assert all(upright_at(recogniser.detector, frame, turn, 0.0) is None for turn in (90, 180, 270))
        assert all(upright_at(recogniser.detector, turned(frame, 360 - turn), turn, 0.0) for turn in (90, 180, 270))


def test_every_face_of_a_real_clip_counts_and_none_of_it_upside_down(shared: Path, recogniser: Recogniser) -> None:
    with open_source(str(shared / "clips" / "learn.mkv"), CameraSettings()) as source:
        frames = [frame.image for frame in source][::6]
    assert all(sample.turn == 0 for frame in frames for sample in as_found(recogniser, frame) if sample.turn is not None)
    assert not any(sample.quality.acceptable for frame in frames for sample in as_found(recogniser, turned(frame, 180)))
