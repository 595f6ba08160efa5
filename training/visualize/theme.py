"""Colours of the pictures, light and dark, and how a picture is saved; a class has the same colour in every picture and in both."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

matplotlib.use("Agg")
DASHES = ("-", "--", "-.", (0, (1, 1.5)))  # of lines in one picture, so that they are told apart where there are no colours
COLOURS = ("#e4572e", "#f2a541", "#b8b42d", "#4f9d50", "#17a398", "#2e86c1", "#5f6bd6", "#a05bc0", "#d6409f", "#9a7358")  # of the classes 0 to 9


@dataclass(frozen=True)
class Theme:
    """Colours of everything that is no class."""

    suffix: str  # of the file's name, before the dot
    paper: str  # around the plots
    face: str  # inside them
    ink: str  # titles
    soft: str  # notes and numbers at the axes
    faint: str  # outlines
    grid: str

    def file(self, path: Path) -> Path:
        """`panel.png` -> `panel-dark.png` for the dark theme."""
        return path.with_stem(path.stem + self.suffix)


LIGHT = Theme("", paper="#fbfaf6", face="#ffffff", ink="#22262e", soft="#6d6a62", faint="#c9c6bd", grid="#eeece5")
DARK = Theme("-dark", paper="#16191f", face="#1e222a", ink="#e8e6e0", soft="#a7a49b", faint="#4b4f58", grid="#2b3039")
THEMES = (LIGHT, DARK)


def axes_of(figure: Figure, position: tuple[int, int, int], title: str, across: str, up: str, theme: Theme) -> Axes:
    """Axes in the style of these pictures."""
    axes = figure.add_subplot(*position, facecolor=theme.face)
    axes.set_title(title, color=theme.ink, fontsize=11.5, fontweight="bold", loc="left")
    axes.set_xlabel(across, color=theme.ink)
    axes.set_ylabel(up, color=theme.ink)
    axes.grid(color=theme.grid, lw=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(theme.faint)
    axes.tick_params(colors=theme.soft, labelsize=8.5)
    return axes


def legend(axes: Axes, theme: Theme, **options: Any) -> None:
    axes.legend(frameon=False, fontsize=9, labelcolor=theme.ink, **options)


def encode(figure: Figure, dpi: int) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, facecolor=figure.get_facecolor(), pil_kwargs={"compress_level": 1})
    return buffer.getvalue()


def save(path: Path, build: Callable[[Theme], Figure], dpi: int = 110) -> None:
    """Save as two PNG of 256 colours, light and dark; so few colours are a third of the size without a visible difference."""
    for theme in THEMES:
        picture = Image.open(io.BytesIO(encode(build(theme), dpi))).convert("RGB")
        picture.quantize(256, dither=Image.Dither.NONE).save(theme.file(path), optimize=True)
