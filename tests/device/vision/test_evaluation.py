"""The trial: intervals against known values, counts on real faces against their own small recount."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from device.config import Settings
from device.terminal.enrolment import EnrolmentError, sample_picture
from device.vision import catalogue, evaluation, visit_looks
from device.vision.detector import Face
from device.vision.evaluation import Rate, equal_threshold, run_trial
from device.vision.gallery import Match
from device.vision.quality import Quality
from device.vision.recogniser import Recogniser, Sample
from tests.refused import refused


def quietly(paths: Sequence[Path], words: str) -> Iterable[Path]:
    return paths


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    try:
        return Recogniser(Settings())
    except catalogue.ModelError as error:
        pytest.skip(f"models not pulled: {error}")


@pytest.mark.parametrize(("count", "of", "low", "high"), [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (1, 100, 0.0018, 0.0545)])
def test_interval_equals_published_values(count: int, of: int, low: float, high: float) -> None:
    assert Rate(count, of).interval == pytest.approx((low, high), abs=1e-4)


def test_counts_on_real_faces(recogniser: Recogniser, shared: Path, tmp_path: Path) -> None:
    people = sorted((shared / "faces/dev").iterdir())[:4]
    for person in people:
        shutil.copytree(person, tmp_path / "staff" / person.name)
    (tmp_path / "strangers").mkdir()
    stranger = sorted((shared / "faces/strangers").iterdir())[0]
    shutil.copy(stranger, tmp_path / "strangers")
    enrolled_photo = min(people[0].iterdir())
    shutil.copy(enrolled_photo, tmp_path / "strangers" / f"own{enrolled_photo.suffix}")  # an "unknown" who is enrolled: must count as false positive
    (tmp_path / "staff" / people[1].name / "z.jpg").write_text("no picture")
    trial = run_trial(recogniser, tmp_path / "staff", tmp_path / "strangers", quietly)
    assert trial.people + trial.not_enrolled == 4
    assert trial.fpir == Rate(1, 2)
    assert trial.unusable >= 1 and trial.fnir.count >= 1
    photos = {person.name: len(list(person.iterdir())) for person in (tmp_path / "staff").iterdir()}
    assert trial.fnir.of == sum(photos.values()) - 4 or trial.not_enrolled
    assert trial.threshold == recogniser.threshold(4)


class Doubtful:
    """A recogniser that finds a curtain in every photo, larger than the face beside it."""

    def __init__(self, *reasons: tuple[str, ...]) -> None:
        quality = Quality(0.9, (), 40.0, 0.0, 0.0, 0.0, 0.2, 120.0, 40.0)
        face = Face((0.0, 0.0, 50.0, 50.0), np.zeros((5, 2), np.float32), 0.9)
        self.samples = [Sample(face, np.full((112, 112, 3), n, np.uint8), dataclasses.replace(quality, reasons=why)) for n, why in enumerate(reasons)]

    def still(self, image: Any) -> list[Sample]:
        return self.samples

    def embed(self, samples: Sequence[Sample]) -> Any:
        return np.array([[sample.crop[0, 0, 0]] for sample in samples], np.float32)


@pytest.mark.parametrize(
    ("reasons", "used"), [((("not_sure",), ()), 1), (((), ("not_sure",)), 0), ((("not_sure", "flat"), ("blurred",)), None), ((("not_sure",),), None)]
)
def test_what_is_surely_no_face_stands_in_nobodys_way(tmp_path: Path, reasons: tuple[tuple[str, ...], ...], used: int | None) -> None:
    """As at an enrolment: the largest of the faces that are sure is the one of the photo."""
    recogniser: Any = Doubtful(*reasons)
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "._a.png").write_bytes(b"left behind")
    embedding, looks = evaluation._embedding(recogniser, tmp_path / "a.png"), visit_looks._photo_looks(recogniser, tmp_path)
    assert (None if embedding is None else int(embedding[0])) == used and [int(look.embedding[0]) for look in looks] == ([] if used is None else [used])
    assert [path.name for path in evaluation._photos(tmp_path)] == ["a.png"]
    if used is None:
        with pytest.raises(EnrolmentError):
            sample_picture(recogniser, np.zeros((8, 8, 3), np.uint8), "a.png")
    else:
        assert sample_picture(recogniser, np.zeros((8, 8, 3), np.uint8), "a.png").crop[0, 0, 0] == used


def test_nothing_to_search_is_said(recogniser: Recogniser, tmp_path: Path) -> None:
    with refused("trial.too_few", "0 people"):
        run_trial(recogniser, tmp_path, tmp_path, quietly)


@pytest.mark.parametrize(("fpir", "passing"), [(0.0, 0), (0.2, 1), (0.4, 2), (0.99, 3)])
def test_the_equal_threshold_lets_through_what_the_fpir_allows(fpir: float, passing: int) -> None:
    """Of five searches one has no usable face and one is too close between two people."""
    matches = [Match(0, 0.5, 0.2), Match(1, 0.3, 0.1), Match(2, 0.9, 0.01), Match(3, 0.4, None)]
    threshold = equal_threshold(matches, 5, fpir, 0.05)
    assert sum(match.score >= threshold for match in matches if match.lead is None or match.lead >= 0.05) == passing


def test_strangers_fill_the_gallery_and_are_not_searched(recogniser: Recogniser, shared: Path, tmp_path: Path) -> None:
    for person in sorted((shared / "faces/dev").iterdir())[:2]:
        shutil.copytree(person, tmp_path / "staff" / person.name)
    (tmp_path / "strangers").mkdir()
    for photo in sorted((shared / "faces/strangers").iterdir())[:6]:
        shutil.copy(photo, tmp_path / "strangers")
    trial = run_trial(recogniser, tmp_path / "staff", tmp_path / "strangers", quietly, gallery_size=4)
    assert trial.people == 4 and trial.fpir.of <= 4 - trial.not_enrolled
    assert trial.threshold == recogniser.threshold(4)


def test_strangers_are_named_no_more_often_than_the_card_says(shared: Path) -> None:
    """The shipped int8 model, its own thresholds, 300 strangers; FPIR 10 %, because 300 searches show nothing of 1 %."""
    settings = Settings()
    settings = dataclasses.replace(settings, embedder=dataclasses.replace(settings.embedder, model="clockface-edge-int8"))
    settings = dataclasses.replace(settings, decision=dataclasses.replace(settings.decision, fpir=0.1))
    trial = run_trial(Recogniser(settings), shared / "faces/dev", shared / "faces/strangers", quietly)
    assert trial.expected_fpir is not None and trial.fpir.of == 300
    low, high = trial.expected_fpir
    assert low < 1 - 0.9 ** (trial.people / 200) < high  # the threshold for 200 people, carried over
    assert trial.fpir.interval[0] <= high
