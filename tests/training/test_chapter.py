"""Claims about losses, each against a form written out here or over several seeds of a short training."""

from __future__ import annotations

import itertools
import math
import statistics

import pytest
import torch
from torch.nn import functional

from training.losses import Margin, build
from training.visualize import argument
from training.visualize.circle import borders
from training.visualize.digits import Digits, sklearn_digits, split
from training.visualize.entries import ALPHAS, ARCCOS, TRIPLETS
from training.visualize.studies import collapsed, triplet_loss
from training.visualize.study import PanelEntry, StudyResult, train, true_accept_rate

SEEDS = range(3)


@pytest.fixture(scope="module")
def digits() -> Digits:
    return split("digits", *sklearn_digits())


def runs(entry: PanelEntry, digits: Digits, epochs: int) -> list[StudyResult]:
    return [train(entry, digits, seed, epochs) for seed in SEEDS]


def batch(size: int = 16, classes: int = 5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(N, D) embeddings that want a gradient, (N,) labels, (C, D) weights."""
    generator = torch.Generator().manual_seed(4)
    points = torch.randn(40, size, generator=generator, dtype=torch.float64, requires_grad=True)
    return points, torch.arange(40) % classes, torch.randn(classes, size, generator=generator, dtype=torch.float64)


def insightface(points: torch.Tensor, labels: torch.Tensor, weight: torch.Tensor, margin: float, scale: float) -> torch.Tensor:
    """The angle is changed in place where no gradient is recorded, so the gradient passes by: arcface_torch since December 2022."""
    logits = functional.linear(functional.normalize(points), functional.normalize(weight))
    with torch.no_grad():
        logits.clamp_(-1, 1).arccos_()
        logits[torch.arange(len(labels)), labels] += margin
        logits.cos_()
    return functional.cross_entropy(scale * logits, labels)


def gradient_of(name: str, margin: float = 0.5, scale: float = 30.0) -> tuple[float, torch.Tensor]:
    points, labels, weight = batch()
    loss = build(name, 16, 5, margin=margin, scale=scale).double()
    with torch.no_grad():
        loss.weight.copy_(weight)
    value = loss(points, labels)
    return value.item(), torch.autograd.grad(value, points)[0]


def test_straight_through_is_the_form_of_insightface() -> None:
    points, labels, weight = batch()
    theirs = insightface(points, labels, weight, 0.5, 30.0)
    (gradient,) = torch.autograd.grad(theirs, points)
    value, ours = gradient_of("arcface_straight_through")
    assert value == pytest.approx(theirs.item(), rel=1e-12)
    assert torch.allclose(ours, gradient, rtol=1e-9, atol=1e-12)


def test_arcface_has_the_same_value_and_another_gradient() -> None:
    value, ours = gradient_of("arcface_straight_through")
    same, other = gradient_of("arcface")
    assert same == pytest.approx(value, rel=1e-12)
    assert not torch.allclose(ours, other, rtol=0.05)


def test_the_siamese_loss_over_all_pairs() -> None:
    points, labels, _ = batch(size=2)
    loss = build("siamese", 2, 5).double()
    matching, others = [], []
    for i, j in itertools.combinations(range(len(labels)), 2):
        match = 1 / (1 + math.exp(sum(abs(a - b) for a, b in zip(points[i].tolist(), points[j].tolist(), strict=True)) - 1))
        (matching if labels[i] == labels[j] else others).append(-math.log(match if labels[i] == labels[j] else 1 - match))
    assert loss(points, labels).item() == pytest.approx((statistics.fmean(matching) + statistics.fmean(others)) / 2, rel=1e-9)


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [("cosface", {"margin": 0.0}, lambda w: w / 2), ("arcface", {"margin": 0.5}, lambda w: (w - 0.5) / 2),
     ("a_softmax", {"lambda_start": 0.0, "lambda_min": 0.0}, lambda w: w / 5),
     ("cosface", {"margin": 0.35}, lambda w: w / 2 - math.asin(0.35 / 2 / math.sin(w / 2)))],
)  # fmt: skip
def test_borders_lie_where_the_closed_form_says(name: str, options: dict, expected) -> None:
    """cos a - cos b = 2 sin((a + b) / 2) sin((b - a) / 2), with a + b the angle between the classes."""
    loss = build(name, 2, 2, **options)
    assert isinstance(loss, Margin)
    between = torch.tensor([1.0, 1.6, 2.5], dtype=torch.float64)
    assert borders(loss, between).tolist() == pytest.approx([expected(w) for w in between.tolist()], abs=2e-3)


def test_no_room_is_left_between_classes_that_are_close() -> None:
    assert borders(build("cosface", 2, 2, margin=0.35), torch.tensor([0.5], dtype=torch.float64)).item() == 0


def test_a_gradient_of_ones_own_only_delays_nan(digits: Digits) -> None:
    written, own, clamped = (runs(entry, digits, 15) for entry in ARCCOS)
    assert all(outcome.nan_step is not None for outcome in written)
    for early, late in zip(written, own, strict=True):
        assert late.nan_step is None or late.nan_step > early.nan_step
        assert late.nan_step is None or late.nan_in_value  # no derivative: arccos of a cosine above 1
    assert any(outcome.nan_step is not None for outcome in own)
    assert all(outcome.nan_step is None for outcome in clamped)


def test_a_larger_lambda_makes_classes_narrower(digits: Digits) -> None:
    free, pulled = (statistics.fmean(o.within for o in runs(PanelEntry("", "center", {"center_weight": w}), digits, 12)) for w in (0.0, 0.1))
    assert pulled < 0.85 * free


def test_pairs_are_to_be_compared_by_the_distance_they_were_trained_on(digits: Digits) -> None:
    for entry, distance in ((PanelEntry("", "siamese"), "l1"), (PanelEntry("", "contrastive", {"unit_length": False}), "l2")):
        for outcome in runs(entry, digits, 12):
            assert true_accept_rate(outcome.frames[-1].embeddings, outcome.labels, distance=distance) > outcome.tar_known + 0.05


def test_the_hardest_triplets_collapse_with_every_alpha(digits: Digits) -> None:
    hard = TRIPLETS[-len(ALPHAS) :]
    assert all(entry.options["mining"] == "hard" for entry in hard)
    for entry in (hard[0], hard[-1]):
        outcomes = runs(entry, digits, 5)
        assert all(collapsed(outcome) for outcome in outcomes)
        assert triplet_loss(outcomes[0], entry.options["margin"])[-1] == pytest.approx(entry.options["margin"], rel=0.1)


def test_few_triplets_have_a_loss_later(digits: Digits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(argument, "ACTIVE_STEPS", 120)
    first, *_, last = argument.smoothed(argument.active_shares(digits))
    assert last < 0.6 * first
