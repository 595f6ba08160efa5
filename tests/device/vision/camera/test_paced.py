"""A recording that somebody watches, by a clock that waits for nobody."""

from __future__ import annotations

import argparse
import threading
import time
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from device.__main__ import main
from device.commands import run
from device.config import CameraSettings, Settings
from device.vision.camera.paced import ROUND_GAP, PacedRecording
from device.vision.camera.source import open_source
from tests.refused import refused

PICTURES, RATE = 4, 10
SETTINGS = CameraSettings(rate=RATE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index in range(PICTURES):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.full((8, 8, 3), 10 * index, np.uint8))
    return tmp_path


class Watch:
    """A clock that goes on while somebody waits by it, and a little for each frame that is looked at."""

    def __init__(self, source: PacedRecording) -> None:
        self.now, self.waits = 0.0, 0
        source._clock = lambda: self.now
        source._closed.wait = self.wait  # type: ignore[method-assign]

    def wait(self, seconds: float | None = None) -> bool:
        self.now, self.waits = self.now + (seconds or 0.0), self.waits + 1
        return False


def played(folder: Path, loop: bool = False, start: float = 1000.0) -> PacedRecording:
    source = open_source(str(folder), SETTINGS, start=start, watched=True, loop=loop)
    assert isinstance(source, PacedRecording) and not source.live
    return source


def test_each_frame_comes_when_its_time_has_come(folder: Path) -> None:
    with played(folder) as source:
        watch, seen = Watch(source), []
        for frame in source:
            seen.append((frame.index, round(frame.time - 1000, 6), round(watch.now, 6)))
            watch.now += 0.03  # to recognise it
    assert seen == [(index, index / RATE, index / RATE) for index in range(PICTURES)]


def test_a_slow_machine_sees_every_frame_late(folder: Path) -> None:
    with played(folder) as source:
        watch, seen = Watch(source), []
        for frame in source:
            seen.append((round(frame.time - 1000, 6), round(watch.now, 6)))
            watch.now += 0.5
    assert seen == [(0.0, 0.0), (0.1, 0.5), (0.2, 1.0), (0.3, 1.5)] and watch.waits == 0


@pytest.mark.parametrize("work", [0.0, 0.5])
def test_time_goes_on_from_round_to_round(folder: Path, work: float) -> None:
    """The oracle is the clock: no round begins before the one before has ended, nothing is later than now, and no time comes twice."""
    with played(folder, loop=True) as source:
        watch, times, indices = Watch(source), [], []
        for frame in source:
            assert frame.time - 1000 <= watch.now + ROUND_GAP
            times.append(frame.time)
            indices.append(frame.index)
            watch.now += work
            if len(times) == 3 * PICTURES:
                break
    assert indices == list(range(3 * PICTURES)) and all(later > earlier for earlier, later in pairwise(times))
    begins = times[::PICTURES]
    assert [round(time - begin, 6) for begin in begins for time in times[times.index(begin) :][:PICTURES]] == [index / RATE for index in range(PICTURES)] * 3
    if work:
        assert begins[1] - begins[0] == pytest.approx(PICTURES * work)  # the wall's clock, not the clip's


def test_a_recorder_that_paused_is_waited_for_with_signs_of_life(folder: Path) -> None:
    alive: list[float] = []
    with PacedRecording(open_source(str(folder), CameraSettings(rate=1), start=0.0), 0.0) as source:
        watch = Watch(source)
        source.on_try = lambda: alive.append(watch.now)
        assert len(list(source)) == PICTURES
    assert len(alive) >= PICTURES - 1


def test_closing_ends_a_loop_at_once(folder: Path) -> None:
    source = played(folder, loop=True, start=time.time())
    threading.Timer(0.25, source.close).start()
    began = time.monotonic()
    assert len(list(source)) <= 4 and time.monotonic() - began < 5


def test_mirrored_once(folder: Path) -> None:
    cv2.imwrite(str(folder / "0.png"), np.dstack([np.arange(8, dtype=np.uint8) * np.ones((8, 1), np.uint8)] * 3))
    with open_source(str(folder), CameraSettings(rate=1000, mirror=True), watched=True) as source:
        assert next(iter(source)).image[0, 0, 0] == 7


@pytest.mark.parametrize(("words", "paced", "looped"), [([], True, False), (["--loop"], True, True), (["--once"], False, False)])
def test_what_run_plays(folder: Path, words: list[str], paced: bool, looped: bool) -> None:
    parser = argparse.ArgumentParser()
    run.add_arguments(parser)
    with run.opened(parser.parse_args(words), Settings(camera=SETTINGS), str(folder)) as source:
        assert isinstance(source, PacedRecording) == paced and ("looped" in source.describe()) == looped


@pytest.mark.parametrize("words", [["--source", "demo", "--loop"], ["--source", "clip.mp4", "--loop", "--once"]])
def test_a_loop_that_makes_no_sense_is_refused(words: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["run", *words, "--db", str(tmp_path / "x.db")]) == 1
    assert "--loop" in capsys.readouterr().err
    with refused("camera.endless"), open_source("0", SETTINGS, once=True):
        pass
