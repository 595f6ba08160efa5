"""The pictures of a card page as SVG, drawn only from the card."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray

from device.contract import ModelCard

matplotlib.use("Agg")
from matplotlib import pyplot, ticker
from matplotlib.axes import Axes

SIZE = (5.2, 3.6)  # inches
INK, MATED, NON_MATED, RED = "#1d2733", "#2a7f62", "#b0563b", "#b3261e"
STYLE: Any = {
    "font.size": 10,
    "axes.edgecolor": "#8a94a0",
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#e3e7eb",
    "svg.hashsalt": "clockface",  # the same card gives the same page
    "svg.fonttype": "path",
}


def _svg(draw: Callable[[Axes], None]) -> str:
    with matplotlib.rc_context(STYLE):
        figure, axes = pyplot.subplots(figsize=SIZE, layout="constrained")
        axes.grid(True, zorder=0)
        draw(axes)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
        pyplot.close(figure)
    return text.getvalue().partition("<svg")[1] + text.getvalue().partition("<svg")[2]  # without the XML header


def entry(card: ModelCard, measure: str) -> dict[str, Any] | None:
    """The first accuracy entry with this measure."""
    return next((found for found in card.accuracy if found.get("measure") == measure), None)


def det(card: ModelCard) -> str | None:
    """FRR over FAR on the pairs."""
    found = entry(card, "det")
    if found is None:
        return None

    def draw(axes: Axes) -> None:
        far, frr = (100 * np.array(found[key]) for key in ("far", "frr"))
        axes.plot(far[frr > 0], frr[frr > 0], color=INK, linewidth=1.8)
        axes.set(xscale="log", yscale="log", xlabel="false accepts, % of non-mated pairs", ylabel="false rejects, % of mated pairs")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(ticker.LogFormatter(minor_thresholds=(2, 0.5)))

    return _svg(draw)


def histogram(card: ModelCard) -> str | None:
    """Scores of mated and non-mated pairs, with the thresholds for 100 and 1,000 people."""
    found = entry(card, "histogram")
    if found is None:
        return None

    def draw(axes: Axes) -> None:
        edges = np.linspace(found["low"], found["high"], len(found["mated"]) + 1)
        for kind, colour, label in (("non_mated", NON_MATED, "different people"), ("mated", MATED, "same person")):
            share = 100 * np.array(found[kind]) / max(1, sum(found[kind]))
            axes.stairs(share, edges, fill=True, alpha=0.55, color=colour, label=label, zorder=2)
        for point in card.operating_points:
            if point.fpir == 0.01 and point.gallery_size in (100, 1000) and point.threshold is not None:
                axes.axvline(point.threshold, color=RED, linewidth=1, linestyle="--", zorder=3)
                place = (point.threshold, 1.0)
                side = "right" if point.gallery_size == 100 else "left"
                axes.annotate(f" {point.gallery_size:,} ", place, xycoords=("data", "axes fraction"), color=RED, fontsize=9, ha=side, va="top")
        axes.set(xlabel="score (dashed: thresholds by number of people, FPIR 1 %)", ylabel="% of pairs")
        axes.legend(frameon=False, loc="upper left")

    return _svg(draw)


def misses(card: ModelCard, fpir: float) -> list[tuple[int, float, str]]:
    """(gallery size, FNIR, method): the share of mated scores below the card's threshold for that size, ignoring rank.

    Nothing where the thresholds are those of visits: the scores are of single pictures.
    """
    found = entry(card, "det")
    if found is None or card.visits is not None:
        return []
    mated = np.array(found["mated_percentiles"])
    points = [point for point in card.operating_points if abs(point.fpir - fpir) < 1e-12 and point.threshold is not None]
    return [(point.gallery_size, float(np.interp(point.threshold or 0.0, mated, np.linspace(0, 1, len(mated)))), point.method) for point in points]


def fnir(card: ModelCard) -> str | None:
    """FNIR over gallery size at the card's own thresholds, one line per target FPIR; hollow marks show extrapolated thresholds."""
    lines = {fpir: misses(card, fpir) for fpir in sorted({point.fpir for point in card.operating_points}, reverse=True)}
    if not any(lines.values()):
        return None

    def draw(axes: Axes) -> None:
        for (fpir, points), colour in zip(lines.items(), (MATED, INK, RED, NON_MATED), strict=False):
            sizes, values = [size for size, _, _ in points], [100 * value for _, value, _ in points]
            axes.plot(sizes, values, color=colour, linewidth=1.4, label=f"FPIR {100 * fpir:g} %", zorder=2)
            for size, value, (_, _, method) in zip(sizes, values, points, strict=True):
                axes.plot(size, value, "o", color=colour, markerfacecolor=colour if method == "measured" else "white", markersize=5, zorder=3)
        axes.set(xscale="log", xlabel="people enrolled (hollow: extrapolated threshold)", ylabel="FNIR, % of searches", ylim=(0, None))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.legend(frameon=False)

    return _svg(draw)


def groups(card: ModelCard) -> str | None:
    """False match rate of each group at one threshold, with the worst marked."""
    found = entry(card, "groups")
    if found is None:
        return None

    def draw(axes: Axes) -> None:
        ranked = sorted(found["fmr"].items(), key=lambda item: item[1])
        rates: NDArray[np.float64] = 100 * np.array([rate for _, rate in ranked])
        axes.barh([name for name, _ in ranked], rates, color=[MATED, *[INK] * (len(ranked) - 2), RED], alpha=0.8, zorder=2)
        axes.axvline(float(rates.mean()), color=INK, linewidth=1, linestyle="--", zorder=3)
        axes.set(xlabel=f"false matches, % (dashed: mean) at {found['threshold']:.3f}")

    return _svg(draw)
