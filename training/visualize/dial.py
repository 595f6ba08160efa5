"""The dial plot: embeddings inside a circle, a hand per class in its mean direction, and outside the histogram of directions, which cosines depend on."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from training.visualize.study import Snapshot, StudyResult

matplotlib.use("Agg")
PAPER, INK, FAINT = "#fbfaf6", "#22262e", "#c9c6bd"
COLOURS = ("#e4572e", "#f2a541", "#b8b42d", "#4f9d50", "#17a398", "#2e86c1", "#4a56b8", "#8e44ad", "#d6409f", "#7a5c48")
BINS = 240  # of the outer ring, 1.5 degrees each


def draw(axes: Axes, outcome: StudyResult, frame: Snapshot, notes: str = "") -> None:
    """Plot one loss at one step."""
    axes.set(xlim=(-1.42, 1.42), ylim=(-1.42, 1.42), aspect="equal")
    axes.axis("off")
    _face(axes)
    for k, direction in enumerate(frame.directions):
        points = frame.embeddings[outcome.labels == k] / _radius(frame)
        axes.plot([0, direction[0]], [0, direction[1]], color=COLOURS[k], lw=1.1, alpha=0.55, zorder=2, solid_capstyle="round")
        axes.scatter(points[:, 0], points[:, 1], s=7, color=COLOURS[k], alpha=0.75, lw=0, zorder=3)
        _ring(axes, points, COLOURS[k])
        x, y = 1.33 * direction
        axes.text(x, y, str(k), color=COLOURS[k], ha="center", va="center", fontsize=8.5, fontweight="bold")
    axes.set_title(outcome.entry.title, color=INK, fontsize=11.5, fontweight="bold", pad=3)
    axes.text(0, -1.52, notes, color="#6d6a62", ha="center", va="top", fontsize=7.8, linespacing=1.35)


def _face(axes: Axes) -> None:
    circle = np.exp(1j * np.linspace(0, 2 * np.pi, 361))
    axes.fill(circle.real, circle.imag, color="white", zorder=0)
    axes.plot(circle.real, circle.imag, color=FAINT, lw=0.9, zorder=4)
    for minute in range(60):
        tick, inner = np.exp(2j * np.pi * minute / 60), 0.95 if minute % 5 == 0 else 0.975
        axes.plot([inner * tick.real, tick.real], [inner * tick.imag, tick.imag], color=FAINT, lw=0.7, zorder=1)


def _radius(frame: Snapshot) -> float:
    """The length that is 1 in the dial, so that 99 % of the embeddings lie inside."""
    return float(max(np.quantile(np.linalg.norm(frame.embeddings, axis=1), 0.99) / 0.93, 1e-6))


def _ring(axes: Axes, points: Any, colour: str) -> None:
    """Histogram of the directions of a class, outward from the ring; a class with one direction makes one spike."""
    turns = np.arctan2(points[:, 1], points[:, 0])
    counts, edges = np.histogram(turns, BINS, (-np.pi, np.pi))
    heights = 1.02 + 0.2 * (counts / max(counts.sum(), 1)) ** 0.5  # root: a wide class stays visible beside a spike
    for k in counts.nonzero()[0]:
        arc = np.exp(1j * np.array([edges[k], edges[k + 1]]))
        wedge = np.array([1.02 * arc[0], heights[k] * arc[0], heights[k] * arc[1], 1.02 * arc[1]])
        axes.fill(wedge.real, wedge.imag, color=colour, alpha=0.8, lw=0, zorder=3)


def notes(outcome: StudyResult) -> str:
    if outcome.nan_step is not None:
        return f"NaN at step {outcome.nan_step}\nthe last finite picture"
    return f"accuracy {100 * outcome.accuracy:.0f} %\nwithin {outcome.within:.1f}°, to the next class {outcome.between:.0f}°"


def panel(outcomes: Sequence[StudyResult], path: Path, title: str, columns: int = 5) -> None:
    """All losses side by side."""
    rows = -(-len(outcomes) // columns)
    figure = Figure(figsize=(2.75 * columns, 3.35 * rows + 0.7), facecolor=PAPER)
    for position, outcome in enumerate(outcomes):
        draw(figure.add_subplot(rows, columns, position + 1), outcome, outcome.frames[-1], notes(outcome))
    figure.suptitle(title, color=INK, fontsize=15, y=1 - 0.25 / figure.get_figheight())
    figure.subplots_adjust(0.01, 0.55 / figure.get_figheight(), 0.99, 1 - 0.95 / figure.get_figheight(), 0.02, 0.27)
    save(figure, path)


def save(figure: Figure, path: Path, dpi: int = 110) -> None:
    """Save as a PNG of 256 colours, a third of the size without a visible difference."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=dpi, facecolor=PAPER)
    Image.open(buffer).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def animate(outcomes: Sequence[StudyResult], path: Path, columns: int = 3) -> None:
    """The dials over training, one GIF frame per snapshot; a run that ended early keeps its last one."""
    pictures = []
    rows = -(-len(outcomes) // columns)
    for moment in range(max(len(outcome.frames) for outcome in outcomes)):
        figure = Figure(figsize=(2.5 * columns, 2.75 * rows + 0.25), facecolor=PAPER)
        for position, outcome in enumerate(outcomes):
            frame = outcome.frames[min(moment, len(outcome.frames) - 1)]
            broken = outcome.nan_step is not None and moment >= len(outcome.frames) - 1
            draw(figure.add_subplot(rows, columns, position + 1), outcome, frame, f"NaN at step {outcome.nan_step}" if broken else f"step {frame.step}")
        figure.subplots_adjust(0.01, 0.3 / figure.get_figheight(), 0.99, 1 - 0.32 / figure.get_figheight(), 0.02, 0.2)
        buffer = io.BytesIO()
        figure.savefig(buffer, dpi=88, facecolor=PAPER)
        pictures.append(Image.open(buffer).convert("RGB").quantize(64, dither=Image.Dither.NONE))
    waits = [140] * (len(pictures) - 1) + [3000]  # ms
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=waits, loop=0, optimize=True)
