"""What limits the loop, by its definition; whether two devices agree; what makes a GPU wait is counted."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from tests.training.test_train import SMALL, Tiny
from training import backbones, config, resident, speed
from training.__main__ import main
from training.batch_augment import draw

WORDS = [word for line in (*SMALL, "backbone.name = 'tiny'", "run.log_steps = 2", "schedule.steps = 8") for word in ("--set", line)]


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(backbones.BACKBONES, "tiny", Tiny)


@pytest.mark.parametrize(
    ("batches", "step", "loop", "overlapping", "limit"),
    [
        (500, 100, 95, True, "the step: 95 %"),
        (100, 500, 95, True, "the batches: 95 %"),
        (500, 500, 100, True, "what is around them: 80 %"),
        (400, 100, 80, False, "the step: 80 %"),  # 20 % for the batches: nothing is left
        (400, 400, 100, False, "what is around them: 50 %"),
    ],
)
def test_what_limits_the_loop(batches: float, step: float, loop: float, overlapping: bool, limit: str) -> None:
    assert speed.LoopSpeed(batches, step, loop, overlapping).limit() == f"limited by {limit} of the time"


@pytest.mark.parametrize("resident", ["true", "false"])
def test_the_loop_is_measured(resident: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["speed", "loop", "--device", "cpu", "--seconds", "0.1", *WORDS, "--set", f"data.resident = {resident}"]) == 0
    said = capsys.readouterr().out
    assert "batches " in said and " images/s" in said and "limited by " in said


def test_the_cpu_agrees_with_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["speed", "agree", "--device", "cpu", *WORDS, "--set", "run.log_steps = 1"]) == 0
    assert "largest difference of a loss: 0.000 %" in capsys.readouterr().out


def test_other_dice_are_no_agreement(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A device that draws other augmentations is found by the first losses."""
    seeds = iter((1, 2))
    monkeypatch.setattr(resident, "draw", lambda count, settings, rng: draw(count, settings, np.random.default_rng(next(seeds))))
    assert main(["speed", "agree", "--device", "cpu", *WORDS, "--set", "run.log_steps = 1", "--set", "schedule.steps = 4"]) == 1
    assert "do not train there" in capsys.readouterr().err


def test_a_device_with_other_losses_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    losses = {"cpu": ["2.0", "1.0"], "cuda": ["2.0", "1.0015"]}
    monkeypatch.setattr(speed, "log_of", lambda recipe, initial: [{"loss": loss} for loss in [*losses[recipe.run.device], ""]])
    assert main(["speed", "agree"]) == 1
    assert "differ by 0.150 %, more than 0.1 %" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_none_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["speed", "agree", *WORDS]) == 1
    assert "torch finds no GPU" in capsys.readouterr().err


def test_waiting_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[str] = []
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)

    def step() -> None:
        for _ in range(2):
            warnings.warn("called a synchronizing CUDA operation", stacklevel=1)
        warnings.warn("something else", stacklevel=1)

    assert speed.synchronisations(step) == 2
    assert modes == ["warn", "default"]


def test_agreement_is_of_the_path_on_the_device() -> None:
    recipe = config.load("smoke", speed.AGREE)
    assert recipe.data.resident and recipe.schedule.steps == 50 and recipe.run.log_steps == 1
    assert recipe.run.precision == "float32" and not recipe.run.compile
