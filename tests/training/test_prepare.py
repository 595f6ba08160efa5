from __future__ import annotations

import re
import stat
from pathlib import Path
from urllib.parse import unquote

import cv2
import numpy as np

from device.config import DetectorSettings
from device.contract import CANONICAL_LANDMARKS
from device.vision import catalogue
from device.vision.detector import Detector, Face
from device.vision.images import read_image
from tests.refused import refused
from training.duplicates import difference_hash, near_pairs
from training.mislabelled import mislabelled
from training.photos import CropFolder, listed
from training.prepare import Search, prepare, search_by
from training.prepare_page import write
from training.synthetic import draw


def face(scale: float = 1.0) -> Face:
    return Face((0, 0, 112 * scale, 112 * scale), (CANONICAL_LANDMARKS * scale).astype(np.float32), 0.9)


def photo(path: Path, shot: int, side: int = 112) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.resize(draw(0, shot)[:, :, ::-1], (side, side), interpolation=cv2.INTER_NEAREST))
    return path


def found_faces(found: dict[int, list[Face]]) -> Search:
    """A search that knows drawn photos by their number."""
    known = {draw(0, shot).tobytes(): faces for shot, faces in found.items()}
    return lambda image: (image, known[cv2.resize(image[:, :, ::-1], (112, 112)).tobytes()])


def test_crops_are_cut_and_drops_are_named(tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "crops"
    for shot, name in enumerate(["ok", "none", "two", "small"]):
        photo(photos / "ann" / f"{name}.png", shot, side=224)
    photo(photos / "ann" / "crop.png", 4)
    (photos / "ann" / "broken.jpg").write_bytes(b"x")
    (photos / "ann" / "notes.docx").write_bytes(b"x")
    (photos / "ann" / "._ok.png").write_bytes(b"x")
    (photos / "ann" / "link.jpg").symlink_to("nowhere.jpg")
    (photos / "ben").mkdir()
    search = found_faces({0: [face(2)], 1: [], 2: [face(2), face(1.9)], 3: [face(0.3)]})
    outcomes = prepare(listed(photos), CropFolder(out), search, min_eye_distance=24, workers=2)
    assert {o.photo: o.result for o in outcomes if o.kept} == {"ann/ok.png": "kept", "ann/crop.png": "kept, aligned already"}
    reasons = {o.photo: o.result for o in outcomes if not o.kept}
    assert reasons.pop("ann/broken.jpg").startswith("is not a JPEG")
    assert reasons == {
        "ann/none.png": "no upright face found",
        "ann/two.png": "several faces of similar size",
        "ann/small.png": "eyes closer than 24 px",
        "ann/notes.docx": "no picture by its name (.docx)",
        "ann/link.jpg": "the link leads nowhere",
        "ben/": "the folder is empty",
    }
    assert sorted(line.split("\t")[0] for line in (out / "left_out.tsv").read_text().splitlines()) == sorted([*reasons, "ann/broken.jpg"])
    np.testing.assert_array_equal(cv2.imread(str(out / "ann" / "crop.png.png"))[:, :, ::-1], draw(0, 4))
    difference = cv2.imread(str(out / "ann" / "ok.png.png"))[:, :, ::-1].astype(int) - draw(0, 0)
    assert np.abs(difference).mean() < 4  # the landmarks of the enlarged drawing are the canonical ones


def test_it_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    photos, out, seen = tmp_path / "photos", tmp_path / "crops", []

    def search(image: np.ndarray) -> tuple[np.ndarray, list[Face]]:
        seen.append(1)
        return image, [face(2)]

    photo(photos / "ann" / "a.png", 0, side=224)
    prepare(listed(photos), CropFolder(out), search, 24)
    photo(photos / "ann" / "b.png", 1, side=224)
    with (out / "report.tsv").open("a") as report:
        report.write("ann/b.png\tke")  # a kill in the middle of a line
        report.write("\n")
    assert len(prepare(listed(photos), CropFolder(out), search, 24)) == 2
    assert len(seen) == 2


def test_nobody_is_in_both_parts_and_later_people_move_nobody(tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "crops"

    def placed() -> dict[str, str]:
        prepare(listed(photos), CropFolder(out, parts=True), lambda image: (image, []), 24)
        return {file.parent.name: file.parent.parent.name for file in out.glob("*/*/*.png")}

    for person in range(0, 90, 2):
        photo(photos / f"p{person}" / "1.png", person)
    before = placed()
    for person in range(1, 90, 2):
        photo(photos / f"p{person}" / "1.png", person)
    after = placed()
    assert len(after) == len(list(out.glob("*/*/*.png"))) == 90 and before.items() <= after.items()
    assert 18 <= list(after.values()).count("held_out") <= 42  # of 90, a third: mean 30, 2.7 standard deviations
    with refused("photos.parts", "--hold-out"):
        CropFolder(out).check()


def test_a_picture_that_is_not_upright_is_turned() -> None:
    """Landmarks of an inverted face are in upright order: its crop would be somebody else."""
    upright = read_image(catalogue.path("portrait-hopper"))
    search = search_by(Detector(catalogue.path("yunet"), DetectorSettings(min_eye_distance=24)))
    image, faces = search(upright)
    for code in (cv2.ROTATE_180, cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_90_COUNTERCLOCKWISE):
        again, found = search(cv2.rotate(upright, code))
        np.testing.assert_array_equal(again, image)
        np.testing.assert_allclose(found[0].landmarks, faces[0].landmarks, atol=0.1)


def test_the_page_shows_what_is_to_be_checked(tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "crops"
    for person, shot in (("ann", 0), ("ann", 1), ("ben", 2), ("ben", 3)):
        photo(photos / person / f"{shot}.png", shot)
    photo(photos / "ben" / "0 again.png", 0)
    (photos / "ben" / "x.jpg").write_bytes(b"x")
    found = listed(photos)
    outcomes = prepare(found, CropFolder(out), lambda image: (image, []), 24)
    of = {draw(0, shot).tobytes(): row for shot, row in enumerate(np.eye(2, dtype=np.float32)[[0, 0, 1, 1]])}
    page = write(CropFolder(out), found, {o.photo: o.result for o in outcomes if not o.kept}, lambda crops: np.stack([of[crop.tobytes()] for crop in crops]))
    text = page.path.read_text(encoding="utf-8")
    assert (page.duplicates, page.mislabelled) == (1, 1)
    assert "the same photo under two people" in text and "ben/x.jpg" in text
    shown = set(re.findall(r'src="([^"]+)"', text))
    assert {unquote(name) for name in shown} == {crop.relative_to(out).as_posix() for crop in out.glob("*/*.png")}
    assert stat.S_IMODE(page.path.stat().st_mode) == 0o600


def test_recompressed_photos_are_duplicates_and_others_are_not() -> None:
    first = cv2.GaussianBlur(draw(1, 0), (0, 0), 2)
    again = cv2.imdecode(cv2.imencode(".jpg", first, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_COLOR)
    assert near_pairs(np.stack([difference_hash(crop) for crop in (first, draw(2, 0), again, draw(3, 0))])) == [(0, 2)]


def test_a_crop_in_the_wrong_folder_is_suggested() -> None:
    rng = np.random.default_rng(0)
    ann, bob = np.eye(8)[0], np.eye(8)[1]
    rows = np.stack([ann, ann, ann, bob, bob, bob, bob]) + rng.normal(0, 0.05, (7, 8))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    people = np.array(["ann", "ann", "ann", "bob", "bob", "bob", "ann"])
    assert mislabelled(rows, people) == [(6, "bob")]
