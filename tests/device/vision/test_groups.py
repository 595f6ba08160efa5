"""Every clearly visible face of a group photo is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from device.config import Settings
from device.vision import catalogue
from device.vision.images import read_image
from device.vision.recogniser import Recogniser


def test_faces_in_group_photos_are_counted_within_one(shared: Path) -> None:
    try:
        recogniser = Recogniser(Settings())
    except catalogue.ModelError as error:
        pytest.skip(f"models not pulled: {error}")
    rows = [line.split("\t") for line in (shared / "groups/counts.tsv").read_text().splitlines()[1:]]
    found = {name: len(recogniser.still(read_image(shared / "groups" / name))) for name, _ in rows}
    assert len(found) == 13
    assert all(abs(found[name] - int(count)) <= 1 for name, count in rows), found
    assert sum(found[name] != int(count) for name, count in rows) <= 1, found
