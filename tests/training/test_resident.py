"""Batches made on the device: repeatable, the same from any start, without corrupted crops, and without ever waiting for the device."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.refused import refused
from tests.training.test_data import record_set
from training import averaging, backbones, config
from training.config import AugmentSettings, DataSettings, SourceSettings
from training.data import Crops
from training.distributed import Group
from training.loader import Batch
from training.resident import ResidentLoader, check_memory
from training.step import accumulate, build_optimiser, update
from training.teacher import write
from training.train import build_loader, build_step

CPU, META = torch.device("cpu"), torch.device("meta")
LISTS = list(np.random.default_rng(0).permutation(60).reshape(6, 10))


class Small(nn.Module):
    """A net with batch norm."""

    def __init__(self, embedding_size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 16, 16), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 49, embedding_size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def loader(crops: Crops | None = None, seed: int = 4) -> ResidentLoader:
    return ResidentLoader(crops or Crops(DataSettings((SourceSettings("10 x 6", "drawn"),))), 2, AugmentSettings(), seed, CPU)


def same(a: Batch, b: Batch) -> bool:
    return all(torch.equal(x, y) for x, y in ((a.crops, b.crops), (a.labels, b.labels), (a.index, b.index)))


def test_batches_repeat_and_start_anywhere() -> None:
    first, again = list(loader().batches(LISTS, epoch=2)), list(loader().batches(LISTS, epoch=2, start=4))
    assert len(first) == 6 and len(again) == 2
    assert all(same(a, b) for a, b in zip(first[4:], again, strict=True))
    assert not same(first[0], next(loader().batches(LISTS, epoch=3)))
    assert not same(first[0], next(loader(seed=5).batches(LISTS, epoch=2)))


def test_a_crop_is_changed_alike_in_any_batch() -> None:
    """So that several processes, each with its part of a batch, compute the same as one."""
    whole, half = next(loader().batches(LISTS, epoch=0)), next(loader().batches([LISTS[0][5:]], epoch=0))
    assert torch.equal(whole.crops[5:], half.crops)
    assert whole.index.tolist() == LISTS[0].tolist()
    assert whole.labels.tolist() == (LISTS[0] // 6).tolist()


def test_corrupted_crops_are_replaced_and_counted(tmp_path: Path) -> None:
    crops = Crops(DataSettings((SourceSettings(str(record_set(tmp_path / "a.rec", [0, 0, 1, 1], broken=(1, 2)))),), max_corrupted=2))
    (batch,) = loader(crops).batches([np.array([3, 2, 1, 0])], epoch=0)
    assert batch.index.tolist() == [3, 0, 0, 0] and batch.labels.tolist() == [1, 0, 0, 0]
    assert crops.corruption.count == 2
    with refused("data", "max_corrupted = 1"):
        loader(Crops(DataSettings((SourceSettings(str(tmp_path / "a.rec")),), max_corrupted=1)))


def test_a_set_that_the_gpu_cannot_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (8 * 10**9, 16 * 10**9))
    check_memory(100_000, torch.device("cuda"))
    with refused("data", "1000000 crops take 37.6 GB", "8.0 GB free"):
        check_memory(1_000_000, torch.device("cuda"))


@pytest.mark.parametrize("optimiser", ["adamw", "sgd", "muon"])
@pytest.mark.parametrize("loss", ["arcface", "cosface", ""])
def test_no_step_waits_for_the_device(optimiser: str, loss: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The device "meta" has shapes and no values: whatever would read one, and so would make a GPU wait, is an error there."""
    monkeypatch.setitem(backbones.BACKBONES, "small", Small)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())  # does not know the device
    write(tmp_path / "t.npz", embedding=np.random.default_rng(0).normal(size=(60, 32)).astype(np.float32))
    lines = (f"loss.name = '{loss}'", f"optimiser.name = '{optimiser}'", "backbone.name = 'small'", "run.ema = 0.9")
    source = f"data = {{ resident = true, sources = [{{ kind = 'drawn', path = '10 x 6', teacher = '{tmp_path}/t.npz' }}] }}"
    terms = "distill = { cosine = 1.0, relations = 1.0, bank = 1.0 }"
    recipe = config.load("smoke", (*lines, source, terms))
    crops, group = Crops(recipe.data), Group(0, 1, "cpu", META)
    module = build_step(recipe, crops, group, None)
    optimizer, average = build_optimiser(module, recipe), averaging.build(module.embedder, recipe.run)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    for batch in build_loader(recipe, crops, META).batches(LISTS[:2], epoch=0):
        losses = accumulate(module, batch, 2, scaler, group)
        norm = update(module, optimizer, scaler, 5.0, check=False)
        average.update(module.embedder)
        assert all(value.device == META for value in (norm, batch.crops, *losses.values()))
    with pytest.raises(RuntimeError, match="meta tensors"):
        accumulate(module, batch, 1, scaler, group)
        update(module, optimizer, scaler, 5.0, check=True)  # reads whether the gradient is finite
