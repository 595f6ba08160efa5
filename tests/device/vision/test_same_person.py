"""Each photo of a person is judged against the others: known angles, and real photos of known people."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from device.config import Settings
from device.terminal.enrolment import EnrolmentError, check_same, sample_picture
from device.vision.catalogue import ModelError
from device.vision.cohort import Cohort, Comparison
from device.vision.images import read_image
from device.vision.recogniser import Recogniser
from device.vision.same_person import agreeing
from device.vision.visit_looks import VisitPicture
from device.vision.visit_trial import Splits
from tests.refused import refused


def at(*degrees: float) -> NDArray[np.float32]:
    """Embeddings at angles in one plane: the score of two is the cosine of the difference."""
    return np.array([[np.cos(np.radians(angle)), np.sin(np.radians(angle))] for angle in degrees], dtype=np.float32)


@pytest.mark.parametrize(
    ("degrees", "kept"),
    [
        ((0,), [True]),
        ((0, 50), [True, True]),
        ((0, 90), [False, False]),
        ((0, 10, 90), [True, True, False]),
        ((90, 10, 0), [False, True, True]),
        ((0, 10, 90, 100), [False] * 4),  # two people, two photos each
        ((0, 10, 20, 90, 100), [True, True, True, False, False]),  # these two are alike, but are not the person
        ((0, 55, 110, 165), [False] * 4),  # a chain, each like its neighbours only
        ((0, 90, 180), [False] * 3),
    ],
)
def test_the_person_is_whom_most_photos_show(degrees: tuple[float, ...], kept: list[bool]) -> None:
    assert agreeing(at(*degrees), Comparison(0.5))[0].tolist() == kept  # 0.5: 60 degrees


@pytest.mark.parametrize("photos", [2, 3, 8])
def test_a_photo_is_compared_with_the_mean_of_the_others(photos: int) -> None:
    """Photos that share one direction and are otherwise unlike: a pair scores s, a photo and the mean of k others s / sqrt(s + (1 - s) / k)."""
    pair, others = 0.5, photos - 1
    embeddings = np.hstack([np.full((photos, 1), np.sqrt(pair)), np.eye(photos) * np.sqrt(1 - pair)]).astype(np.float32)
    kept, scores = agreeing(embeddings, Comparison(pair - 0.01))
    assert kept.all() and scores == pytest.approx(np.full(photos, pair / np.sqrt(pair + (1 - pair) / others)), abs=1e-5)


def test_two_photos_that_disagree_are_both_named() -> None:
    with refused("enrolment.another_person", "front.jpg", "left.jpg", "0.00", "0.50"):
        check_same(at(0, 90), Comparison(0.5), ["front.jpg", "left.jpg"])
    kept, odd = check_same(at(0, 10, 90), Comparison(0.5), ["front.jpg", "left.jpg", "ben.jpg"])
    assert kept == [0, 1] and len(odd) == 1 and odd[0].startswith("ben.jpg: ")


def test_photos_are_compared_on_the_scale_of_the_threshold() -> None:
    """Two pairs of photos with a cosine of 0.6; both photos of one pair resemble strangers by 0.9: it scores 0.3 + 0.6 - 0.9, the other 0.3 + 0.6."""
    strangers = Cohort(np.array([[127, 9, 0, 0], [127, -9, 0, 0], [127, 0, 0, 0]], np.int8), 2, 0.0, 0.3, 0.1, "made up")
    pair = at(-26.6, 26.6)
    crowded, alone = np.hstack([pair, 0 * pair]), np.hstack([0 * pair, pair])
    assert agreeing(crowded, Comparison(0.5))[0].all()
    assert not agreeing(crowded, Comparison(0.5, strangers))[0].any()
    kept, scores = agreeing(alone, Comparison(0.5, strangers))
    assert kept.all() and scores == pytest.approx([0.9, 0.9], abs=0.01)
    with refused("enrolment.another_person", "score -0.01", "0.50"):
        check_same(crowded, Comparison(0.5, strangers), ["front.jpg", "left.jpg"])


def test_real_people_keep_their_photos_and_strangers_are_left_out(shared: Path) -> None:
    try:
        recogniser = Recogniser(Settings())
    except ModelError as error:
        pytest.skip(f"models not pulled: {error}")
    people = [embedded(recogniser, sorted(folder.iterdir())[:4]) for folder in sorted((shared / "faces/dev").iterdir())[:40]]
    same = recogniser.same_person()
    assert same.cohort is recogniser.embedder.cohort is recogniser.bar(1).cohort is not None
    whole = [agreeing(embeddings, same)[0] for embeddings in people]
    assert np.concatenate(whole).mean() > 0.95
    for person, other in zip(people, people[1:] + people[:1], strict=True):
        kept, _ = agreeing(np.vstack([person[:3], other[:1]]), same)
        assert not kept[3]


def embedded(recogniser: Recogniser, photos: list[Path]) -> NDArray[np.float32]:
    samples = []
    for photo in photos:
        try:
            samples.append(sample_picture(recogniser, read_image(photo), photo.name))
        except EnrolmentError:
            continue  # a poor photo is not what this is about
    return recogniser.embed(samples)


def test_a_trial_of_visits_enrols_no_photo_of_somebody_else() -> None:
    """Three templates of each of many splits: the odd photo is among the visits, never among the templates of the others."""
    splits = Splits(SimpleNamespace(same_person=lambda: Comparison(0.5)), crops=5, templates=3)  # type: ignore[arg-type]
    looks = [VisitPicture(0.0, row, 1.0) for row in at(0, 5, 10, 15, 90)]
    drawn = [splits._split(looks)[0] for _ in range(60)]
    assert not any(look is looks[4] for templates in drawn for look in templates)
    assert {len(templates) for templates in drawn} == {2, 3} and splits.left_out == sum(len(templates) == 2 for templates in drawn)


def test_photos_that_all_differ_are_enrolled_as_they_are() -> None:
    """Nobody could tell which of them show the person: the trial says how often that goes wrong."""
    splits = Splits(SimpleNamespace(same_person=lambda: Comparison(0.5)), crops=1, templates=3)  # type: ignore[arg-type]
    templates, visit = splits._split([VisitPicture(0.0, row, 1.0) for row in at(0, 90, 180, 270)])
    assert (len(templates), len(visit), splits.left_out) == (3, 1, 0)
