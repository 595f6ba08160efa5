"""The evidence of a visit: means worked out by hand, faces that change, and many simulated strangers who stay long."""

from __future__ import annotations

import math

import numpy as np
import pytest

from device.config import DecisionSettings
from device.vision.cohort import Cohort
from device.vision.decision import LATE_MARGIN, Bar
from device.vision.gallery import Gallery, Match
from device.vision.visit import NOVEL_SECONDS, Evidence, Visit

E = np.eye(8, dtype=np.float32)
BAR = Bar(0.5)


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def towards(axis: int, other: int, cosine: float) -> np.ndarray:
    """A unit vector with this cosine to one axis, and the rest along another."""
    return np.asarray(cosine * E[axis] + math.sqrt(1 - cosine**2) * E[other], np.float32)


def likeness_to_first(mean: np.ndarray) -> Match:
    """The search of a gallery of one person, who lies along the first axis."""
    return Match(1, float(mean[0]), None)


def test_the_mean_by_hand() -> None:
    """Weights are quality times the share of NOVEL_SECONDS since the picture before: 0.8, 0.5 / 3 and 0.4."""
    evidence = Evidence()
    evidence.add(E[0], 0.8, 10.0)
    evidence.add(E[1], 0.5, 10.1)
    evidence.add(E[2], 0.4, 12.0)
    weights = [0.8, 0.5 / 3, 0.4]
    length = math.sqrt(sum(weight**2 for weight in weights))
    assert evidence.mean[:3].tolist() == pytest.approx([weight / length for weight in weights], rel=1e-5)
    assert evidence.mean[3:].any() == np.False_ and evidence.mean.dtype == np.float32
    assert (evidence.pictures, evidence.weighed, evidence.last) == (3, pytest.approx(1 + 1 / 3 + 1), 12.0)
    assert evidence.likeness(E[1]) == pytest.approx(weights[1] / length, rel=1e-5)


def test_the_mean_is_that_of_a_loop_over_many_pictures() -> None:
    random = np.random.default_rng(2)
    evidence, total, last = Evidence(), [0.0] * 8, -math.inf
    weighed, now = 0.0, 0.0
    for picture, quality, gap in zip(unit(random.normal(size=(200, 8))), random.uniform(0, 1, 200), random.uniform(0, 0.6, 200), strict=True):
        now += float(gap)
        evidence.add(picture, float(quality), now)
        share = min(max((now - last) / NOVEL_SECONDS, 0.05), 1.0)
        total = [before + value * share * max(float(quality), 0.01) for before, value in zip(total, picture.tolist(), strict=True)]
        weighed, last = weighed + share, now
    length = math.sqrt(sum(value**2 for value in total))
    assert evidence.mean.tolist() == pytest.approx([value / length for value in total], abs=1e-5)
    assert evidence.weighed == pytest.approx(weighed)


@pytest.mark.parametrize(("gap", "share"), [(0.0, 0.05), (0.01, 0.05), (0.03, 0.1), (0.15, 0.5), (0.3, 1.0), (5.0, 1.0), (-3600.0, 0.05)])
def test_near_duplicates_count_in_part(gap: float, share: float) -> None:
    evidence = Evidence()
    evidence.add(E[0], 1.0, 100.0)
    evidence.add(E[1], 1.0, 100.0 + gap)
    assert evidence.weighed == pytest.approx(1 + share, rel=1e-6)
    assert evidence.mean[1] / evidence.mean[0] == pytest.approx(share, rel=1e-5)


def test_the_same_picture_again_and_again_is_no_further_evidence() -> None:
    """A photo held up: the mean stays that picture, whose score never rises."""
    visit, photo = Visit(DecisionSettings()), towards(0, 3, 0.49)
    for look in range(600):
        assert visit.look(photo, 0.9, look * 0.1, likeness_to_first, BAR).state != "known"
    assert visit.outcome.score == pytest.approx(0.49, abs=1e-5)


def test_one_odd_picture_is_set_aside() -> None:
    visit = Visit(DecisionSettings())
    for time in (0.0, 1.0, 2.0):
        before = visit.look(E[0], 1.0, time, likeness_to_first, BAR)
    assert visit.look(E[1], 1.0, 3.0, likeness_to_first, BAR) == before  # nothing counts
    assert visit.look(E[0], 1.0, 4.0, likeness_to_first, BAR).score == pytest.approx(1.0)
    assert visit.look(E[1], 1.0, 5.0, likeness_to_first, BAR).pictures == 4  # the odd one before is forgotten
    assert visit.outcome.person_id == 1


def test_two_odd_pictures_that_do_not_fit_each_other_are_set_aside_too() -> None:
    visit = Visit(DecisionSettings())
    for time, picture in enumerate((E[0], E[0], E[1], E[2], E[3], E[0])):
        visit.look(picture, 1.0, float(time), likeness_to_first, BAR)
    assert visit.outcome.pictures == 3 and visit.outcome.score == pytest.approx(1.0)


def test_two_pictures_of_another_face_begin_anew() -> None:
    visit = Visit(DecisionSettings())
    for time in (0.0, 1.0, 2.0):
        visit.look(E[0], 1.0, time, likeness_to_first, BAR)
    visit.counted = True
    visit.look(E[1], 1.0, 3.0, likeness_to_first, BAR)
    outcome = visit.look(towards(1, 2, 0.8), 0.5, 4.0, likeness_to_first, BAR)
    assert (outcome.pictures, outcome.state, outcome.person_id) == (2, "unknown", None) and not visit.counted
    by_hand = unit(1.0 * E[1] + 0.5 * towards(1, 2, 0.8))  # without the face before
    assert outcome.score == pytest.approx(0.0, abs=1e-6) and visit.continues(by_hand, Bar(0.9999)) and not visit.continues(E[0], BAR)


def test_whoever_takes_the_place_of_somebody_known_needs_the_early_margin() -> None:
    bar = Bar(0.5, lambda pictures: 0.2 if pictures < 3 else 0.0)
    visit = Visit(DecisionSettings())
    for time in (0.0, 1.0, 2.0):
        visit.look(E[0], 1.0, time, likeness_to_first, bar)
    other = towards(0, 1, 0.6)  # too like the other for a change by itself, but for these bars another face
    changed = Bar(0.5, bar.early, changed=0.7)
    assert visit.look(other, 1.0, 3.0, likeness_to_first, changed).person_id == 1
    assert visit.look(other, 1.0, 4.0, likeness_to_first, changed).state == "undecided"
    assert visit.look(other, 1.0, 5.0, likeness_to_first, changed).person_id == 1


def test_a_visit_without_pictures_continues_nothing() -> None:
    assert not Visit(DecisionSettings()).continues(E[0], Bar(-1.0))


def test_a_visit_is_continued_on_the_scale_of_the_threshold() -> None:
    """Two pictures with a cosine of 0.6: among strangers whom both resemble by 0.9 they score 0.3 + 0.6 - 0.9, elsewhere 0.3 + 0.6."""
    strangers = Cohort(np.stack([127 * E[0] + 9 * E[1], 127 * E[0] - 9 * E[1], 127 * E[0]]).astype(np.int8), 2, 0.0, 0.3, 0.1, "made up")
    crowded, alone = Visit(DecisionSettings()), Visit(DecisionSettings())
    crowded.look(towards(0, 1, math.sqrt(0.8)), 1.0, 0.0, likeness_to_first, BAR)
    alone.look(E[2], 1.0, 0.0, likeness_to_first, BAR)
    second = towards(0, 1, math.sqrt(0.8)) * [1, -1, 1, 1, 1, 1, 1, 1]  # the mirror image on the other side of the strangers
    normalised = Bar(0.5, cohort=strangers)
    assert crowded.continues(second.astype(np.float32), BAR) and not crowded.continues(second.astype(np.float32), normalised)
    assert alone.continues(towards(2, 3, 0.6), normalised) and not alone.continues(towards(2, 3, 0.1), normalised)


SIZE, PEOPLE, RATE, LOOKS, LONG = 64, 100, 0.01, 5, 60


def pictures(count: int, looks: int, seed: int) -> np.ndarray:
    """(count, looks, D): pictures of people in random directions, each with as much noise of its own as there is person."""
    random = np.random.default_rng(seed)
    people = unit(random.normal(size=(count, 1, SIZE)))
    return unit(people + random.normal(size=(count, looks, SIZE)) / math.sqrt(SIZE))


def best_scores(probes: np.ndarray, templates: np.ndarray) -> np.ndarray:
    """(S, K, D) -> (S, K): the highest score of each look."""
    return np.asarray((probes @ templates.T).max(axis=-1))


def test_who_lingers_for_a_minute_gets_hardly_more_tries() -> None:
    """10,000 strangers before galleries of 100 people each; a threshold that the highest of a stranger's first looks exceeds in 1 % of the visits.

    Each picture compared for itself would make a minute of tries. The mean of all still moves a little
    after the first looks; the late margin makes up for most of it.
    """
    parts = range(20)  # each with people of its own
    templates = [unit(pictures(PEOPLE, 3, 100 + part).sum(axis=1)) for part in parts]
    strangers = [pictures(500, LONG, 200 + part) for part in parts]
    others = [pictures(500, LOOKS, 300 + part) for part in parts]

    def share(threshold: float, found: list[np.ndarray]) -> float:
        return float((np.concatenate(found).max(axis=1) >= threshold).mean())

    def by_mean(shown: list[np.ndarray]) -> list[np.ndarray]:
        return [best_scores(unit(np.cumsum(of_part, axis=1)), own) for of_part, own in zip(shown, templates, strict=True)]

    def alone(shown: list[np.ndarray]) -> list[np.ndarray]:
        return [best_scores(of_part, own) for of_part, own in zip(shown, templates, strict=True)]

    threshold, threshold_alone = (float(np.quantile(np.concatenate(found).max(axis=1), 1 - RATE)) for found in (by_mean(others), alone(others)))
    means = by_mean(strangers)
    assert share(threshold, [scores[:, :LOOKS] for scores in means]) == pytest.approx(RATE, rel=0.3)
    window = DecisionSettings().window
    late = [np.concatenate([scores[:, :window], scores[:, window:] - LATE_MARGIN], axis=1) for scores in means]
    assert share(threshold, late) <= 1.6 * RATE
    assert share(threshold_alone, alone(strangers)) >= 8 * RATE

    settings = DecisionSettings(agree=1, min_lead=0.0)
    gallery = Gallery("m", SIZE)
    gallery.add(np.arange(PEOPLE, dtype=np.int64), templates[0], "m")
    for shown, scores in zip(strangers[0][:100], means[0][:100], strict=True):
        visit = Visit(settings)
        states = [visit.look(picture, 1.0, float(time), gallery.search, Bar(threshold, changed=-1.0)).state for time, picture in enumerate(shown)]
        known = False
        for look, (state, score) in enumerate(zip(states, scores.tolist(), strict=True)):
            known = score >= threshold + (0.0 if known or look < window else LATE_MARGIN)
            assert (state == "known") == known
