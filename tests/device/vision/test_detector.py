"""YuNet's candidates are merged into one face each, with steadier landmarks than those of the best candidate."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from device.config import DetectorSettings
from device.vision import catalogue
from device.vision.detector import Detector, Face, joined, merged, overlap
from device.vision.images import read_image


@pytest.fixture(scope="module")
def yunet() -> Path:
    try:
        return catalogue.path("yunet")
    except catalogue.ModelError as error:
        pytest.skip(f"models not pulled: {error}")


def test_finds_the_faces_that_opencv_keeps(yunet: Path, shared: Path) -> None:
    detector = Detector(yunet, DetectorSettings())
    faces = 0
    for path in sorted((shared / "groups").glob("*.jpg")):
        image = cv2.resize(read_image(path), (640, 480))
        opencv = cv2.FaceDetectorYN.create(str(yunet), "", (640, 480), 0.6, 0.3, 200)
        _, rows = opencv.detect(image)
        found = detector.find(image, (640, 480))
        assert [face.score for face in found] == pytest.approx(sorted(rows[:, 14], reverse=True), abs=1e-6), path.name
        assert all(max(overlap(face.box, tuple(row[:4])) for row in rows) > 0.6 for face in found), path.name
        faces += len(found)
    assert faces > 40


def test_merged_landmarks_depend_less_on_the_crop_of_the_picture(yunet: Path, shared: Path) -> None:
    """Each portrait is cut in three ways, a few px apart; measured is how far its landmarks move, in eye distances."""
    detector = Detector(yunet, DetectorSettings())
    moved: dict[str, list[float]] = {"merged": [], "best": []}
    for folder in sorted((shared / "faces/dev").iterdir())[:60]:
        image = read_image(next(iter(sorted(folder.iterdir()))))
        readings: dict[str, list[np.ndarray]] = {"merged": [], "best": []}
        for cut in (0, 5, 11):
            window = np.ascontiguousarray(image[cut:, cut:])
            best = cv2.FaceDetectorYN.create(str(yunet), "", (window.shape[1], window.shape[0]), 0.6, 0.3, 200)
            _, rows = best.detect(window)
            found = detector.find(window, (window.shape[1], window.shape[0]))
            if rows is None or not found:
                continue
            readings["best"].append(max(rows, key=lambda row: row[14])[4:14].reshape(5, 2) + cut)
            readings["merged"].append(found[0].landmarks + cut)
        if len(readings["best"]) == 3:
            for name, sets in readings.items():
                eyes = np.hypot(*(sets[0][1] - sets[0][0]))
                moved[name].append(float(np.std(sets, axis=0).mean() / eyes))
    assert len(moved["best"]) > 40
    assert np.mean(moved["merged"]) < 0.75 * np.mean(moved["best"]), {name: np.mean(values) for name, values in moved.items()}


def test_candidates_without_a_valid_box_are_dropped() -> None:
    row = np.array([10, 10, 40, 40, *np.linspace(12, 48, 10), 0.9], dtype=np.float32)
    bad = [row.copy() for _ in range(3)]
    bad[0][5], bad[1][2], bad[2][14] = np.nan, 0, np.inf
    weaker, other = row.copy(), row.copy()
    weaker[:14] += 4
    weaker[2:4], weaker[14] = 40, 0.45
    other[:2] += 100
    faces = merged(np.array([*bad, weaker, row, other]))
    assert len(faces) == 2
    assert faces[0][:2] == pytest.approx([10 + 4 / 3, 10 + 4 / 3], abs=1e-4)  # the better candidate has two thirds of the weight
    assert faces[0][14] == pytest.approx(0.9)
    assert merged(np.empty((0, 15), dtype=np.float32)) == []


def face(eyes: float, x: float = 0.0) -> Face:
    """A face with its eyes so many px apart, at a place."""
    landmarks = np.array([[0.5, 0.8], [1.5, 0.8], [1, 1.4], [0.6, 2], [1.4, 2]], dtype=np.float32) * eyes
    return Face((x, 0.0, 2 * eyes, 2.6 * eyes), landmarks + np.array([x, 0], dtype=np.float32), 0.9)


def test_two_searches_give_what_each_can_see() -> None:
    """A frame of 1600 px, searched whole and at 256 px: eyes 100 px apart are 16 px apart in the second search."""
    small, middle, large, part = face(20), face(150, 400), face(350, 800), face(260, 900)
    assert joined([small, middle, part], [middle, large], 1.0, 0.16, agreed=True) == [small, middle, large]
    assert joined([small, middle, part], [middle, large], 1.0, 0.16, agreed=False) == [small, middle, large]
    only_wide, only_coarse = face(120, 1000), face(70, 1300)
    assert joined([only_wide, middle], [middle, only_coarse], 1.0, 0.16, agreed=True) == [middle]
    assert joined([only_wide, middle], [middle, only_coarse], 1.0, 0.16, agreed=False) == [only_wide, middle, only_coarse]
    assert joined([], [only_coarse], 1.0, 0.16, agreed=True) == [only_coarse], "an unsure face is more than none"


@pytest.mark.parametrize("upright", [False, True])
def test_a_face_too_large_for_the_input_is_found_in_wide_and_in_tall_frames(yunet: Path, upright: bool) -> None:
    """Eyes 500 px apart in a frame of 1920 px are 208 px apart at the input, where the net loses faces."""
    portrait = read_image(catalogue.path("portrait-hopper"))
    detector = Detector(yunet, DetectorSettings())
    small = detector.detect(portrait)[0]
    scale = 500 / small.eye_distance
    width, height = (1080, 1920) if upright else (1920, 1080)
    shift = np.array([width / 2, height / 2]) - scale * np.array(small.centre)
    frame = cv2.warpAffine(portrait, np.array([[scale, 0, shift[0]], [0, scale, shift[1]]]), (width, height), borderMode=cv2.BORDER_REPLICATE)
    found = detector.detect(np.asarray(frame, np.uint8))
    assert len(found) == 1 and found[0].eye_distance == pytest.approx(500, rel=0.15)  # the second search bends the shape a little
    assert found[0].centre == pytest.approx((width / 2, height / 2), abs=60)
