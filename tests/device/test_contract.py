"""Alignment against OpenCV's own estimator and known transforms; cards that are not valid are refused by name."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import cv2
import numpy as np
import pytest

from device.contract import CANONICAL_LANDMARKS, CARD_SCHEMA, LANDMARK_SET, ModelCard, OperatingPoint, VisitPoints, align, similarity_transform
from tests.refused import refused


def moved(degrees: float, scale: float, shift: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    angle = np.radians(degrees)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return turn, np.array(shift)


@pytest.mark.parametrize(("degrees", "scale", "shift"), [(0, 1, (0, 0)), (30, 2, (40, -7)), (-120, 0.3, (300, 20)), (179, 5, (-50, 90))])
def test_a_known_transform_is_undone(degrees: float, scale: float, shift: tuple[float, float]) -> None:
    turn, offset = moved(degrees, scale, shift)
    landmarks = CANONICAL_LANDMARKS @ turn.T + offset
    matrix = similarity_transform(landmarks, CANONICAL_LANDMARKS)
    assert np.allclose(landmarks @ matrix[:, :2].T + matrix[:, 2], CANONICAL_LANDMARKS, atol=1e-3)


def test_least_squares_equals_umeyama() -> None:
    """S. Umeyama, 1991, by singular value decomposition: another way to the same optimum."""
    random = np.random.default_rng(0)
    for _ in range(50):
        points = CANONICAL_LANDMARKS.astype(np.float64) * random.uniform(0.2, 5) + random.normal(0, 6, (5, 2)) + random.uniform(-200, 200, 2)
        target = CANONICAL_LANDMARKS.astype(np.float64)
        a, b = points - points.mean(0), target - target.mean(0)
        left, values, right = np.linalg.svd(b.T @ a / 5)
        sign = np.array([1, np.sign(np.linalg.det(left @ right))])
        scale = (values * sign).sum() / (a**2).sum() * 5
        turn = scale * left @ np.diag(sign) @ right
        expected = np.column_stack([turn, target.mean(0) - turn @ points.mean(0)])
        assert np.allclose(similarity_transform(points, CANONICAL_LANDMARKS), expected, atol=1e-6)


def test_the_crop_has_the_landmarks_at_their_places_and_is_rgb() -> None:
    turn, offset = moved(25, 1.7, (120, 60))
    landmarks = CANONICAL_LANDMARKS @ turn.T + offset
    image = np.zeros((400, 400, 3), np.uint8)
    for x, y in landmarks:
        cv2.circle(image, (round(float(x)), round(float(y))), 5, (255, 0, 0), cv2.FILLED)  # blue in BGR
    crop = align(image, landmarks)
    assert crop.shape == (112, 112, 3) and crop.dtype == np.uint8
    for x, y in CANONICAL_LANDMARKS:
        assert crop[round(float(y)), round(float(x))].tolist() == [0, 0, 255]  # blue in RGB


@pytest.mark.parametrize(
    ("image", "landmarks", "code", "word"),
    [
        (np.zeros((10, 10), np.uint8), CANONICAL_LANDMARKS, "image", "(10, 10) uint8"),
        (np.zeros((10, 10, 3), np.float32), CANONICAL_LANDMARKS, "image", "float32"),
        (np.zeros((10, 10, 3), np.uint8), CANONICAL_LANDMARKS[:4], "landmarks", "(4, 2)"),
        (np.zeros((10, 10, 3), np.uint8), np.ones((5, 2)), "landmarks", "five distinct"),
        (np.zeros((10, 10, 3), np.uint8), CANONICAL_LANDMARKS * np.nan, "landmarks", "finite"),
    ],
)
def test_what_cannot_be_aligned_is_refused(image: Any, landmarks: Any, code: str, word: str) -> None:
    with refused(f"contract.{code}", word):
        align(image, landmarks)


def point(size: int, fpir: float, threshold: float | None) -> OperatingPoint:
    return OperatingPoint(size, fpir, threshold, threshold, threshold, "measured" if threshold else "insufficient data", "test")


@pytest.fixture
def card() -> ModelCard:
    points = (point(10, 0.01, 0.3), point(100, 0.01, 0.4), point(1000, 0.01, None), point(10, 0.001, 0.5))
    return ModelCard(CARD_SCHEMA, "a" * 64, "m", 128, 112, "RGB", LANDMARK_SET, "float32", "none", "none", "", (), (), points)


def test_a_card_survives_its_json(card: ModelCard) -> None:
    assert ModelCard.from_json(card.to_json()) == card


VISITS = VisitPoints((0.2, 0.1, 0.04), 0.25, "made up for this test")


def test_a_card_with_visits_survives_its_json(card: ModelCard) -> None:
    by_visits = dataclasses.replace(card, visits=VISITS)
    read = ModelCard.from_json(by_visits.to_json())
    assert read == by_visits != card and read.visits == VISITS
    assert ModelCard.from_json(read.to_json()) == by_visits


def test_a_card_written_before_visits_can_be_read(card: ModelCard) -> None:
    data = json.loads(card.to_json())
    assert data.pop("visits") is None
    assert ModelCard.from_json(json.dumps(data)) == card


@pytest.mark.parametrize(
    "visits",
    [
        5,
        [],
        {},
        {"early": [0.1]},
        *({"early": early, "changed": 0.2, "data": "d"} for early in (3, "abc", [5.0])),
        {"early": [], "changed": 0.2, "data": "d", "more": 1},
    ],
)
def test_visits_that_are_none_are_refused(card: ModelCard, visits: Any) -> None:
    with refused("contract.card", "export the model again"):
        ModelCard.from_json(json.dumps({**json.loads(card.to_json()), "visits": visits}))


@pytest.mark.parametrize(
    ("pictures", "margin"),
    [(0.0, 0.2), (0.4, 0.2), (1.0, 0.2), (1.5, 0.15), (2.0, 0.1), (2.25, 0.085), (3.0, 0.04), (3.5, 0.02), (4.0, 0.0), (4.5, 0.0), (600.0, 0.0)],
)
def test_the_early_margin_lies_between_two_entries(pictures: float, margin: float) -> None:
    assert VISITS.margin(pictures) == pytest.approx(margin, abs=1e-12)


def test_the_early_margin_never_rises() -> None:
    """By numpy's interpolation, which continues its last value on either side."""
    at = np.linspace(0, 8, 400)
    margins = [VISITS.margin(float(pictures)) for pictures in at]
    assert margins == pytest.approx(np.interp(at, [1, 2, 3, 4], [0.2, 0.1, 0.04, 0.0]).tolist(), abs=1e-12)
    assert np.all(np.diff(margins) <= 1e-12)


def test_no_early_margin_is_none_at_all() -> None:
    assert [VisitPoints((), 0.25, "").margin(pictures) for pictures in (0.0, 1.0, 9.0)] == [0.0] * 3


def test_the_loosest_threshold(card: ModelCard) -> None:
    assert card.loosest_threshold() == 0.3 and card.loosest_threshold(0.001) == 0.5
    assert card.loosest_threshold(0.5) == 0.3, "no point at this FPIR: the lowest of all"
    assert dataclasses.replace(card, operating_points=(point(10, 0.01, None), point(50, 0.01, 0.6))).loosest_threshold() == 0.6
    assert dataclasses.replace(card, operating_points=(point(10, 0.01, None), point(50, 0.1, 0.6))).loosest_threshold() == 0.6
    for nothing in ((), (point(10, 0.01, None),)):
        with refused("contract.threshold", "calibrate"):
            dataclasses.replace(card, operating_points=nothing).loosest_threshold()


@pytest.mark.parametrize(
    ("key", "value", "word"),
    [
        ("schema", 99, "schema expected 1, got 99"),
        ("crop_size", 96, "crop_size"),
        ("colour_order", "BGR", "colour_order"),
        ("model_id", "xyz", "model_id"),
        ("embedding_size", 0, "embedding_size"),
        ("precision", "int4", "precision"),
        ("surprise", 1, "surprise"),
        ("name", None, "name"),
    ],
)
def test_a_wrong_card_is_refused_by_name(card: ModelCard, key: str, value: Any, word: str) -> None:
    data = json.loads(card.to_json())
    if value is None:
        del data[key]
    else:
        data[key] = value
    with refused("contract.card", word):
        ModelCard.from_json(json.dumps(data))


def test_the_operating_point_is_the_smallest_that_holds_everybody(card: ModelCard) -> None:
    assert [card.operating_point(people, 0.01).threshold for people in (1, 10, 11, 100)] == [0.3, 0.3, 0.4, 0.4]
    assert card.operating_point(10, 0.001).threshold == 0.5
    with refused("contract.threshold", "insufficient data", "1000"):
        card.operating_point(101, 0.01)
    with refused("contract.threshold", "11 people at FPIR 0.001"):
        card.operating_point(11, 0.001)
