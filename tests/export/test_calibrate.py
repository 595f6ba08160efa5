"""Thresholds of open-set search, checked against a known law: cosines of random directions follow a beta distribution."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy import stats

from device.contract import ModelCard, VisitPoints
from device.vision import catalogue
from device.vision.cohort import Cohort, scores
from device.vision.embedder import Embedder
from device.vision.gallery import Gallery
from export import artefact
from export.__main__ import main
from export.calibrate import FARTHEST, FEWEST, SIZES, NonMated, exact_interval, false_match_rate, identification_rate, operating_points
from export.crops import check_aligned, first_of_pairs, from_folder, repeated
from export.visits import CHANGED_RATE, LOOKS, RATE, SPENT, Tried, Visits, best_of, highest_look, points, worst_group
from tests.device.vision.test_embedder import CARD, tiny
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


def simulated(people: int, seed: int, size: int = 32) -> Visits:
    """People in random directions, and pictures with as much noise of their own."""
    random = np.random.default_rng(seed)
    each = random.normal(size=(people, 1, size)) / size**0.5
    each /= np.linalg.norm(each, axis=-1, keepdims=True)
    pictures = each + random.normal(size=(people, 3 + LOOKS, size)) / size**0.5
    pictures /= np.linalg.norm(pictures, axis=-1, keepdims=True)
    looks = np.stack([unit(pictures[:, 3 : 4 + look].sum(axis=1)) for look in range(LOOKS)], axis=1)
    return Visits(unit(pictures[:, :3].sum(axis=1)), looks, np.eye(people, dtype=bool), "simulated")


def some_cohort(seed: int, size: int = 32) -> Cohort:
    strangers = simulated(800, seed, size)
    return Cohort.of(strangers.templates[:500], strangers.templates[500:], 50, 1.0, "simulated")


@pytest.mark.parametrize("cohort", [None, some_cohort(90)], ids=["cosines", "cohort"])
def test_the_stated_fpir_holds_for_the_highest_of_all_looks(cohort: Cohort | None) -> None:
    """People who were not there when the threshold was set, 100 in a gallery, searched as the gallery does and judged by the card."""
    size, fpir = 100, 0.05
    visits = simulated(1000, 1)
    found = points(visits, cohort)
    (point,) = (p for p in operating_points(NonMated.of_visits(visits, cohort, found, 0.02), [fpir], "simulated") if p.gallery_size == size)
    assert point.threshold is not None and point.fpir_low is not None and point.fpir_high is not None and point.method == "measured"
    accepted = np.zeros((30, 400, LOOKS), bool)
    for part in range(30):
        enrolled, strangers = simulated(size, 1000 + part), simulated(400, 2000 + part)
        gallery = Gallery("m", 32, cohort)
        gallery.add(np.arange(size, dtype=np.int64), enrolled.templates, "m")
        for look in range(LOOKS):
            accepted[part, :, look] = gallery.scores(strangers.looks[:, look]).max(axis=1) >= point.threshold + found.margin(look + 1)
    share = accepted.any(axis=2).mean()
    assert point.fpir_low - 0.004 <= share <= point.fpir_high + 0.004  # 0.004: twice the error of 12,000 visits
    assert share == pytest.approx(fpir, rel=0.2)
    first = accepted[:, :, 0].mean()
    assert first <= 0.15 * fpir, "the early margin leaves a first look a small part of the false matches"


def test_early_margins_fall_and_end_at_none() -> None:
    found = points(simulated(400, 3), None)
    assert len(found.early) == len(SPENT) and all(margin >= 0 for margin in found.early)
    assert list(found.early) == sorted(found.early, reverse=True) and found.margin(LOOKS) == 0.0


def test_early_margins_leave_each_look_its_share_of_the_false_matches() -> None:
    """By sorting all scores: a share of RATE of the last look's lies above its quantile, and of each earlier look's only its part of that."""
    visits, people = simulated(1000, 4), 1000
    found = points(visits, None)
    off = ~np.eye(people, dtype=bool)
    last = sorted((visits.looks[:, -1] @ visits.templates.T)[off].tolist())
    threshold = last[len(last) - round(RATE * len(last))]
    for look, share in enumerate(SPENT):
        above = ((visits.looks[:, look] @ visits.templates.T)[off] > threshold + found.early[look]).sum()
        assert above == pytest.approx(share * RATE * len(last), abs=2)


def test_the_score_for_another_face_is_exceeded_by_few_pairs_of_different_people() -> None:
    visits = simulated(500, 5)
    first = visits.looks[:, 0] @ visits.looks[:, 0].T
    others = first[~visits.alike]
    assert (others > points(visits, None).changed).mean() == pytest.approx(CHANGED_RATE, rel=0.1)


def test_pairs_that_another_model_takes_for_one_person_count_nowhere() -> None:
    visits = simulated(300, 6)
    twice = np.arange(10)
    visits.templates[twice] = visits.looks[twice + 100, -1]  # ten people have two labels
    alike = visits.alike.copy()
    alike[twice, twice + 100] = alike[twice + 100, twice] = True
    for cohort in (None, some_cohort(91)):
        found = points(dataclasses.replace(visits, alike=alike), cohort)
        with_them = NonMated.of_visits(visits, cohort, found, 0.01)
        without = NonMated.of_visits(dataclasses.replace(visits, alike=alike), cohort, found, 0.01)
        assert with_them.scores[0] > 0.95 and without.scores[0] < 0.9 and with_them.total - without.total == 20


def test_scores_are_those_of_the_gallery() -> None:
    visits, cohort = simulated(60, 7), some_cohort(92)
    for chosen in (None, cohort):
        gallery = Gallery("m", 32, chosen)
        gallery.add(np.arange(60, dtype=np.int64), visits.templates, "m")
        assert np.allclose(scores(visits.looks[:, 1], visits.templates, chosen), gallery.scores(visits.looks[:, 1]), atol=1e-5)


def test_the_highest_look_of_a_visit_is_that_of_a_loop() -> None:
    visits = simulated(12, 8)
    found = points(visits, None)
    best = highest_look(visits, None, found)
    for one in range(12):
        for other in range(12):
            looks = [float(visits.looks[one, look] @ visits.templates[other]) - found.margin(look + 1) for look in range(LOOKS)]
            assert best[one, other] == pytest.approx(max(looks), abs=1e-5)


def test_the_worst_group_by_hand() -> None:
    """Four people in two groups: of all six pairs the highest is within one group, none within the other."""
    found = np.array([[1.0, 0.9, 0.1, 0.1], [0.9, 1.0, 0.1, 0.1], [0.1, 0.1, 1.0, 0.2], [0.1, 0.1, 0.2, 1.0]], np.float32)
    assert worst_group(found, np.array(["a", "a", "b", "b"]), 1 / 6) == 2.0
    assert worst_group(found, np.array(["a", "a", "b", "b"]), 2 / 6) == 1.0


def test_a_cohort_goes_into_the_model_file_and_out_with_its_thresholds(tmp_path: Path) -> None:
    path, cohort = tiny(tmp_path / "tiny.onnx"), some_cohort(93, 3)
    by_visits = dataclasses.replace(CARD, visits=VisitPoints((0.1,), 0.2, "simulated"))
    crops = np.random.default_rng(0).integers(0, 256, (4, 112, 112, 3), dtype=np.uint8)
    before = Embedder(path, "cpu").embed(crops)

    def stored() -> Cohort | None:
        embedder = Embedder(path, "cpu")
        assert np.array_equal(embedder.embed(crops), before)
        return embedder.cohort

    assert stored() is None
    artefact.write_card(path, by_visits, cohort)
    read = stored()
    assert read is not None and np.array_equal(read.rows, cohort.rows) and Embedder(path, "cpu").card == by_visits
    assert (read.highest, read.mean, read.deviation, read.data) == (cohort.highest, cohort.mean, cohort.deviation, cohort.data)
    measured = dataclasses.replace(by_visits, latency=({"p50_ms": 1.0},))
    artefact.write_card(path, measured)  # as `latency` does: the cohort stays
    assert stored() is not None and Embedder(path, "cpu").card == measured
    artefact.write_card(path, by_visits, None)  # thresholds on visits, without a cohort
    assert stored() is None
    artefact.write_card(path, by_visits, cohort)
    artefact.write_card(path, CARD)  # thresholds on single pictures are plain cosines
    assert stored() is None


def test_a_model_whose_cohort_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = tiny(tmp_path / "tiny.onnx")
    artefact.write_card(path, dataclasses.replace(CARD, visits=VisitPoints((), 0.2, "simulated")), some_cohort(94, 4))
    with refused("contract.card", "expected 3 columns, got 4"):
        Embedder(path, "cpu")


def test_a_cohort_without_visits_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tiny(tmp_path / "tiny.onnx")
    assert main(["calibrate", str(path), "--folder", str(tmp_path), "--cohort", str(tmp_path / "faces.rec")]) == 1
    assert "--cohort needs --visits" in capsys.readouterr().err


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


@pytest.mark.parametrize(
    ("tried", "best"),
    [
        ([(1.6, 0.14), (1.5, 0.06), (1.3, 0.11), (1.35, 0.08)], 3),  # the even ones are the last two; the last misses fewer
        ([(1.6, 0.05), (1.3, 0.06)], 0),  # no cohort may miss more visits than none
        ([(1.3, 0.14), (1.6, 0.06)], 0),  # the even one is without
    ],
)
def test_the_cohort_is_even_and_misses_few(tried: list[tuple[float, float]], best: int) -> None:
    candidates = [Tried(None, worst_group, missed) for worst_group, missed in tried]
    assert best_of(candidates) is candidates[best]
