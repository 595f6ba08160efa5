"""The distillation terms against loops over pairs, and the schedule against its closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.refused import refused
from training import losses
from training.config import DistillSettings, ScheduleSettings, load
from training.distill import DistillLoss
from training.objective import Objective, start_at_means
from training.schedule import ByClock, by_steps, learning_rate


@pytest.fixture
def bank() -> torch.Tensor:
    torch.manual_seed(0)
    return F.normalize(torch.randn(12, 6))


def test_cosine_and_relations_equal_loops(bank: torch.Tensor) -> None:
    student, index = torch.randn(4, 6), torch.tensor([3, 1, 7, 11])
    unit = [row / row.norm() for row in student]
    cosine = sum(1 - float(u @ bank[i]) for u, i in zip(unit, index, strict=True)) / 4
    relations = sum((float(unit[a] @ unit[b]) - float(bank[index[a]] @ bank[index[b]])) ** 2 for a in range(4) for b in range(4)) / 16
    loss = DistillLoss(DistillSettings(cosine=2.0, relations=3.0), bank)(student, index)
    assert float(loss) == pytest.approx(2 * cosine + 3 * relations, rel=1e-5)


def test_a_perfect_student_has_no_gradient(bank: torch.Tensor) -> None:
    index = torch.arange(12)
    student = bank.clone().requires_grad_()
    DistillLoss(DistillSettings(cosine=1.0, relations=1.0, bank=1.0, temperature=0.1), bank)(student, index).backward()
    assert student.grad is not None
    assert float(student.grad.norm()) < 1e-3


def test_instance_is_cross_entropy_over_the_bank(bank: torch.Tensor) -> None:
    student, index = F.normalize(torch.randn(3, 6)), torch.tensor([0, 5, 9])
    logits = (student @ bank.T).double()
    logits[torch.arange(3), index] -= 0.2
    expected = -sum(float(logits[i, j] / 0.1 - torch.logsumexp(logits[i] / 0.1, 0)) for i, j in enumerate(index)) / 3
    loss = DistillLoss(DistillSettings(instance=1.0, margin=0.2, temperature=0.1), bank)(student, index)
    assert float(loss) == pytest.approx(expected, rel=0.02)  # similarities are bfloat16


def test_rows_without_a_teacher_do_not_count(bank: torch.Tensor) -> None:
    holed = bank.clone()
    holed[2] = 0
    criterion, student = DistillLoss(DistillSettings(cosine=1.0), holed), torch.randn(2, 6)
    assert float(criterion(student, torch.tensor([2, 4]))) == pytest.approx(float(criterion(student[1:], torch.tensor([4]))))
    assert float(criterion(student[:1], torch.tensor([2]))) == 0.0


def test_schedule_by_its_closed_form() -> None:
    settings = ScheduleSettings(warmup=0.1, floor=0.01)
    assert learning_rate(settings, 2.0, 0.0) == pytest.approx(0.02)
    assert learning_rate(settings, 2.0, 0.1) == pytest.approx(2.0)
    assert learning_rate(settings, 2.0, 0.55) == pytest.approx(2.0 * (0.01 + 0.99 * 0.5))
    assert learning_rate(settings, 2.0, 0.775) == pytest.approx(2.0 * (0.01 + 0.99 * 0.5 * (1 + math.cos(0.75 * math.pi))))
    assert learning_rate(settings, 2.0, 1.0) == pytest.approx(0.02)


def test_progress_by_steps_and_by_the_clock() -> None:
    assert by_steps(200)(50, now=1e9) == 0.25
    clock = ByClock(start=0.4, begin_seconds=100, end_seconds=200)
    assert [clock(0, now) for now in (90, 100, 150, 200, 300)] == pytest.approx([0.4, 0.4, 0.7, 1.0, 1.0])


def test_relations_alone_take_a_teacher_of_another_size(bank: torch.Tensor) -> None:
    size = load("smoke").backbone.embedding_size
    student = torch.randn(4, size, requires_grad=True)
    recipe = load("smoke", ("loss.name = ''", "distill.relations = 1.0"))
    parts = Objective(recipe, 3, bank)(student, torch.zeros(4, dtype=torch.int64), torch.tensor([0, 3, 5, 7]))
    parts["loss"].backward()
    assert student.grad is not None
    assert float(student.grad.norm()) > 0
    with refused("clockface", "set backbone.embedding_size = 6"):
        Objective(load("smoke", ("loss.name = ''", "distill.cosine = 1.0")), 3, bank)


def test_class_directions_start_at_the_means_of_the_teacher(bank: torch.Tensor) -> None:
    labels = torch.arange(len(bank)) % 3 - 1  # every third crop has no label
    loss = losses.build("arcface", bank.shape[1], 2)
    assert isinstance(loss, losses.Margin)
    start_at_means(loss, bank, labels)
    for person in (0, 1):
        mean = np.mean([row / np.linalg.norm(row) for row, label in zip(bank.numpy(), labels, strict=True) if label == person], axis=0)
        np.testing.assert_allclose(loss.weight[person].detach().numpy(), mean / np.linalg.norm(mean), atol=1e-6)
    assert loss.weight.requires_grad
    for other in (None, losses.build("softmax", bank.shape[1], 2), losses.build("subcenter_arcface", bank.shape[1], 2)):
        with refused("clockface", "one direction per class"):
            start_at_means(other, bank, labels)
    with refused("clockface", "set `teacher` of the labelled sources"):
        start_at_means(loss, None, labels)
    with refused("clockface", "1 of 2 people have no teacher embedding"):
        start_at_means(loss, bank, labels.clamp(max=0))
