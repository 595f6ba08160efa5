"""What a quality measure is worth: statistics against hand-made crops and a slow recount, spoilt pictures against closed forms."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from device.vision import catalogue
from device.vision.detector import Face
from export.__main__ import main
from export.quality import FPIRS, Draw, best_of_three, draws, likeness, mean, missed, table
from export.shots import UNWEIGHTED, Shots, exposed
from export.spoilt import KINDS, spoilt, turned

FACE = Face((30.0, 30.0, 60.0, 60.0), np.array([[45, 50], [75, 50], [60, 65], [50, 80], [70, 80]], np.float32), 0.9)


def shots(person: list[int], take: list[int], spoiled: list[bool], embedding: np.ndarray) -> Shots:
    units = embedding / np.linalg.norm(embedding, axis=1, keepdims=True)
    weights = {UNWEIGHTED: np.ones(len(units))}
    return Shots(np.array(person), np.array(take), np.array(spoiled), units, weights, np.ones(len(units), np.bool_))


def crowd(people: int, takes: int, seed: int) -> Shots:
    """Everybody has a direction, and each crop noise of its own; measure `right` says how little, `wrong` how much."""
    rng = np.random.default_rng(seed)
    person, take, spoiled = (part.ravel() for part in np.meshgrid(np.arange(people), np.arange(takes), [False, True], indexing="ij"))
    noise = rng.uniform(0.2, 3.0, len(person)) * np.where(spoiled, 1.0, 0.3)
    ways = rng.normal(size=(people, 16))
    made = shots(person.tolist(), take.tolist(), spoiled.tolist(), ways[person] + noise[:, None] * rng.normal(size=(len(person), 16)))
    made.weights.update(right=1 / noise**2, wrong=noise)
    return made


def test_a_crop_is_compared_with_unspoilt_crops_of_other_takes() -> None:
    found = likeness(shots([0, 0, 0, 0, 1], [0, 0, 1, 1, 0], [False, True, False, True, False], np.array([[1, 0], [0, 1], [1, 1], [-1, 0], [1, 0]], float)))
    assert found[:4] == pytest.approx([np.sqrt(0.5), np.sqrt(0.5), np.sqrt(0.5), -1.0])
    assert np.isnan(found[4])  # the person has no other take


def test_the_crop_with_the_highest_measure_is_chosen() -> None:
    three = shots([0, 0, 0, 1, 1, 1, 2], [0, 1, 2, 0, 1, 2, 0], [False] * 7, np.ones((7, 2)))
    cosine = np.array([0.1, 0.2, 0.6, 0.9, 0.3, 0.4, np.nan])
    assert best_of_three(three, np.array([3, 1, 2, 5, 6, 7, 99.0]), cosine, 0) == pytest.approx((0.1 + 0.4) / 2)


def test_a_mean_is_weighted_and_leaves_out_what_is_not_there() -> None:
    embedding = np.array([[1, 0], [0, 1], [0.6, 0.8]])
    found = mean(embedding, np.array([[0, 1, -1], [2, -1, -1], [-1, -1, -1]]), np.array([3.0, 4.0, 1.0]))
    assert found == pytest.approx(np.array([[0.6, 0.8], [0.6, 0.8], [0.0, 0.0]]))


def test_templates_are_unspoilt_and_a_visit_has_other_photos_of_the_same_person() -> None:
    some = crowd(6, 8, 0)
    for enrolled, strangers, templates, visits in draws(some, 5, 4, 0):
        assert sorted([*enrolled, *strangers]) == list(range(6)) and len(enrolled) == len(strangers)
        assert not some.spoilt[templates].any() and some.spoilt[visits].any()
        for person in range(6):
            rows = [*templates[person], *visits[person]]
            assert set(some.person[rows]) == {person} and sorted(some.take[rows]) == list(range(8))


def test_missed_visits_equal_a_slow_recount() -> None:
    some = crowd(12, 8, 1)
    drawn = list(draws(some, 3, 20, 2))
    weight = some.weights["right"]
    assert missed(some, weight, drawn) == pytest.approx(recount(some, weight, drawn))


def recount(some: Shots, weight: np.ndarray, drawn: list[Draw]) -> np.ndarray:
    def average(rows: np.ndarray, parts: np.ndarray) -> np.ndarray:
        total = sum(part * some.embedding[row] for row, part in zip(rows, parts, strict=True))
        return np.asarray(total / np.linalg.norm(total))

    own: list[tuple[int, float]] = []
    foreign: list[float] = []
    for enrolled, strangers, templates, visits in drawn:
        gallery = {person: average(templates[person], np.ones(3)) for person in enrolled}
        for person in [*enrolled, *strangers]:
            visit = average(visits[person], weight[visits[person]])
            scores = {other: float(visit @ template) for other, template in gallery.items()}
            best = max(scores, key=lambda other: scores[other])
            if person in gallery:
                own.append((person, scores[person] if best == person else -2.0))
            else:
                foreign.append(scores[best])
    found = np.zeros((len(FPIRS), 12))
    for index, fpir in enumerate(FPIRS):
        bar = sorted(foreign, reverse=True)[int(fpir * len(foreign))]  # this one must not pass
        for person in range(12):
            scores_ = [score for who, score in own if who == person]
            found[index, person] = sum(score <= bar for score in scores_) / len(scores_)
    return found


def test_the_measure_that_knows_the_noise_is_first_and_the_one_that_is_wrong_is_last() -> None:
    rows = table(crowd(40, 8, 3), 20, 0)
    assert [row.name for row in rows] == ["right", UNWEIGHTED, "wrong"]
    assert rows[0].rank > 0.5 > -0.5 > rows[2].rank and rows[1].rank == 0.0
    assert rows[0].best > rows[1].best > rows[2].best


def test_few_people_give_no_fnir() -> None:
    rows = table(crowd(5, 8, 3), 20, 0)
    assert rows[0].name == "right" and all(len(row.once) == 0 for row in rows)
    assert len(rows[0].cells(rows[1])) == 3


def test_the_exposed_output_is_the_embedding_before_its_normalisation(float_model: Path) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3), np.uint8)
    units, raw = exposed(float_model).run(None, {"crops": crops})
    lengths = np.linalg.norm(raw, axis=1, keepdims=True)
    assert np.abs(raw / lengths - units).max() < 1e-6 and np.ptp(lengths) > 0


def test_the_nose_moves_and_the_rest_stays() -> None:
    ramp = np.repeat(np.repeat(np.arange(120, dtype=np.uint8)[None, :, None], 120, 0), 3, 2)  # grey level = column
    moved = turned(ramp, FACE, 6.0)
    assert moved[65, 60, 0] == 60 - 6  # what was 6 px to the left of the nose is there now
    assert np.abs(moved[::119, ::119].astype(int) - ramp[::119, ::119]).max() <= 1


def test_each_kind_spoils_in_its_way() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(60, 200, (120, 120, 3), np.uint8)
    made = {kind: spoilt(image, FACE, kind, rng) for kind in KINDS}
    assert 120 * 16 / 30 - 1 <= made["small"].shape[0] <= 120 * 24 / 30 + 1
    assert 0.08 * image.mean() < made["dark"].mean() < 0.42 * image.mean()
    assert made["blurred"].std() < 0.7 * image.std() and made["blurred"].mean() == pytest.approx(image.mean(), abs=1)
    assert (made["turned"][60:70, 55:65] != image[60:70, 55:65]).mean() > 0.9


def test_the_command_prints_every_measure(shared: Path, float_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        catalogue.path("yunet")
    except catalogue.ModelError:
        pytest.skip("models not pulled; run `make setup`")
    for person in sorted((shared / "faces/dev").iterdir())[:4]:
        shutil.copytree(person, tmp_path / person.name)
    assert main(["quality", str(float_model), str(tmp_path), "--gate"]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = {line.split("|")[1].strip() for line in lines[3:]}
    assert "of 4 people" in lines[0] and {"score", "embedding norm", "sharpness", "pose", "size", "detection score", "contrast", UNWEIGHTED} < names
    best = [float(line.split("|")[3]) for line in lines[3:]]
    assert best == sorted(best, reverse=True)


def test_a_folder_without_people_is_refused(float_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quality", str(float_model), str(tmp_path)]) == 1
    assert "one sub-folder of photos or clips per person" in capsys.readouterr().err
