"""Tracks of synthetic faces whose true paths are known."""

from __future__ import annotations

import numpy as np

from device.config import TrackerSettings
from device.vision.detector import Face
from device.vision.tracker import Tracker


def face(x: float, y: float = 100.0, size: float = 60.0) -> Face:
    return Face((x, y, size, size), np.zeros((5, 2), dtype=np.float32), 0.9)


def test_two_people_crossing_do_not_swap() -> None:
    tracker = Tracker(TrackerSettings())
    ids = []
    for step in range(60):
        left, right = face(10.0 + step * 8, 100.0), face(490.0 - step * 8, 112.0)
        hidden = abs(left.box[0] - right.box[0]) < 30  # the person behind is not detected
        tracks = tracker.update([left] if hidden else [left, right], step / 30)
        ids.append([track.id for track in tracks])
    assert ids[0] == ids[-1] == [1, 2]
    assert {number for pair in ids for number in pair} == {1, 2}


def test_a_face_hidden_beside_another_begins_a_new_stretch() -> None:
    tracker = Tracker(TrackerSettings())
    for step in range(10):
        tracker.update([face(100.0), face(220.0 - step * 8)], step / 30)
    before = {track.id: track.stretch for track in tracker.tracks}
    tracker.update([face(100.0)], 10 / 30)
    back = tracker.update([face(100.0), face(148.0)], 14 / 30)
    assert [track.id for track in back] == [1, 2]
    assert back[1].stretch > before[2]


def test_a_short_loss_keeps_the_id_and_a_long_one_does_not() -> None:
    tracker = Tracker(TrackerSettings(max_lost_seconds=0.5))
    first = tracker.update([face(100.0)], 0.0)[0]
    tracker.update([], 0.2)
    again = tracker.update([face(104.0)], 0.4)[0]
    assert again.id == first.id and again.stretch == first.stretch
    tracker.update([], 0.6)
    assert tracker.update([face(104.0)], 1.0)[0].id != first.id


def test_a_slow_camera_shows_one_face_in_pictures_far_apart() -> None:
    tracker = Tracker(TrackerSettings())
    first = tracker.update([face(100.0)], 0.0)[0]
    assert tracker.update([face(104.0)], 1.0)[0].id == tracker.update([face(100.0)], 2.4)[0].id == first.id
    assert tracker.update([face(100.0)], 5.0)[0].id != first.id, "so long a pause tells nothing"


def test_a_face_of_another_size_at_the_same_place_gets_a_new_id() -> None:
    tracker = Tracker(TrackerSettings())
    assert tracker.update([face(100.0)], 0.0)[0].id != tracker.update([face(70.0, 70.0, 150.0)], 0.1)[0].id
