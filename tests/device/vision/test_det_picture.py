"""The DET picture: where shares stand on its axes, and that the points it draws are those of the scores."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest
from scipy import stats

from device.vision.det_picture import LEFT, SIDE, TICKS, TOP, det, place

SVG = "{http://www.w3.org/2000/svg}"


def at(apcer: float, bpcer: float) -> tuple[float, float]:
    """Where a point stands, in units of the drawing."""
    return pytest.approx(LEFT + SIDE * place(apcer), abs=0.06), pytest.approx(TOP + SIDE * (1 - place(bpcer)), abs=0.06)


def test_the_axes_follow_the_normal_deviate() -> None:
    low, high = stats.norm.ppf(TICKS[0]), stats.norm.ppf(TICKS[-1])
    for share in (0.001, 0.02, 0.5, 0.9, 0.95):
        assert place(share) == pytest.approx((stats.norm.ppf(share) - low) / (high - low), abs=1e-9)
    assert (place(0.0), place(1.0)) == (0.0, 1.0)


def test_the_lines_by_hand() -> None:
    """Of four attacks and two living faces, at rising thresholds: APCER 1, 3/4, 1/2, 1/2, 1/4, 1/4, 0 and BPCER 0, 0, 0, 1/2, 1/2, 1, 1."""
    picture = ET.fromstring(det({"print": [0.1, 0.2, 0.5, 0.9], "never judged": [], "a <b>": [0.05]}, [0.3, 0.7], 0.4))
    lines = [[tuple(map(float, pair.split(","))) for pair in line.get("points", "").split()] for line in picture.iter(f"{SVG}polyline")]
    corners = [(1, 0), (0.75, 0), (0.5, 0), (0.5, 0.5), (0.25, 0.5), (0.25, 1), (0, 1)]
    assert len(lines) == 2 and [at(*corner) in lines[0] for corner in corners] == [True] * 7
    marks = [(float(mark.get("cx", 0)), float(mark.get("cy", 0))) for mark in picture.iter(f"{SVG}circle")]
    assert marks == [at(0.5, 0.5), at(0.0, 0.5)]
    words = [text.text for text in picture.iter(f"{SVG}text")]
    assert {"print (4)", "a <b> (1)", "of 2 living faces", "mark: threshold 0.4"} <= set(words)


def test_it_loads_nothing_else() -> None:
    text = det({"print": [0.2]}, [0.7], 0.5)
    assert re.findall("https?://[^\"' ]+", text) == ["http://www.w3.org/2000/svg"]
