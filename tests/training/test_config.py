from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.refused import refused
from training import config


@pytest.mark.parametrize("path", sorted(config.CONFIGS.glob("*.toml")), ids=lambda p: p.stem)
def test_each_recipe_is_read_and_survives_a_checkpoint(path: Path) -> None:
    recipe = config.load(path.stem)
    assert recipe.name == path.stem
    assert recipe.data.sources
    assert config.from_table(dataclasses.asdict(recipe)) == recipe


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("schedule.epoch = 3", ["schedule.epoch:", "epochs"]),
        ("schedule.epochs = '3'", ["schedule.epochs = '3': expected int, got str"]),
        ("schedule.epochs = 0", ["schedule.epochs = 0: allowed range 1 to"]),
        ("run.precision = 'int4'", ["run.precision", "float32, bfloat16"]),
        ("data.sources = [{ kind = 'mxnet' }]", ["data.sources[0].kind = 'mxnet'"]),
        ("data.sources = 3", ["data.sources: expected a list"]),
        ("optimiser.learning_rate = nan", ["optimiser.learning_rate = nan"]),
    ],
)
def test_a_setting_that_cannot_be_honoured_is_named(line: str, words: list[str]) -> None:
    with refused("config", *words):
        config.load("smoke", (line,))


def test_sampled_classes_and_accumulation_exclude_each_other() -> None:
    with refused("config", "schedule.accumulate = 2"):
        config.load("smoke", ("loss.sample_rate = 0.5", "schedule.accumulate = 2"))


def test_a_recipe_changes_another(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("base = 'everyday'\nrun.seed = 7\n")
    (tmp_path / "orphan.toml").write_text("base = 'parent'\n")
    base, mine = config.load("everyday"), config.load(str(tmp_path / "mine.toml"))
    assert mine == dataclasses.replace(base, name="mine", run=dataclasses.replace(base.run, seed=7))
    with refused("config", "recipe parent does not exist"):
        config.load(str(tmp_path / "orphan.toml"))


def test_an_unknown_recipe_lists_the_known() -> None:
    with refused("config", "default, everyday, everyday-gpu, finetune"):
        config.load("nothing")


def test_variables_in_a_path_are_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROPS", "/data/crops")
    assert [config.expanded(path) for path in ("$CROPS/a.rec", "${CROPS}/a.rec", "plain.rec")] == ["/data/crops/a.rec", "/data/crops/a.rec", "plain.rec"]


@pytest.mark.parametrize("path", ["$CROPS/a.rec", "${CROPS}/a.rec"])
def test_a_variable_that_is_not_set_is_named(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CROPS", raising=False)
    with refused("config.variable", path, "export CROPS="):
        config.expanded(path)
