"""The false matches of groups, against a count of every pair and against groups whose rates are known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from device.vision.cohort import Cohort, scores
from export import groups
from export.groups import Strangers, read
from export.visits import COHORT_FACES, VisitsError, shuffled, worst_group
from tests.refused import refused
from training.recordio import RecordFile

NAMES = np.array(["a", "b", "c", "d"])


def people(count: int, seed: int, lean: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Random directions in four groups; those of group a lean towards one direction, so they are more alike."""
    random = np.random.default_rng(seed)
    rows, labels = random.normal(size=(count, 16)), NAMES[np.arange(count) % 4]
    rows[labels == "a", 0] += lean
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), labels


@pytest.mark.parametrize("with_cohort", [False, True])
@pytest.mark.parametrize("block", [7, 1000])
def test_the_figure_is_that_of_all_pairs(with_cohort: bool, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "BLOCK", block)
    rows, labels = people(120, 0, 1.0)
    cohort = Cohort.of(people(50, 1)[0], rows, 20, 0.5, "made up") if with_cohort else None
    found = Strangers(rows, labels, cohort, 0.01).worst("made up")
    assert found.value == pytest.approx(worst_group(scores(rows, rows, cohort), labels, 0.01), abs=0.02)
    assert 1.0 <= found.low < found.high and found.people == "made up"


def test_the_false_matches_within_groups_are_counted() -> None:
    """Six people who are four: of 15 pairs two are equal, one in each half. A third group has no false match: the worst has three times the mean."""
    x, y = np.eye(8, dtype=np.float32)[:2], np.eye(8, dtype=np.float32)[2:]
    rows = np.stack([x[0], x[0], y[0], x[1], x[1], y[1]])
    found = Strangers(rows, np.array(["a", "a", "a", "b", "b", "b"]), None, 2 / 15).worst("six")
    assert found.matches == 2 and found.value == 1.0
    uneven = Strangers(rows, np.array(["a", "a", "b", "b", "c", "c"]), None, 1 / 15).worst("six")
    assert uneven.matches == 1 and uneven.value == pytest.approx(3.0)
    assert math.isnan(uneven.low) and math.isnan(uneven.high)  # many draws have no false match: nothing is known


def test_more_people_make_the_interval_narrower_about_the_same_figure() -> None:
    few, many = (Strangers(*people(count, 3, 1.5), None, 0.01).worst("made up") for count in (80, 800))
    assert many.high - many.low < 0.5 * (few.high - few.low) and many.matches > 50 * few.matches
    assert few.low <= many.value <= few.high


def test_nearly_even_groups_are_shown_to_be_even_and_uneven_ones_not() -> None:
    assert Strangers(*people(800, 5), None, 0.01).worst("made up").high < 1.4
    assert Strangers(*people(800, 5, 3.0), None, 0.01).worst("made up").low > 2.0


def test_without_a_false_match_within_a_group_there_is_no_figure() -> None:
    rows = np.eye(4, dtype=np.float32)
    assert math.isnan(Strangers(rows, np.arange(4), None, 0.2).worst("four").value)


def test_faces_that_calibrate_uses_are_left_out(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "PEOPLE", 200)
    path = shared / "faces/fairface.rec"
    crops, labels = read(path)
    used = set(map(str, shuffled(RecordFile(path))[:COHORT_FACES]))
    assert len(crops.crops) == len(labels) == 200 and len(set(labels)) == 7 and not used & set(crops.labels)


def test_a_folder_without_a_table_is_refused(tmp_path: Path) -> None:
    with refused("visits", "groups.tsv"):
        read(tmp_path)
    with pytest.raises(VisitsError):
        read(tmp_path / "faces.rec")
