"""The benchmark of many people measures what it says: a store that the terminal and enrolment take as theirs."""

from __future__ import annotations

import json

import pytest

from device.__main__ import main
from device.vision import catalogue
from device.vision.catalogue import ModelError


def test_start_and_enrolment_are_measured_with_parts_of_the_people(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        catalogue.path("portrait-hopper")
    except ModelError as error:
        pytest.skip(f"models not pulled: {error}")
    assert main(["bench", "--people", "40", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["people"] for one in found] == [10, 20, 40]
    assert all(one["start"] > 0 and one["enrolment"] > 0 for one in found)
