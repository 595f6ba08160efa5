"""Weights that others published, to start from: fetched by address and sha256, and read as a checkpoint of ours."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from device.vision.catalogue import Catalogue
from training.config import BackboneSettings, Recipe

LIST = Path(__file__).with_name("donors.toml")  # in the form of device/vision/models.toml; a terminal fetches none of them
RECIPE = Recipe("mobilefacenet-foamliu", backbone=BackboneSettings("mobilefacenet-relu6", 128))
MARK = "gdconv.depthwise.weight"  # a layer that names the published file


def resolve(name: str) -> Path:
    """The verified file of a donor's name, fetched where it is missing; anything else is a path already."""
    catalogue = Catalogue.load(LIST)
    return catalogue.pull([name])[0] if name in catalogue.entries else Path(name)


def is_published(state: Any) -> bool:
    """Whether what a file holds is the donor's plain `state_dict`."""
    return isinstance(state, dict) and MARK in state


def as_checkpoint(state: dict[str, Any], schema: int) -> dict[str, Any]:
    """The donor's `state_dict` with the recipe that says how to build and feed it."""
    embedder = {f"backbone.{name}": value for name, value in state.items()}
    return {"schema": schema, "recipe": dataclasses.asdict(RECIPE), "embedder": embedder, "step": 0, "images": 0}
