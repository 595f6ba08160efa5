"""Published weights of others (donors), from which training can start: downloaded and verified by SHA-256."""

from __future__ import annotations

from pathlib import Path

from device.vision.catalogue import Catalogue

LIST = Path(__file__).with_name("donors.toml")  # in the format of device/vision/models.toml; terminals do not use it
def resolve(name: str) -> Path:
    """The verified file of a donor, downloaded if it is missing; any other name is taken as a path."""
    catalogue = Catalogue.load(LIST)
    return catalogue.pull([name])[0] if name in catalogue.entries else Path(name)
