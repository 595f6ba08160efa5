"""Pictures of two claims that need several runs each: where mining of triplets collapses, and when an arccos gives NaN."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from training.losses.triplet import Triplet
from training.visualize.entries import ALPHAS, ARCCOS, MINING
from training.visualize.study import StudyResult
from training.visualize.theme import COLOURS, DASHES, Theme, axes_of, legend

COLLAPSED = 5.0  # degrees: a mean angle to the next class below this means that classes coincide, on one point or a few
MEASURED = 128  # test images of the loss over all triplets, which grows with their third power


def collapsed(outcome: StudyResult) -> bool:
    return outcome.between < COLLAPSED


def triplet_loss(outcome: StudyResult, alpha: float) -> list[float]:
    """The loss over all triplets of test images at each snapshot, those without a loss counted as 0: the chapter's form."""
    loss, labels = Triplet(margin=alpha, mining="all"), torch.from_numpy(outcome.labels[:MEASURED])
    return [float(loss.hinges(torch.from_numpy(frame.embeddings[:MEASURED]), labels).clamp_min(0).mean()) for frame in outcome.frames]


def alphas(runs: Sequence[Sequence[StudyResult]], theme: Theme) -> Figure:
    """`runs`: one sequence of seeds for each mining and alpha, alpha within mining."""
    figure = Figure(figsize=(12, 4.4), facecolor=theme.paper, layout="constrained")
    curve = axes_of(figure, (1, 2, 1), "Loss over all triplets, as a share of α", "step", "loss / α, mining all", theme)
    for seeds, alpha, colour, dashes in zip(runs, ALPHAS, (COLOURS[4], COLOURS[5], COLOURS[7], COLOURS[0]), DASHES, strict=False):
        shares = [value / alpha for value in triplet_loss(seeds[0], alpha)]
        curve.plot([frame.step for frame in seeds[0].frames], shares, lw=2, color=colour, ls=dashes, label=f"α = {alpha:g}")
    curve.axhline(1, color=theme.soft, lw=1, ls=":")
    curve.text(0.99, 1.03, "all on one point", color=theme.soft, fontsize=8.5, ha="right", transform=curve.get_yaxis_transform())
    curve.set_ylim(0, 1.6)
    legend(curve, theme, loc="upper right")
    _collapses(axes_of(figure, (1, 2, 2), "Seeds whose classes coincide; TAR of the others", "α", "", theme), runs, theme)
    return figure


def _collapses(axes: Axes, runs: Sequence[Sequence[StudyResult]], theme: Theme) -> None:
    shares = np.array([statistics.fmean(collapsed(outcome) for outcome in seeds) for seeds in runs]).reshape(len(MINING), len(ALPHAS))
    axes.imshow(shares, LinearSegmentedColormap.from_list("collapse", [theme.face, COLOURS[0]]), vmin=0, vmax=1.25, aspect="auto")
    for place, seeds in enumerate(runs):
        rates = [100 * outcome.tar_known for outcome in seeds if not collapsed(outcome)]
        told = f"{len(seeds) - len(rates)} of {len(seeds)}" + (f"\n{statistics.fmean(rates):.0f} %" if rates else "")
        axes.text(place % len(ALPHAS), place // len(ALPHAS), told, color=theme.ink, ha="center", va="center", fontsize=9.5)
    axes.set_xticks(range(len(ALPHAS)), [f"{alpha:g}" for alpha in ALPHAS])
    axes.set_yticks(range(len(MINING)), [mining.replace("_", "-") for mining in MINING])
    axes.grid(visible=False)


NAN_MARKS: tuple[dict[str, Any], ...] = tuple(  # for each cause; forms tell them apart where there are no colours
    {"color": COLOURS[number], "marker": marker, "s": size, "lw": 0} for number, marker, size in ((0, "o", 34), (7, "^", 44), (3, "s", 30))
)


def nan_steps(runs: Sequence[Sequence[StudyResult]], limit: int, theme: Theme) -> Figure:
    """A dot for each seed at the step whose gradient was not finite; seeds that stayed finite stand at the right."""
    figure = Figure(figsize=(12, 3.6), facecolor=theme.paper, layout="constrained")
    axes = axes_of(figure, (1, 1, 1), f"Steps until NaN, {len(runs[0])} seeds for each arccos", "step", "", theme)
    for row, seeds in enumerate(runs):
        for place, outcome in enumerate(sorted(seeds, key=lambda outcome: outcome.nan_step or limit)):
            height = -row + 0.5 * (place / max(len(seeds) - 1, 1) - 0.5)
            cause = 2 if outcome.nan_step is None else 1 if outcome.nan_in_value else 0
            axes.scatter(limit * 1.1 if outcome.nan_step is None else max(outcome.nan_step, 1), height, zorder=3, **NAN_MARKS[cause])
    for marks, label in zip(NAN_MARKS, ("the derivative is infinite", "arccos of a cosine above 1", f"finite for all {limit} steps"), strict=True):
        axes.scatter([], [], label=label, **marks)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.tick_params(which="minor", color=theme.faint)
    axes.set_xlim(0.8, limit * 1.3)
    axes.set_yticks([-row for row in range(len(runs))], [entry.title for entry in ARCCOS])
    axes.axvline(limit, color=theme.faint, lw=1, ls=":")
    legend(axes, theme, loc="lower left")
    return figure
