from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from device.contract import CANONICAL_LANDMARKS
from device.vision.detector import Face
from training.duplicates import duplicates
from training.mislabelled import mislabelled
from training.prepare import prepare
from training.synthetic import draw


def face(scale: float = 1.0) -> Face:
    return Face((0, 0, 112 * scale, 112 * scale), (CANONICAL_LANDMARKS * scale).astype(np.float32), 0.9)


def photo(path: Path, shot: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), draw(0, shot)[:, :, ::-1])
    return path


def test_crops_are_cut_and_drops_are_named(tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "crops"
    names = ["ok", "none", "two", "small"]
    for shot, name in enumerate(names):
        photo(photos / "ann" / f"{name}.png", shot)
    (photos / "ann" / "broken.jpg").write_bytes(b"x")
    found = {draw(0, 0).tobytes(): [face()], draw(0, 1).tobytes(): [], draw(0, 2).tobytes(): [face(), face(0.9)], draw(0, 3).tobytes(): [face(0.3)]}
    outcomes = prepare(photos, out, lambda image: found[image[:, :, ::-1].tobytes()], min_eye_distance=24, workers=2)
    assert {o.photo: o.result for o in outcomes} == {
        "ann/ok.png": "kept",
        "ann/none.png": "no face found",
        "ann/two.png": "several faces of similar size",
        "ann/small.png": "eyes closer than 24 px",
        "ann/broken.jpg": "not a readable image",
    }
    (crop,) = out.glob("*/*.png")
    np.testing.assert_array_equal(cv2.imread(str(crop))[:, :, ::-1], draw(0, 0))  # the landmarks were canonical already


def test_it_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    photos, out, seen = tmp_path / "photos", tmp_path / "crops", []

    def detect(image: np.ndarray) -> list[Face]:
        seen.append(1)
        return [face()]

    photo(photos / "ann" / "a.png", 0)
    prepare(photos, out, detect, 24)
    photo(photos / "ann" / "b.png", 1)
    with (out / "report.tsv").open("a") as report:
        report.write("ann/b.png\tke")  # a kill in the middle of a line
        report.write("\n")
    assert len(prepare(photos, out, detect, 24)) == 2
    assert len(seen) == 2


def test_recompressed_photos_are_duplicates_and_others_are_not() -> None:
    first = cv2.GaussianBlur(draw(1, 0), (0, 0), 2)
    again = cv2.imdecode(cv2.imencode(".jpg", first, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_COLOR)
    assert duplicates(np.stack([first, draw(2, 0), again, draw(3, 0)])) == [(0, 2)]


def test_a_crop_in_the_wrong_folder_is_suggested() -> None:
    rng = np.random.default_rng(0)
    ann, bob = np.eye(8)[0], np.eye(8)[1]
    rows = np.stack([ann, ann, ann, bob, bob, bob, bob]) + rng.normal(0, 0.05, (7, 8))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    people = np.array(["ann", "ann", "ann", "bob", "bob", "bob", "ann"])
    assert mislabelled(rows, people) == [(6, "bob")]
