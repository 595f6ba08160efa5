"""The dial plot: embeddings inside a circle, a hand per class in its mean direction, and outside the histogram of directions, which cosines depend on."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from PIL import Image

from training.visualize.study import Snapshot, StudyResult
from training.visualize.theme import COLOURS, Theme, encode

BINS = 240  # of the outer ring, 1.5 degrees each
CIRCLE = np.exp(1j * np.linspace(0, 2 * np.pi, 361))
MINUTES = np.exp(2j * np.pi * np.arange(60) / 60)
FRAME_DPI = 88  # dots per inch of the animation


def draw(axes: Axes, outcome: StudyResult, frame: Snapshot, theme: Theme, notes: str = "") -> None:
    """Plot one loss at one step."""
    axes.set(xlim=(-1.42, 1.42), ylim=(-1.42, 1.42), aspect="equal")
    axes.axis("off")
    _face(axes, theme)
    points = frame.embeddings / radius(frame)
    classes = range(len(frame.directions))
    colours = [COLOURS[k] for k in classes]
    axes.add_collection(LineCollection([[(0, 0), tuple(d)] for d in frame.directions], colors=colours, lw=1.1, alpha=0.55, zorder=2))
    axes.scatter(points[:, 0], points[:, 1], s=7, c=[COLOURS[k] for k in outcome.labels], alpha=0.75, lw=0, zorder=3)
    for k in classes:
        axes.add_collection(PolyCollection(ring(points[outcome.labels == k]), facecolors=colours[k], alpha=0.8, lw=0, zorder=3))
        x, y = 1.33 * frame.directions[k]
        axes.text(x, y, str(k), color=colours[k], ha="center", va="center", fontsize=8.5, fontweight="bold")
    axes.set_title(outcome.entry.title, color=theme.ink, fontsize=11.5, fontweight="bold", pad=3)
    axes.text(0, -1.52, notes, color=theme.soft, ha="center", va="top", fontsize=8, linespacing=1.35)


def _face(axes: Axes, theme: Theme) -> None:
    axes.fill(CIRCLE.real, CIRCLE.imag, color=theme.face, zorder=0)
    axes.plot(CIRCLE.real, CIRCLE.imag, color=theme.faint, lw=0.9, zorder=4)
    ticks = [[(inner * t.real, inner * t.imag), (t.real, t.imag)] for k, t in enumerate(MINUTES) for inner in (0.95 if k % 5 == 0 else 0.975,)]
    axes.add_collection(LineCollection(ticks, colors=theme.faint, lw=0.7, zorder=1))


def radius(frame: Snapshot) -> float:
    """The length that is 1 in the dial, so that 99 % of the embeddings lie inside."""
    return float(max(np.quantile(np.linalg.norm(frame.embeddings, axis=1), 0.99) / 0.93, 1e-6))


def ring(points: Any) -> Any:
    """Histogram of the directions of a class, outward from the ring: (N, 2) -> (B, 4, 2) corners; a class with one direction makes one spike."""
    counts, edges = np.histogram(np.arctan2(points[:, 1], points[:, 0]), BINS, (-np.pi, np.pi))
    heights = 1.02 + 0.2 * (counts / max(counts.sum(), 1)) ** 0.5  # root: a wide class stays visible beside a spike
    filled = counts.nonzero()[0]
    left, right = np.exp(1j * edges[filled]), np.exp(1j * edges[filled + 1])
    corners = np.stack([1.02 * left, heights[filled] * left, heights[filled] * right, 1.02 * right], axis=1)  # (B, 4)
    return np.stack([corners.real, corners.imag], axis=2)


def notes(outcome: StudyResult) -> str:
    if outcome.nan_step is not None:
        return f"NaN at step {outcome.nan_step}\nthe last finite picture"
    return f"accuracy {100 * outcome.accuracy:.0f} %\nwithin {outcome.within:.1f}°, to the next class {outcome.between:.0f}°"


def panel(outcomes: Sequence[StudyResult], title: str, theme: Theme, columns: int = 5) -> Figure:
    """All losses side by side."""
    rows = -(-len(outcomes) // columns)
    figure = Figure(figsize=(2.75 * columns, 3.35 * rows + 0.7), facecolor=theme.paper)
    for position, outcome in enumerate(outcomes):
        draw(figure.add_subplot(rows, columns, position + 1), outcome, outcome.frames[-1], theme, notes(outcome))
    figure.suptitle(title, color=theme.ink, fontsize=15, y=1 - 0.25 / figure.get_figheight())
    figure.subplots_adjust(0.01, 0.55 / figure.get_figheight(), 0.99, 1 - 0.95 / figure.get_figheight(), 0.02, 0.27)
    return figure


def animate(outcomes: Sequence[StudyResult], path: Path, theme: Theme, columns: int = 3) -> None:
    """The dials over training, one GIF frame per snapshot; a run that ended early keeps its last one."""
    pictures = []
    rows = -(-len(outcomes) // columns)
    for moment in range(max(len(outcome.frames) for outcome in outcomes)):
        figure = Figure(figsize=(2.5 * columns, 2.75 * rows + 0.25), facecolor=theme.paper)
        for position, outcome in enumerate(outcomes):
            frame = outcome.frames[min(moment, len(outcome.frames) - 1)]
            broken = outcome.nan_step is not None and moment >= len(outcome.frames) - 1
            text = f"NaN at step {outcome.nan_step}" if broken else f"step {frame.step}"
            draw(figure.add_subplot(rows, columns, position + 1), outcome, frame, theme, text)
        figure.subplots_adjust(0.01, 0.3 / figure.get_figheight(), 0.99, 1 - 0.32 / figure.get_figheight(), 0.02, 0.2)
        pictures.append(Image.open(io.BytesIO(encode(figure, FRAME_DPI))).convert("RGB").quantize(64, dither=Image.Dither.NONE))
    waits = [140] * (len(pictures) - 1) + [3000]  # ms
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=waits, loop=0, optimize=True)
