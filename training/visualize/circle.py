"""The angle theta and the margin m, drawn between the directions of two classes: where each loss puts the border, and the gap it leaves."""

from __future__ import annotations

import math

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from training import losses
from training.visualize.dial import CIRCLE
from training.visualize.theme import COLOURS, DASHES, Theme, axes_of, legend

FORMS = (  # title, the rule for class 1, what is added to theta, loss, options
    ("Softmax, unit length", "cos θ₁ > cos θ₂", "", "cosface", {"margin": 0.0}),
    ("A-Softmax, m = 4", "cos 4θ₁ > cos θ₂", "3θ₁", "a_softmax", {"lambda_start": 0.0, "lambda_min": 0.0}),
    ("ArcFace, m = 0.5", "cos(θ₁ + m) > cos θ₂", "m", "arcface", {"margin": 0.5}),
    ("CosFace, m = 0.35", "cos θ₁ - m > cos θ₂", "m", "cosface", {"margin": 0.35}),
)
BETWEEN = math.radians(80)  # from one class to the other in the circles
EXAMPLE = math.radians(14)  # from class 1 to the embedding that is drawn
STEPS = 3001  # of the search for a border
FIRST, SECOND, SAMPLE = COLOURS[5], COLOURS[0], COLOURS[3]


def margin_loss(name: str, options: dict[str, float]) -> losses.Margin:
    loss = losses.build(name, 2, 2, **options)
    assert isinstance(loss, losses.Margin)
    return loss


def borders(loss: losses.Margin, between: Tensor) -> Tensor:
    """The angle from class 1 up to which an image counts as classified: f(theta_1) = cos(between - theta_1), by the code that trains.

    0 where even an image in the direction of class 1 does not. Radians, (A,) float64 -> (A,).
    """
    theta = between.unsqueeze(1) * torch.linspace(0, 1, STEPS, dtype=torch.float64)  # (A, STEPS)
    wins = loss.curve(theta.flatten()).view_as(theta) > torch.cos(between.unsqueeze(1) - theta)  # once lost, it stays lost
    return (theta * wins).amax(dim=1)


def margins(theme: Theme) -> Figure:
    """Four circles, and below them the gap over the angle between the classes."""
    figure = Figure(figsize=(12, 7.6), facecolor=theme.paper, layout="constrained")
    for position, (title, rule, added, name, options) in enumerate(FORMS):
        axes, loss = figure.add_subplot(2, 4, position + 1), margin_loss(name, options)
        axes.set_title(title, color=theme.ink, fontsize=11.5, fontweight="bold")
        axes.text(0.5, -0.2, rule, color=theme.soft, ha="center", va="center", fontsize=9.5)
        counted = math.acos(loss.curve(torch.tensor([EXAMPLE], dtype=torch.float64)).item())
        _circle(axes, float(borders(loss, torch.tensor([BETWEEN], dtype=torch.float64))), added, counted, theme)
    axes = axes_of(figure, (2, 1, 2), "Gap between the two classes", "angle between the classes, degrees", "gap, degrees", theme)
    angles = torch.arange(2, 181, 2, dtype=torch.float64).deg2rad()
    for (title, _, _, name, options), colour, dashes in zip(FORMS, (theme.soft, COLOURS[7], COLOURS[4], COLOURS[1]), DASHES, strict=True):
        gaps = angles - 2 * borders(margin_loss(name, options), angles)
        axes.plot(angles.rad2deg(), gaps.rad2deg(), lw=2, color=colour, ls=dashes, label=title)
    axes.plot([0, 180], [0, 180], lw=1, ls=":", color=theme.faint)
    axes.set(xlim=(0, 180), ylim=(-3, 120), xticks=range(0, 181, 20))
    axes.text(88, 92, "on this line no room is left for either class", color=theme.soft, fontsize=9, ha="right")
    legend(axes, theme, loc="upper left")
    return figure


def _circle(axes: Axes, reach: float, added: str, counted: float, theme: Theme) -> None:
    """`reach` is the angle from each class to its border, `counted` the angle that the loss takes the sample's to be."""
    axes.set(xlim=(-0.3, 1.36), ylim=(-0.24, 1.36), aspect="equal")
    axes.axis("off")
    axes.plot(CIRCLE.real, CIRCLE.imag, color=theme.faint, lw=0.9)
    start = math.pi / 4 - BETWEEN / 2  # the bisector of the classes is the diagonal
    _sector(axes, start - 0.2, start + reach, FIRST)
    _sector(axes, start + BETWEEN - reach, start + BETWEEN + 0.2, SECOND)
    for angle, colour, label in ((start, FIRST, "W₁"), (start + BETWEEN, SECOND, "W₂"), (start + EXAMPLE, SAMPLE, "x")):
        axes.annotate("", (math.cos(angle), math.sin(angle)), (0, 0), arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 1.8, "shrinkA": 0, "shrinkB": 0})
        axes.text(1.11 * math.cos(angle), 1.11 * math.sin(angle), label, color=colour, ha="center", va="center", fontsize=11, fontweight="bold")
    _arc(axes, 0.46, start, start + EXAMPLE, "θ₁", theme.ink)
    _arc(axes, 0.3, start + EXAMPLE, start + BETWEEN, "θ₂", theme.ink)
    if added:
        ghost = start + counted
        axes.plot([0, math.cos(ghost)], [0, math.sin(ghost)], color=SAMPLE, lw=1.4, ls=(0, (4, 3)))
        _arc(axes, 0.7, start + EXAMPLE, ghost, added, SAMPLE)
    gap = BETWEEN - 2 * reach
    if gap > 0.01:
        _arc(axes, 1.06, start + reach, start + BETWEEN - reach, f"gap {math.degrees(gap):.0f}°", theme.soft)


def _sector(axes: Axes, start: float, end: float, colour: str) -> None:
    arc = np.exp(1j * np.linspace(start, max(end, start), 60))
    axes.fill([0, *arc.real, 0], [0, *arc.imag, 0], color=colour, alpha=0.22, lw=0)


def _arc(axes: Axes, size: float, start: float, end: float, label: str, colour: str) -> None:
    arc = size * np.exp(1j * np.linspace(start, end, 60))
    axes.plot(arc.real, arc.imag, color=colour, lw=1.1)
    middle = (size + (0.12 if size > 1 else 0.08)) * np.exp(1j * (start + end) / 2)
    axes.text(middle.real, middle.imag, label, color=colour, ha="center", va="center", fontsize=9)
