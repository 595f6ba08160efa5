"""A slow board: the width of the search goes down before frames are lost, and comes back without going to and fro."""

from __future__ import annotations

from pathlib import Path

import pytest

from device.config import Settings
from device.storage.store import Store
from device.terminal.enrolment import capture, enrol
from device.terminal.pipeline import Pipeline
from device.terminal.throttle import COARSER, Pace
from device.vision.camera.source import open_source
from device.vision.catalogue import path
from device.vision.detector import Detector
from device.vision.recogniser import Recogniser

PERIOD = 1 / 15  # s between the frames of the camera
COST = 0.02  # s: a frame at the full width, on a board that is cool


def played(seconds: float, slowness: float, pace: Pace, begin: float = 0.0) -> tuple[int, list[tuple[float, int]]]:
    """A loop that always takes the newest frame; a search costs as its pixels. Returns (frames lost, changes: when and to which level)."""
    now, lost, changes, taken = begin, 0, [], round(begin / PERIOD)
    while now < begin + seconds:
        newest = int(now / PERIOD + 1e-9)
        if newest <= taken:
            now = (taken + 1) * PERIOD
            continue
        lost, taken = lost + newest - taken - 1, newest
        done = now + COST * slowness / pace.coarser**2
        if pace.frame(now, done):
            changes.append((now - begin, pace.level))
        now = done
    return lost, changes


def test_a_cool_board_searches_at_the_full_width() -> None:
    assert played(120, 1.0, Pace()) == (0, [])


@pytest.mark.parametrize(("slowness", "level"), [(2.8, 1), (4.0, 1), (5.0, 2)])
def test_the_width_goes_down_within_seconds_and_then_no_frame_is_lost(slowness: float, level: int) -> None:
    pace = Pace()
    lost, changes = played(20, slowness, pace)
    assert [new for _, new in changes] == list(range(1, level + 1)) and changes[-1][0] < 5.0
    assert lost == 0 or slowness * COST > PERIOD and lost / (15 * changes[-1][0]) < 0.5  # only before it was noticed
    again, _ = played(120, slowness, pace, begin=20)
    assert again == 0 and pace.level == level


def test_it_comes_back_when_the_board_is_cool_and_does_not_go_to_and_fro() -> None:
    pace = Pace()
    played(20, 5.0, pace)
    assert pace.level == 2
    _, changes = played(300, 1.0, pace, begin=20)
    assert [level for _, level in changes] == [1, 0] and all(at > 25 for at, _ in changes)
    for slowness in (1.5, 2.0, 2.5, 3.0, 3.5):  # wherever a board settles
        assert len(played(600, slowness, Pace())[1]) <= 2


def test_the_words() -> None:
    pace = Pace()
    played(20, 5.0, pace)
    assert pace.words == "the board is slow: faces are searched at 60 % of the width, people are found 1.7 times as near"


def test_the_detector_takes_fewer_pixels() -> None:
    detector = Detector(path("yunet"), Settings().detector)
    sizes = [detector.input_size(640, 480, detector.settings.min_eye_distance * coarser) for coarser in COARSER]
    assert sizes == [(256, 192), (192, 160), (160, 128)]


def test_people_are_still_recorded_at_the_smallest_width(shared: Path, tmp_path: Path) -> None:
    settings = Settings()
    recogniser = Recogniser(settings)
    with Store.open(tmp_path / "a.db") as store:
        with open_source(str(shared / "clips/again.mkv"), settings.camera) as source:
            samples = capture(recogniser, source)
        person = enrol(store, recogniser, "A", None, samples, ["clip"] * len(samples))
        recogniser.detector.coarser = COARSER[-1]
        pipeline = Pipeline(settings, recogniser, store, "test", recording=True)
        with open_source(str(shared / "clips/brother.mkv"), settings.camera) as source:
            punches = [who.id for frame in source for who, _ in pipeline.process(frame).punches]
    assert punches == [person.id]
