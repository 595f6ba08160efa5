"""Search against brute force in pure Python."""

from __future__ import annotations

import numpy as np
import pytest

from device.vision.gallery import Gallery
from tests.refused import refused


def unit(rows: int, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(rows, 16)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def test_search_agrees_with_brute_force() -> None:
    ids = np.repeat(np.arange(1, 41), 3).astype(np.int64)
    templates = unit(120)
    gallery = Gallery("m", 16)
    for start in range(0, 120, 50):  # grows twice
        gallery.add(ids[start : start + 50], templates[start : start + 50], "m")
    for probe in unit(30, seed=1):
        best: dict[int, float] = {}
        for person, template in zip(ids.tolist(), templates, strict=True):
            best[person] = max(best.get(person, -1.0), sum(float(a) * float(b) for a, b in zip(template, probe, strict=True)))
        ranked = sorted(best.items(), key=lambda item: -item[1])
        match = gallery.search(probe)
        assert match is not None and match.person_id == ranked[0][0]
        assert match.score == pytest.approx(ranked[0][1], abs=1e-5)
        assert match.lead == pytest.approx(ranked[0][1] - ranked[1][1], abs=1e-5)


def test_people_come_and_go() -> None:
    templates = unit(4)
    gallery = Gallery("m", 16)
    assert gallery.search(templates[0]) is None
    gallery.add(np.array([7, 7]), templates[:2], "m")
    match = gallery.search(templates[1])
    assert match is not None and match.lead is None  # nobody else is enrolled
    gallery.add(np.array([8]), templates[2:3], "m")
    assert gallery.remove(7) == 2
    match = gallery.search(templates[0])
    assert match is not None and match.person_id == 8 and gallery.people == 1


@pytest.mark.parametrize(
    ("templates", "model", "code", "word"),
    [
        (unit(1), "other", "model.mismatch", "other"),
        (unit(1) * 2, "m", "gallery.templates", "unit length"),
        (unit(1)[:, :8], "m", "gallery.templates", "(1, 8)"),
        (unit(1).astype(np.float64), "m", "gallery.templates", "float32"),
    ],
)
def test_what_does_not_belong_is_refused(templates: np.ndarray, model: str, code: str, word: str) -> None:
    with refused(code, word):
        Gallery("m", 16).add(np.array([1]), templates, model)
