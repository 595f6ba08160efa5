"""Plots for single sections of docs/losses.md: target logits, softmax twice, distance and cosine, triplets that still have a loss."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch.nn import functional

from training import losses
from training.losses.triplet import Triplet
from training.visualize.digits import Digits
from training.visualize.study import BATCH, LEARNING_RATE, Net, batches
from training.visualize.theme import COLOURS, Theme, axes_of, legend

CURVES: tuple[tuple[str, str, dict[str, Any], dict[str, Any]], ...] = (  # label, loss, options, style; dashes tell lines apart where there are no colours
    ("cos θ, no margin", "cosface", {"margin": 0.0}, {"color": "#9a978e", "ls": ":"}),
    ("ArcFace, naive", "arcface_naive", {"margin": 0.5}, {"color": COLOURS[0], "ls": "--"}),
    ("ArcFace", "arcface", {"margin": 0.5}, {"color": COLOURS[5]}),
    ("ArcFace, cos / 10", "arcface_scaled", {}, {"color": COLOURS[7], "ls": (0, (8, 2))}),
    ("cos - 1", "cosface", {"margin": 1.0}, {"color": COLOURS[1], "ls": (0, (1, 3))}),
    ("CosFace, m = 0.35", "cosface", {}, {"color": COLOURS[3], "ls": "-."}),
)
ACTIVE_STEPS = 300
TRIPLETS = 22400  # in a batch of 64 images of ten classes, about


def target_logits(theme: Theme) -> Figure:
    """f(theta), by the code that trains, and its slope, which is the magnitude of the gradient."""
    figure = Figure(figsize=(12, 4.6), facecolor=theme.paper, layout="constrained")
    value = axes_of(figure, (1, 2, 1), "Logit of the own class", "θ, degrees", "f(θ)", theme)
    slope = axes_of(figure, (1, 2, 2), "Its derivative: df / d cos θ", "θ, degrees", "derivative", theme)
    theta = torch.linspace(0, math.pi, 721, dtype=torch.float64)
    for label, name, options, style in CURVES:
        loss = losses.build(name, 2, 2, **options)
        assert isinstance(loss, losses.Margin)
        value.plot(theta.rad2deg(), loss.curve(theta), label=label, lw=2, **style)
        cosine = theta.cos().requires_grad_()
        (gradient,) = torch.autograd.grad(loss.target_logit(cosine, torch.ones_like(cosine)).sum(), cosine)
        slope.plot(theta.rad2deg(), gradient, lw=2, **style)
    loss = losses.build("arcface_clipped_gradient", 2, 2, margin=0.5)
    assert isinstance(loss, losses.Margin)
    cosine = theta.cos().requires_grad_()
    (gradient,) = torch.autograd.grad(loss.target_logit(cosine, torch.ones_like(cosine)).sum(), cosine)
    slope.plot(theta.rad2deg(), gradient, lw=2, color=COLOURS[8], ls=(0, (3, 1)), label="ArcFace, clipped gradient")
    slope.set_ylim(-4, 12)
    arrow = {"arrowstyle": "->", "color": COLOURS[0]}
    slope.annotate("arccos: to infinity", (4, 11.6), (28, 10.6), color=COLOURS[0], fontsize=9, va="center", arrowprops=arrow)
    legend(value, theme)
    legend(slope, theme)
    return figure


def softmax_twice(theme: Theme) -> Figure:
    """Loss and gradient over the difference of the own logit to the others, ten classes."""
    figure = Figure(figsize=(12, 4.2), facecolor=theme.paper, layout="constrained")
    value = axes_of(figure, (1, 2, 1), "Loss", "own logit minus the others, 10 classes", "loss", theme)
    slope = axes_of(figure, (1, 2, 2), "Gradient", "own logit minus the others, 10 classes", "|d loss / d own logit|", theme)
    lead = torch.linspace(-8, 12, 401, dtype=torch.float64, requires_grad=True)
    logits = functional.pad(lead.unsqueeze(1), (0, 9))  # (401, 10), the others 0
    target = torch.zeros(len(lead), dtype=torch.int64)
    for label, given, colour, dashes in (("softmax once", logits, COLOURS[5], "-"), ("softmax twice", logits.softmax(1), COLOURS[0], "--")):
        loss = functional.cross_entropy(given, target, reduction="none")
        (gradient,) = torch.autograd.grad(loss.sum(), lead, retain_graph=True)
        value.plot(lead.detach(), loss.detach(), lw=2, color=colour, ls=dashes, label=label)
        slope.plot(lead.detach(), gradient.abs(), lw=2, color=colour, ls=dashes, label=label)
    legend(value, theme)
    legend(slope, theme)
    return figure


def rank_agreement(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """2,000 probes in 192 dimensions against one template: (cosine, distance at unit length, distance without normalisation, disagreements).

    Disagreements counts the ranks that differ between cosine and distance at unit length: 0, as d^2 = 2 - 2 cos says.
    """
    generator = np.random.default_rng(seed)
    template = generator.normal(size=192)
    probes = generator.normal(size=(2000, 192)) * generator.lognormal(0, 0.4, (2000, 1)) + template * generator.uniform(-1, 2, (2000, 1))
    units = probes / np.linalg.norm(probes, axis=1, keepdims=True)
    own = template / np.linalg.norm(template)
    cosine, chord = units @ own, np.linalg.norm(units - own, axis=1)
    return cosine, chord, np.linalg.norm(probes - template, axis=1), int((np.argsort(-cosine) != np.argsort(chord)).sum())


def ranking(theme: Theme) -> Figure:
    """Distance against cosine, at unit length and without normalisation."""
    cosine, chord, plain, disagreements = rank_agreement()
    figure = Figure(figsize=(12, 4.2), facecolor=theme.paper, layout="constrained")
    left = axes_of(figure, (1, 2, 1), f"Unit length: {disagreements} of {len(cosine):,} ranks differ", "cosine score", "Euclidean distance", theme)
    right = axes_of(figure, (1, 2, 2), "Without normalisation: the length has an influence", "cosine score", "Euclidean distance", theme)
    line = np.linspace(-1, 1, 200)
    left.plot(line, np.sqrt(2 - 2 * line), color=theme.faint, lw=5, zorder=1, label="√(2 - 2 cos θ)")
    for axes, distance, colour in ((left, chord, COLOURS[5]), (right, plain, COLOURS[0])):
        axes.scatter(cosine, distance, s=5, color=colour, alpha=0.6, lw=0, zorder=2)
    legend(left, theme)
    return figure


def active_shares(digits: Digits) -> list[float]:
    """Share of the batch's triplets that still have a loss, at each step of a training with all of them."""
    torch.manual_seed(0)
    net, loss = Net(digits.size), Triplet(mining="all")
    optimizer = torch.optim.Adam(net.parameters(), LEARNING_RATE, fused=True)
    shares: list[float] = []
    for rows in itertools.islice(batches(len(digits.train_labels), ACTIVE_STEPS), ACTIVE_STEPS):
        hinges = loss.hinges(net(digits.train_images[rows]), digits.train_labels[rows])
        shares.append(float((hinges > 0).double().mean()))
        optimizer.zero_grad()
        torch.autograd.backward(hinges.clamp_min(0).sum() / (hinges > 0).sum().clamp_min(1))
        optimizer.step()
    return shares


def smoothed(shares: list[float]) -> np.ndarray:
    """Means of 15 steps."""
    return np.convolve(shares, np.ones(15) / 15, "valid")


def active_triplets(shares: list[float], theme: Theme) -> Figure:
    figure = Figure(figsize=(12, 3.6), facecolor=theme.paper, layout="constrained")
    title = f"Triplets that still have a loss, of about {TRIPLETS:,} in a batch of {BATCH}"
    axes = axes_of(figure, (1, 1, 1), title, "step", "share with a loss", theme)
    axes.plot(shares, color=theme.faint, lw=1)
    smooth = smoothed(shares)
    axes.plot(np.arange(len(smooth)) + 7, smooth, color=COLOURS[4], lw=2.4)
    axes.set_ylim(0, None)
    return figure
