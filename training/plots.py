"""Plots of an evaluation: DET curve and score histogram."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np

from training.metrics import ComparisonScores

matplotlib.use("Agg")
from matplotlib import pyplot


def det(scores: ComparisonScores, path: Path) -> None:
    """False rejection rate over false acceptance rate, both logarithmic."""
    _, far, frr = scores.det()
    figure, axes = pyplot.subplots(figsize=(5, 4), layout="constrained")
    shown = (far > 0) & (frr > 0)
    axes.loglog(far[shown], frr[shown])
    axes.set(xlabel="FAR", ylabel="FRR", title="DET")
    axes.grid(True, which="both", alpha=0.3)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def histogram(scores: ComparisonScores, path: Path) -> None:
    """Histograms of mated and non-mated scores."""
    figure, axes = pyplot.subplots(figsize=(5, 4), layout="constrained")
    edges = np.linspace(-0.6, 1.0, 81).tolist()
    axes.hist(scores.non_mated, edges, alpha=0.6, density=True, label="different people")
    axes.hist(scores.mated, edges, alpha=0.6, density=True, label="same person")
    axes.set(xlabel="score", ylabel="density")
    axes.legend()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
