"""Power cuts: whichever unflushed writes reached the disk, every announced punch is there once and the chain is intact."""

from __future__ import annotations

import random
import shutil

import pytest

from device.storage.key_folder import KeysError
from tests.device.fakes import power


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> list[power.Step]:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler: apt install gcc libc6-dev")
    (folder := tmp_path_factory.mktemp("recorded") / "data").mkdir()
    return power.record(folder, rounds=3, punches=180)


def test_the_recording_holds_flushes_a_checkpoint_and_a_log_left_behind(recorded: list[power.Step]) -> None:
    flushes = [step.name for step in recorded if step.kind == "S"]
    assert flushes.count("clockface.db-wal") > 3 * 180  # each punch is flushed
    assert flushes.count("clockface.db") >= 3 and "" in flushes
    assert [step.data for step in recorded if step.kind == "R" and step.name == "device.key.next"] == [b"device.key"] * 3  # each rotation
    assert ("U", "clockface.db-wal") in {(step.kind, step.name) for step in recorded}


def test_a_power_cut_at_any_moment_loses_nothing_announced(recorded: list[power.Step]) -> None:
    found = power.cuts(recorded, 300, random.Random(5))
    assert found.cuts == 300 and found.slowest < power.LONGEST_START


def test_the_simulation_finds_a_store_that_does_not_flush(recorded: list[power.Step]) -> None:
    careless = [step for step in recorded if not (step.kind == "S" and step.name.endswith("-wal"))]
    with pytest.raises(AssertionError, match="announced punch is lost|enrolled person is lost"):
        power.cuts(careless, 100, random.Random(5))


def test_the_simulation_finds_keys_that_are_not_flushed(recorded: list[power.Step]) -> None:
    careless = [step for step in recorded if not (step.kind == "S" and step.name.endswith((".keys", ".key.next.new")))]
    with pytest.raises((AssertionError, KeysError)):
        power.cuts(careless, 100, random.Random(5))
