"""Thresholds of open-set search, checked against a known law: cosines of random directions follow a beta distribution."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy import stats

from device.contract import ModelCard
from device.vision import catalogue
from export.__main__ import main
from export.calibrate import FARTHEST, FEWEST, SIZES, NonMated, exact_interval, false_match_rate, identification_rate, operating_points
from export.crops import check_aligned, first_of_pairs, from_folder, repeated
from tests.refused import refused

D = 16


def directions(people: int, seed: int, size: int = D) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=(people, size)))


def unit(values: np.ndarray) -> np.ndarray:
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def true_rate(threshold: float, size: int = D) -> float:
    return float(stats.beta.sf((threshold + 1) / 2, (size - 1) / 2, (size - 1) / 2))


def true_threshold(rate: float, size: int = D) -> float:
    return float(2 * stats.beta.isf(rate, (size - 1) / 2, (size - 1) / 2) - 1)


@pytest.mark.parametrize(("size", "fpir"), [(1, 0.5), (10, 0.1), (50_000, 0.001)])
def test_false_match_rate_inverts_the_search(size: int, fpir: float) -> None:
    assert 1 - (1 - false_match_rate(size, fpir)) ** size == pytest.approx(fpir, rel=1e-6)
    assert identification_rate(size, false_match_rate(size, fpir)) == pytest.approx(fpir, rel=1e-6)


def test_the_exact_interval_inverts_the_binomial_distribution() -> None:
    low, high = exact_interval(7, 100)
    assert stats.binom.sf(6, 100, low) == pytest.approx(0.025) and stats.binom.cdf(7, 100, high) == pytest.approx(0.025)
    assert exact_interval(0, 100)[0] == 0 and exact_interval(0, 100)[1] == pytest.approx(1 - 0.025**0.01)
    assert exact_interval(100, 100)[1] == 1


def test_the_true_fpir_lies_in_the_stated_interval_in_93_of_100_runs() -> None:
    """Random directions; the probability that the cosine of two exceeds a threshold is known in closed form."""
    size, fpir = 100, 0.1
    held = 0
    for seed in range(100):
        (point,) = (p for p in operating_points(NonMated.of_people(directions(300, seed), 0.02, seed), [fpir], "simulated") if p.gallery_size == size)
        assert point.threshold is not None and point.fpir_low is not None and point.fpir_high is not None and point.method == "measured"
        held += point.fpir_low <= 1 - (1 - true_rate(point.threshold)) ** size <= point.fpir_high
    assert held >= 93


def test_the_interval_also_holds_where_people_are_not_equally_alike() -> None:
    """Directions around a centre: those near it resemble many others, so comparisons are not independent. Millions of new pairs give the true rate."""

    def around_one(people: int, seed: int) -> np.ndarray:
        return unit(np.random.default_rng(seed).normal(size=(people, D)) + 1.2 * np.eye(D)[0])

    rate = 0.01
    many = [around_one(3000, 1000 + part) for part in range(2)]
    scores = np.sort((many[0] @ many[1].T).ravel())  # 9 million
    held = 0
    for seed in range(60):
        (found,) = NonMated.of_people(around_one(200, seed), rate, seed).thresholds([rate])
        held += found.fmr_low <= 1 - np.searchsorted(scores, found.value) / len(scores) <= found.fmr_high
    assert held >= 55


def test_strangers_are_accepted_as_often_as_the_threshold_says() -> None:
    (point,) = (p for p in operating_points(NonMated.of_people(directions(1000, 1), 0.02), [0.1], "simulated") if p.gallery_size == 100)
    gallery, strangers = directions(100 * 50, 2).reshape(50, 100, D), directions(2000, 3)
    best = np.concatenate([(strangers @ people.T).max(axis=1) for people in gallery])  # 100,000 searches
    assert point.threshold is not None and point.low is not None and point.high is not None
    assert (best > point.high).mean() <= 0.1 <= (best > point.low).mean()
    assert (best > point.threshold).mean() == pytest.approx(0.1, rel=0.2)


def test_the_interval_of_an_extrapolated_threshold_contains_the_true_one() -> None:
    rate, held, tried = 2e-6, 0, 0
    for seed in range(12):
        (found,) = NonMated.of_people(directions(600, seed, 32), 0.01, seed).thresholds([rate])  # 179,700 comparisons: 0.4 are expected above
        if found.method == "extrapolated":
            tried += 1
            held += found.low <= true_threshold(rate, 32) <= found.high
    assert tried >= 8 and held >= tried - 2


def test_insufficient_data_is_reported_rather_than_guessed() -> None:
    people = 100
    points = operating_points(NonMated.of_people(directions(people, 4), 0.02), [0.1, 0.001], "simulated")
    assert [(p.fpir, p.gallery_size) for p in points] == [(fpir, size) for fpir in (0.1, 0.001) for size in SIZES]
    for point in points:
        above = false_match_rate(point.gallery_size, point.fpir) * people * (people - 1) / 2
        if above >= FEWEST:
            assert point.method == "measured" and point.threshold is not None
        elif above < FEWEST / FARTHEST:
            assert point.method == "insufficient data" and point.threshold is None and point.fpir_high is None
        else:
            assert point.method in ("extrapolated", "insufficient data")


def test_a_tail_that_the_fit_does_not_predict_is_not_extrapolated() -> None:
    """Forty people occur twice, so the highest scores follow another distribution than those below them."""
    people = directions(400, 5)
    twice = unit(people[:40] + 0.02 * np.random.default_rng(6).normal(size=(40, D)))
    rate = [2e-5]
    assert NonMated.of_people(directions(440, 5), 0.02).thresholds(rate)[0].method == "extrapolated"
    assert NonMated.of_people(np.concatenate([people, twice]), 0.02).thresholds(rate)[0].method == "insufficient data"


def test_a_card_written_before_fpir_intervals_can_still_be_read() -> None:
    old = '{"gallery_size": 10, "fpir": 0.1, "threshold": 0.4, "low": 0.3, "high": 0.5, "method": "measured", "data": "some"}'
    texts = '"name": "n", "colour_order": "RGB", "landmark_set": "five-point", "precision": "int8"'
    texts += ', "training_data": "d", "licence": "l", "training_commit": "c"'
    numbers = f'"schema": 1, "model_id": "{"0" * 64}", "embedding_size": 4, "crop_size": 112'
    card = ModelCard.from_json(f'{{{numbers}, {texts}, "accuracy": [], "latency": [], "operating_points": [{old}]}}')
    assert card.operating_point(5, 0.1).fpir_low is None


def test_the_second_crop_of_a_person_is_left_out() -> None:
    people = directions(5, 5)
    shown = np.concatenate([people, people[[1, 3]]])
    assert repeated(shown, 0.99).tolist() == [False] * 5 + [True, True]


def test_pairs_give_each_person_once(shared: Path) -> None:
    verify = shared / "faces/verify"
    people = {line.split()[0] for line in (verify / "pairs.txt").read_text().splitlines()[1:]}
    people |= {words[2] for line in (verify / "pairs.txt").read_text().splitlines()[1:] if len(words := line.split()) == 4}
    crops = first_of_pairs(verify / "pairs.txt", verify).crops
    assert crops.shape == (len(people), 112, 112, 3) and crops.dtype == np.uint8
    assert len(np.unique(crops.reshape(len(crops), -1), axis=0)) == len(people)


@pytest.mark.parametrize("resized", [0, 3, 40])
def test_photos_that_were_merely_resized_are_refused(resized: int, shared: Path, tmp_path: Path) -> None:
    try:
        catalogue.path("yunet")
    except catalogue.ModelError:
        pytest.skip("models not pulled; run `make setup`")
    for path in sorted((shared / "faces/verify").glob("*/*_0001.*"))[: 40 - resized]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    for path in sorted((shared / "faces/strangers").iterdir())[:resized]:
        cv2.imwrite(str(tmp_path / f"{path.stem}.png"), cv2.resize(cv2.imread(str(path)), (112, 112)))
    chosen = from_folder(tmp_path)
    if not resized:
        check_aligned(chosen)
        return
    with refused("crops.not_aligned", "training prepare"):
        check_aligned(chosen)


def test_a_file_that_is_not_a_model_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "no.onnx").write_text("hello")
    assert main(["calibrate", str(tmp_path / "no.onnx"), "--folder", str(tmp_path)]) == 1
    assert "no.onnx is not a model" in capsys.readouterr().err
