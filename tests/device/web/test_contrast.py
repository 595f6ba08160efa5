"""Words on the kiosk stand out: WCAG 2.2, success criterion 1.4.3 and 1.4.6, from the colours of the stylesheet."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CSS = (Path(__file__).resolve().parents[3] / "device/web/static/kiosk.css").read_text()
COLOURS = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{3,6})", CSS))


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_the_measure_itself() -> None:
    assert contrast("#000", "#ffffff") == pytest.approx(21) and contrast("#777777", "#fff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("ground", ["good", "again", "ask", "ground", "panel", "bad"])
def test_white_words_on_each_ground(ground: str) -> None:
    assert contrast(COLOURS["text"], COLOURS[ground]) >= 4.5 + 1.5  # read from two metres


@pytest.mark.parametrize("words", ["warn", "soft"])
def test_coloured_words_on_the_dark_ground(words: str) -> None:
    assert contrast(COLOURS[words], COLOURS["ground"]) >= 7
