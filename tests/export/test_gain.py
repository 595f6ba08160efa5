"""A tuned model against the one before: the rates by counting, an interval that holds, and nobody in both parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from device.vision.cohort import Cohort
from export.__main__ import main
from export.gain import SPLITS, SplitScores, accepted, compared, gain, splits
from export.model import steps
from export.recipe import load
from export.visits import TEMPLATES, Visits, carried, unit
from training.pairs import from_people


class Model:
    """An embedder without a file."""

    cohort = None


def drawn(seed: int, people: int = 30, shots: int = 8, size: int = 16, noise: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
    """Unit embeddings of people, and whose they are."""
    random = np.random.default_rng(seed)
    centres = unit(random.normal(size=(people, size)))
    return unit(np.repeat(centres, shots, axis=0) + noise / np.sqrt(size) * random.normal(size=(people * shots, size))), np.repeat(np.arange(people), shots)


def of(rows: np.ndarray, owner: np.ndarray) -> SplitScores:
    return compared(Model(), rows, splits(owner))  # type: ignore[arg-type]


def test_the_rate_is_that_of_counting() -> None:
    rows, owner = drawn(0)
    mated, other = [], []
    for people in splits(owner):
        means = [rows[own[:TEMPLATES]].mean(axis=0) for own in people]
        for person, own in enumerate(people):
            for probe in own[TEMPLATES:]:
                for at, mean in enumerate(means):
                    (mated if at == person else other).append(float(rows[probe] @ mean / np.linalg.norm(mean)))
    threshold = sorted(other, reverse=True)[int(0.01 * len(other)) - 1]
    found = accepted(of(rows, owner), np.ones(30), 0.01)
    assert len(mated) == SPLITS * 30 * 5
    assert found == pytest.approx(np.mean(np.array(mated) > threshold), abs=2e-3)


def test_the_interval_holds_the_true_gain_and_none_is_not_a_gain() -> None:
    true = np.mean([accepted(of(*drawn(seed, noise=0.8)), np.ones(30), 0.01) - accepted(of(*drawn(seed)), np.ones(30), 0.01) for seed in range(100, 120)])
    held = 0
    for seed in range(5):
        found = gain(of(*drawn(seed, noise=0.8)), of(*drawn(seed)), 0.01)
        held += found.low <= true <= found.high
        assert found.value == pytest.approx(found.tuned - found.before) and found.words == "better"
    assert held >= 4
    same = of(*drawn(0))
    assert gain(same, same, 0.01).words.startswith("not shown") and gain(of(*drawn(0)), of(*drawn(0, noise=0.8)), 0.01).words == "worse"


def test_a_worse_model_is_refused(float_model: Path, drawn_pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["gain", str(float_model), "--against", str(float_model), "--people", str(drawn_pairs)]
    assert main(words) == 0 and "not shown to be better" in capsys.readouterr().out
    (tmp_path / "Ada").mkdir()
    (tmp_path / "Ada" / "1.png").write_bytes((drawn_pairs / "p0" / "p0_0001.png").read_bytes())
    assert main([*words[:-1], str(tmp_path)]) == 1 and "at least 10" in capsys.readouterr().err


def test_pairs_of_a_folder_are_all_pairs(drawn_pairs: Path) -> None:
    found = from_people(drawn_pairs)
    people = [Path(name).parent.name for name in found.names]
    assert len(found.same) == 80 * 79 / 2 and found.same.sum() == 20 * 6
    assert all(found.same[i] == (people[found.first[i]] == people[found.second[i]]) for i in range(len(found.same)))
    assert set(found.fold.tolist()) == set(range(10))


def test_a_cohort_is_carried_over_by_the_map_between_the_models() -> None:
    """A tuned model that turns and stretches the space of the one before: the cohort's faces go along."""
    random = np.random.default_rng(0)
    change = np.eye(16) + 0.1 * random.normal(size=(16, 16))

    def visits(rows: np.ndarray) -> Visits:
        people = rows.reshape(200, 4, 16)
        return Visits(unit(people[:, 0]), np.repeat(people[:, 1:2], 5, axis=1), np.eye(200, dtype=bool), "")

    before, strangers = unit(random.normal(size=(800, 16))), unit(random.normal(size=(300, 16)))
    after = unit(before @ change)
    cohort = Cohort.of(strangers, before[::4], 50, 0.5, "drawn")
    moved = carried(cohort, visits(after), visits(before))
    near = (moved.directions * unit(strangers @ change)).sum(1)
    assert near.mean() > 0.99 and near.mean() > (cohort.directions * unit(strangers @ change)).sum(1).mean() + 0.02
    assert (moved.highest, moved.spread) == (50, 0.5) and "carried over" in moved.data


def test_the_steps_of_a_company(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CROPS", "crops")
    monkeypatch.setenv("PEOPLE", "lfw")
    recipe = load("company")
    wanted = {step.name: step.commands for step in steps(recipe, Path("last.pt"), tmp_path, tmp_path)}
    assert list(wanted) == ["build", "verify", "int8", "calibrate", "gain", "latency", "card"]
    ((_, tuned, *words),) = wanted["gain"]
    assert tuned == str(tmp_path / "company-int8.onnx") and words == ["--against", "models/clockface-mobile-int8.onnx", "--people", "crops/held_out"]
    assert "--people" in wanted["verify"][0] and "--cohort-of" in wanted["calibrate"][0]
