"""The places where losses on angles break: cosines of +-1, one rounding step beside them, 0, and coinciding embeddings."""

from __future__ import annotations

import math

import pytest
import torch

from training.losses import LOSSES, Margin, build

CURVED = [name for name, kind in LOSSES.items() if issubclass(kind, Margin)]
SOUND = [name for name in CURVED if name != "arcface_naive"]
MONOTONE = [name for name in SOUND if name != "arcface_clipped_gradient"]  # which keeps the naive curve
EVERY = [(name, {}) for name in LOSSES if name not in ("arcface_naive", "softmax_twice", "triplet")]
EVERY += [("softmax_twice", {"over": over}) for over in ("softmax", "arcface_scaled")]
EVERY += [("triplet", {"mining": mining}) for mining in ("all", "semi_hard", "hard")]
EVERY += [(name, {"unit_length": False}) for name in ("contrastive", "triplet")] + [("cosface", {"margin": 1.0})]
COSINES = [1.0, 1 - 1e-7, -1.0, -1 + 1e-7, 0.0]


def labelled(name: str, options: dict) -> str:
    return name + "".join(f"-{value}" for value in options.values())


def every(test):
    return pytest.mark.parametrize(("name", "options"), EVERY, ids=[labelled(*each) for each in EVERY])(test)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", SOUND)
def test_target_logit_and_its_slope_are_finite_at_the_ends(name: str, dtype: torch.dtype) -> None:
    cosine = torch.tensor([*COSINES, 1.0000001, -1.0000001], dtype=dtype, requires_grad=True)  # rounding goes past 1, too
    value = build(name, 2, 2).target_logit(cosine, torch.ones_like(cosine))
    (slope,) = torch.autograd.grad(value.sum(), cosine)
    assert value.isfinite().all()
    assert slope.isfinite().all()
    assert (slope >= 0).all() or name == "arcface_clipped_gradient"  # which turns back up past pi - m


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("cosine", COSINES)
def test_loss_and_gradients_are_finite_at_the_ends(name: str, options: dict, dtype: torch.dtype, cosine: float) -> None:
    loss = build(name, 2, 3, **options).to(dtype)
    sine = math.sqrt(max(1 - cosine**2, 0))
    with torch.no_grad():
        for parameter in loss.parameters():
            parameter[...] = torch.tensor([1.0, 0.0], dtype=dtype) if parameter.shape[-1] == 2 else 0
    points = torch.tensor([[1, 0], [cosine, sine], [2 * cosine, -2 * sine], [cosine, sine]], dtype=dtype, requires_grad=True)
    value = loss(points, torch.tensor([0, 0, 1, 2]))
    value.backward()
    assert value.isfinite()
    for leaf in (points, *loss.parameters()):
        assert leaf.grad is None or leaf.grad.isfinite().all()


@every
def test_a_zero_embedding_gives_a_finite_gradient(name: str, options: dict) -> None:
    embeddings = torch.zeros(4, 3, requires_grad=True)
    build(name, 3, 2, **options)(embeddings, torch.tensor([0, 0, 1, 1])).backward()
    assert embeddings.grad is not None
    assert embeddings.grad.isfinite().all()


@pytest.mark.parametrize("cosine", [1.0, -1.0])
def test_naive_arcface_fails_at_the_ends(cosine: float) -> None:
    loss = build("arcface_naive", 2, 2, scale=1.0)
    with torch.no_grad():
        loss.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    embeddings = torch.tensor([[cosine, 0.0]], requires_grad=True)
    value = loss(embeddings, torch.tensor([0]))
    value.backward()
    assert value.isfinite()
    assert embeddings.grad.isnan().any()


def test_a_bounded_derivative_alone_does_not_save_arccos_from_rounding() -> None:
    past = torch.tensor([1.0000001])
    assert past.arccos().isnan().all()
    assert build("arcface_clipped_gradient", 2, 2).target_logit(past, past).isfinite().all()


def test_clipped_gradient_is_bounded_where_it_says() -> None:
    cosine = torch.tensor([-1.0, -0.99, 0.5, 0.99, 1.0], dtype=torch.float64, requires_grad=True)
    loss = build("arcface_clipped_gradient", 2, 2, margin=0.3)
    (slope,) = torch.autograd.grad(loss.target_logit(cosine, cosine).sum(), cosine)
    bounded = torch.tensor([7.0888, 7.0888, 1 / math.sqrt(0.75), 7.0888, 7.0888], dtype=torch.float64)
    assert torch.allclose(slope, (cosine.detach().arccos() + 0.3).sin() * bounded, atol=1e-4)


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_thousand_random_steps_stay_finite(name: str, options: dict, dtype: torch.dtype) -> None:
    torch.manual_seed(7)
    loss = build(name, 2, 5, **options).to(dtype)
    points = (torch.randn(20, 2) * torch.logspace(-3, 2, 20).unsqueeze(1)).to(dtype).requires_grad_()
    labels = torch.arange(20) % 5
    leaves = [points, *loss.parameters()]
    for _ in range(1000):
        value = loss(points, labels)
        gradients = torch.autograd.grad(value, leaves)
        with torch.no_grad():
            for leaf, gradient in zip(leaves, gradients, strict=True):
                leaf -= 0.1 * gradient + 0.01 * torch.randn_like(leaf)
    assert value.isfinite()
    assert all(leaf.isfinite().all() for leaf in leaves)


@every
def test_autocast_to_bfloat16_changes_little(name: str, options: dict) -> None:
    torch.manual_seed(3)
    loss = build(name, 8, 5, **options).eval()
    embeddings, labels = torch.randn(20, 8), torch.arange(20) % 5
    plain = loss(embeddings, labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert loss(embeddings, labels).item() == pytest.approx(plain.item(), rel=0.02)


@every
def test_gradcheck(name: str, options: dict) -> None:
    torch.manual_seed(0)
    loss = build(name, 3, 4, **options).double().eval()
    labels = torch.arange(8) % 4
    points = torch.randn(8, 3, dtype=torch.float64, requires_grad=True)
    if name == "adaface":  # the quality is a constant to the gradient, as published: hold the lengths, turn the directions only
        checked = [loss.weight]
        wrapped = lambda weight: torch.func.functional_call(loss, {"weight": weight}, (points.detach(), labels))  # noqa: E731
    elif name == "arcface_straight_through":  # its derivative is that of the cosine on purpose
        frozen = torch.tensor([0.3, -0.95], dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(loss.target_logit(frozen, frozen).sum(), frozen)
        assert torch.equal(slope, torch.ones_like(slope))
        return
    else:
        checked = [points]
        wrapped = lambda embeddings: loss(embeddings, labels)  # noqa: E731
    assert torch.autograd.gradcheck(wrapped, checked, eps=1e-7, atol=1e-4)


@pytest.mark.parametrize("name", MONOTONE)
def test_curve_never_rises_with_the_angle(name: str) -> None:
    curve = build(name, 2, 2).curve(torch.linspace(0, math.pi, 2001, dtype=torch.float64))
    assert (curve.diff() <= 1e-9).all()
    assert curve[0] - curve[-1] > 1


def test_naive_curve_turns_back_up() -> None:
    curve = build("arcface_naive", 2, 2, margin=0.5).curve(torch.tensor([math.pi - 0.5, math.pi], dtype=torch.float64))
    assert curve[1] > curve[0] + 0.1


def test_scaled_curve_is_nearly_cosine_minus_one() -> None:
    theta = torch.linspace(0, math.pi, 101, dtype=torch.float64)
    scaled = build("arcface_scaled", 2, 2).curve(theta)
    assert (scaled - (theta.cos() - 1)).abs().max() < 0.012
