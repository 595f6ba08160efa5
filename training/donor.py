"""Published weights of others (donors), from which training can start: downloaded, verified by SHA-256 and read as a checkpoint."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from device.vision.catalogue import Catalogue
from training.config import BackboneSettings, Recipe

LIST = Path(__file__).with_name("donors.toml")  # in the format of device/vision/models.toml; terminals do not use it
RECIPE = Recipe("mobilefacenet-foamliu", backbone=BackboneSettings("mobilefacenet-relu6", 128))
MARK = "gdconv.depthwise.weight"  # a layer name that identifies the published file


def resolve(name: str) -> Path:
    """The verified file of a donor, downloaded if it is missing; any other name is taken as a path."""
    catalogue = Catalogue.load(LIST)
    return catalogue.pull([name])[0] if name in catalogue.entries else Path(name)


def is_published(state: Any) -> bool:
    """Whether the content of a file is the donor's `state_dict`."""
    return isinstance(state, dict) and MARK in state


def as_checkpoint(state: dict[str, Any], schema: int) -> dict[str, Any]:
    """The donor's `state_dict` as a checkpoint, with a recipe that sets its backbone and thereby its normalisation."""
    embedder = {f"backbone.{name}": value for name, value in state.items()}
    return {"schema": schema, "recipe": dataclasses.asdict(RECIPE), "embedder": embedder, "step": 0, "images": 0}
