"""Whatever comes in from outside is taken or refused in words: a configuration, a card, a manifest, a picture, a list of people, a sealed text."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from device import bulk, config
from device.contract import ClockfaceError, ModelCard
from device.images import read_image
from device.keys import unseal
from device.manifest import Manifest

MANY = settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
PICTURE = bytes(cv2.imencode(".png", np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8))[1])


def in_a_file(data: bytes, read: Callable[[Path], object], suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder, suppress(ClockfaceError):
        (path := Path(folder) / f"given{suffix}").write_bytes(data)
        read(path)


@MANY
@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_configuration(data: bytes) -> None:
    in_a_file(data, config.load, ".toml")


@MANY
@given(st.sampled_from(["camera", "decision", "store", "web", "attendance", "retention", "x"]), st.dictionaries(st.text(max_size=12), JSON, max_size=3))
def test_any_section(section: str, table: dict[str, Any]) -> None:
    with suppress(ClockfaceError):
        config.read_section(config.DecisionSettings, section, table)
    for key in ("fpir", "agree", "window"):
        for value in table.values():
            with suppress(ClockfaceError):
                made = config.read_section(config.DecisionSettings, section, {key: value})
                assert 0 < made.fpir <= 0.5 and 1 <= made.agree <= made.window <= 50


@MANY
@given(JSON.map(json.dumps) | st.text(max_size=200))
def test_any_card(text: str) -> None:
    with suppress(ClockfaceError):
        ModelCard.from_json(text)


@MANY
@given(JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=200))
def test_any_manifest(data: bytes) -> None:
    with suppress(ClockfaceError):
        Manifest.from_bytes(data)


@MANY
@given(st.integers(0, len(PICTURE) - 1), st.binary(min_size=1, max_size=40), st.integers(1, len(PICTURE)))
def test_any_damage_to_a_picture(at: int, noise: bytes, length: int) -> None:
    in_a_file((PICTURE[:at] + noise + PICTURE[at + len(noise) :])[:length], read_image, ".png")


@MANY
@given(st.text(max_size=300) | st.text(max_size=200).map(lambda text: "name;code;photo\n" + text), st.lists(st.text(max_size=20), max_size=4))
def test_any_list_of_people(text: str, paths: list[str]) -> None:
    with suppress(ClockfaceError):
        bulk.from_csv(text, paths)
    bulk.from_folders(paths)


@MANY
@given(st.binary(max_size=80))
def test_nothing_made_up_is_unsealed(data: bytes) -> None:
    with pytest.raises(ClockfaceError):
        unseal(bytes(32), data, "embedding of 1 for m1")
