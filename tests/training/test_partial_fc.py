"""Partial FC against the plain loss, in one process and in two that talk over gloo."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.distributed.nn.functional  # before there is a group, as in training/distributed.py
import torch.multiprocessing as mp
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from tests.refused import refused
from training import losses
from training.__main__ import main
from training.partial_fc import HeldClasses, PartialFC, draw
from training.partial_fc_cost import Paper

CLASSES, SIZE, BATCH, STEPS = 11, 6, 16, 5
SHARDED = [name for name, kind in losses.LOSSES.items() if issubclass(kind, losses.Margin) and name != "arcface_naive"]


def batch(step: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(step)
    return torch.randn(BATCH, SIZE, generator=generator), torch.randint(CLASSES, (BATCH,), generator=generator)


@pytest.mark.parametrize("rate", [1.0, 0.9999])  # 0.9999 of 11 classes are 11: the path of the sample, with all of them in it
@pytest.mark.parametrize("name", SHARDED)
def test_all_classes_equal_the_plain_loss(name: str, rate: float) -> None:
    plain, head = losses.build(name, SIZE, CLASSES), PartialFC(name, SIZE, CLASSES, rate)
    with torch.no_grad():
        plain.weight.copy_(head.store)
    points, labels = batch()
    ours, theirs = points.clone().requires_grad_(), points.clone().requires_grad_()
    value, expected = head(ours, labels), plain(theirs, labels)
    value.backward()
    expected.backward()
    assert torch.allclose(value, expected, rtol=1e-6)
    assert torch.allclose(ours.grad, theirs.grad, atol=1e-6)
    assert torch.allclose(head.loss.weight.grad, plain.weight.grad, atol=1e-6)


def test_a_sample_is_the_plain_loss_over_the_classes_in_it() -> None:
    head = PartialFC("arcface", SIZE, 100, 0.3)
    points, labels = batch()
    value = head(points, labels)
    assert len(head.resident) == 30
    assert set(labels.tolist()) <= set(head.resident.tolist())
    plain = losses.build("arcface", SIZE, 30)
    with torch.no_grad():
        plain.weight.copy_(head.store[head.resident])
    position = {int(k): i for i, k in enumerate(head.resident)}
    assert torch.allclose(value, plain(points, torch.tensor([position[int(y)] for y in labels])), rtol=1e-6)


def test_label_minus_one_takes_no_part() -> None:
    points, labels = batch()
    head = PartialFC("arcface", SIZE, CLASSES)
    mixed = labels.clone()
    mixed[::2] = -1
    assert torch.allclose(head(points, mixed), head(points[1::2], labels[1::2]), rtol=1e-6)


def moments(head: PartialFC, optimizer: torch.optim.Optimizer) -> list[tuple[str, torch.Tensor]]:
    """What the optimizer keeps for each row of the weights."""
    weight = head.loss.weight
    return [(key, value) for key, value in optimizer.state.get(weight, {}).items() if torch.is_tensor(value) and value.shape == weight.shape]


@pytest.mark.parametrize("optimizer", [lambda p: torch.optim.SGD(p, 0.1, momentum=0.9), lambda p: torch.optim.AdamW(p, 0.01)])
def test_momentum_follows_each_row(optimizer) -> None:
    """A row's state is what it was when the row went out, however many others used its place in between."""
    head = PartialFC("cosface", SIZE, 40, 0.5)
    steps = optimizer(head.parameters())
    head.attach(steps)
    points = batch()[0][:4]
    kept = {}
    for step in range(12):
        steps.zero_grad()
        value = head(points, torch.tensor([0, 1, 2, 3]) + 4 * (step % 3))
        for row, k in enumerate(head.resident.tolist()):
            for key, state in moments(head, steps):
                before = kept.get((k, key), torch.zeros(SIZE))
                assert torch.equal(state[row], before)
        value.backward()
        steps.step()
        kept.update({(k, key): state[row].clone() for key, state in moments(head, steps) for row, k in enumerate(head.resident.tolist())})
    head.page_out()
    for key, stored in head.moments.items():
        for k in range(40):
            assert torch.equal(stored[k], kept.get((k, key), torch.zeros(SIZE)))


def run_steps(head: PartialFC, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        optimizer.zero_grad()
        head(*batch(step)).backward()
        optimizer.step()


def test_resume_is_exact(tmp_path: Path) -> None:
    def fresh() -> tuple[PartialFC, torch.optim.Optimizer]:
        head = PartialFC("arcface", SIZE, 60, 0.5)
        optimizer = torch.optim.SGD(head.parameters(), 0.1, momentum=0.9)
        head.attach(optimizer)
        return head, optimizer

    straight, optimizer = fresh()
    run_steps(straight, optimizer, range(3))
    torch.save({"head": straight.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "state.pt")
    run_steps(straight, optimizer, range(3, 6))
    resumed, optimizer = fresh()
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    resumed.load_state_dict(state["head"])
    optimizer.load_state_dict(state["optimizer"])
    run_steps(resumed, optimizer, range(3, 6))
    assert torch.equal(straight.state_dict()["store"], resumed.state_dict()["store"])


def test_first_directions_do_not_depend_on_the_shards() -> None:
    whole = draw(0, 3000, torch.Size([4]), 5)
    assert torch.equal(whole, torch.cat([draw(0, 1500, torch.Size([4]), 5), draw(1500, 3000, torch.Size([4]), 5)]))
    assert whole.std().item() == pytest.approx(0.5, rel=0.02)


def test_what_cannot_be_honoured_is_refused() -> None:
    with refused("partial_fc", "'triplet'", "a_softmax", "arcface"):
        PartialFC("triplet", SIZE, CLASSES)
    with refused("partial_fc", "sample_rate 0 of 11"):
        PartialFC("arcface", SIZE, CLASSES, 0.0)
    with refused("partial_fc", "raise sample_rate"):
        PartialFC("arcface", SIZE, CLASSES, 0.1)(*batch())
    head = PartialFC("arcface", SIZE, 40, 0.5)
    head(*batch()).backward()
    with refused("partial_fc", "zero_grad"):
        head(*batch(1))


def train_on(rank: int, world: int, rate: float, path: str) -> None:
    """A linear backbone and the head, STEPS steps of SGD; rank r takes its part of each batch. Writes backbone and centres."""
    if world > 1:
        store = dist.FileStore(f"{path}.store", world)
        dist.init_process_group("gloo", store=store, rank=rank, world_size=world, timeout=datetime.timedelta(seconds=60))
    torch.manual_seed(0)
    backbone: nn.Module = nn.Linear(SIZE, SIZE)
    if world > 1:
        backbone = DistributedDataParallel(backbone)
    head = PartialFC("arcface", SIZE, CLASSES, rate, scale=16.0)
    optimizer = torch.optim.SGD([*backbone.parameters(), *head.parameters()], 0.1, momentum=0.9)
    head.attach(optimizer)
    part = slice(rank * BATCH // world, (rank + 1) * BATCH // world)
    for step in range(STEPS):
        points, labels = batch(step)
        optimizer.zero_grad()
        value = head(backbone(points[part]), labels[part])
        value.backward()
        optimizer.step()
    state = {"backbone": [p.detach() for p in backbone.parameters()], "centres": head.state_dict()["store"], "loss": value.detach()}
    torch.save(state, f"{path}.{world}.{rank}")
    if world > 1:
        del backbone  # before the group, as in training/train.py
        dist.destroy_process_group()


@pytest.mark.parametrize("rate", [1.0, 0.9999])
def test_two_processes_equal_one(rate: float, tmp_path: Path) -> None:
    path = str(tmp_path / "state")
    train_on(0, 1, 1.0, path)
    mp.spawn(train_on, (2, rate, path), nprocs=2)
    one, first, second = (torch.load(f"{path}.{name}", weights_only=True) for name in ("1.0", "2.0", "2.1"))
    assert torch.allclose(torch.cat([first["centres"], second["centres"]]), one["centres"], atol=1e-5)
    for mine, other, whole in zip(first["backbone"], second["backbone"], one["backbone"], strict=True):
        assert torch.equal(mine, other)
        assert torch.allclose(mine, whole, atol=1e-5)
    assert torch.allclose(first["loss"], one["loss"], atol=1e-5)


def as_ranks(world: int, monkeypatch: pytest.MonkeyPatch, classes: int, rate: float) -> list[PartialFC]:
    """The heads of `world` ranks, without a group."""
    heads = []
    for rank in range(world):
        monkeypatch.setattr(dist, "is_initialized", lambda: True)
        monkeypatch.setattr(dist, "get_world_size", lambda: world)
        monkeypatch.setattr(dist, "get_rank", lambda rank=rank: rank)
        heads.append(PartialFC("arcface", SIZE, classes, rate))
    monkeypatch.undo()
    return heads


@pytest.mark.parametrize("rate", [0.5, 1.0])
@pytest.mark.parametrize(("before", "after"), [(3, 2), (2, 5), (1, 4)])
def test_another_number_of_ranks_takes_the_classes_over(before: int, after: int, rate: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each class keeps its direction and its momentum; number c stands for class c here."""
    parts = []
    for head in as_ranks(before, monkeypatch, 23, rate):
        numbers = torch.arange(head.first, head.stop).float()[:, None].expand(-1, SIZE)
        state = {**head.state_dict(), "store": numbers.clone()}
        rows = {"step": torch.tensor(7.0), "momentum_buffer": (numbers[: len(head.resident)] + 100).clone()}
        extra = {**state["_extra_state"], "moments": {"momentum_buffer": numbers + 100} if rate < 1 else {}}
        parts.append(HeldClasses({**state, "_extra_state": extra}, rows))
    found = [head.gathered(before, parts.__getitem__) for head in as_ranks(after, monkeypatch, 23, rate)]
    assert torch.cat([held.module["store"] for held in found])[:, 0].tolist() == list(range(23))
    for held in found:
        resident = held.module["resident"]
        assert torch.equal(held.module["loss.weight"], held.module["store"][resident])
        assert torch.equal(held.rows["momentum_buffer"], held.module["store"][resident] + 100)
        assert held.rows["step"] == 7
        if rate < 1:
            assert torch.equal(held.module["_extra_state"]["moments"]["momentum_buffer"], held.module["store"] + 100)


def test_the_arithmetic_of_memory_is_that_of_the_tensors() -> None:
    classes, rate = 3000, 0.25
    head = PartialFC("arcface", SIZE, classes, rate)
    optimizer = torch.optim.SGD(head.parameters(), 0.1, momentum=0.9)
    head.attach(optimizer)
    run_steps(head, optimizer, range(2))
    head.page_out()
    paper = Paper(classes, SIZE, BATCH, 1, rate, 0)
    kept = [head.store, *head.moments.values()]
    used = [head.loss.weight, head.loss.weight.grad, *(value for _, value in moments(head, optimizer))]
    assert paper.directions == sum(tensor.numel() * tensor.element_size() for tensor in kept)
    assert paper.step == pytest.approx(sum(tensor.numel() * tensor.element_size() for tensor in used) * 4 / 3)  # and those of unit length
    assert Paper(classes, SIZE, BATCH, 4, rate, 0).directions == paper.directions / 4
    assert Paper(classes, SIZE, BATCH // 4, 4, rate, 0).logits == paper.logits / 4  # of the same crops in all


def test_the_cost_of_ten_million_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["partial_fc", "--paper", "--classes", "10000000", "--embedding-size", "512", "--ranks", "64"]) == 0
    said = capsys.readouterr().out
    assert "156,250 classes on a rank" in said and "640.0 MB" in said  # 2 x 4 x 512 x 156,250
