"""The benchmark runs on a real clip and counts what it should; its times are nobody's business here."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from device.commands.bench import NOT_COMPARED, _print
from device.commands.benchmark.speed import Report, measure, plain_way, thread_counts
from device.config import Settings
from device.vision import catalogue
from device.vision.liveness import LivenessModel
from device.vision.speed import judged_ms


def test_every_frame_of_the_clip_is_measured(shared: Path) -> None:
    try:
        catalogue.path("sface-plain")
        catalogue.path("sface")
    except catalogue.ModelError as error:
        pytest.skip(f"models not pulled: {error}")
    clip = shared / "clips/again.mkv"
    report = measure(Settings(), [clip])
    reader, frames = cv2.VideoCapture(str(clip)), 0
    while reader.read()[0]:  # the header's count is an estimate
        frames += 1
    assert report.frames == frames
    assert report.plain_frames_per_second and report.ratio == report.frames_per_second / report.plain_frames_per_second
    assert report.punches == ("again: first",)
    detections = {stage.name: stage.count for stage in report.stages}["detect"]
    assert report.frames / 6 <= detections < report.frames / 3  # 30 frames a second: one in 90 ms is searched, one in 180 ms once everybody is decided
    assert report.first_frame_seconds > 0 and report.peak_memory_mb > 50
    assert set(report.crop_ms) >= {"sface", "clockface-edge", "clockface-edge-int8"} and 0 < report.idle_percent < 100
    assert all(list(by_threads) == list(thread_counts()) for by_threads in report.crop_ms.values())
    assert "clockface-mobile-int8" in report.chose[0]


def test_a_judged_picture_is_measured_where_a_model_judges() -> None:
    assert judged_ms(None) is None
    measured = judged_ms(LivenessModel(catalogue.path("liveness")), rounds=3)
    assert measured is not None and 0 < measured[0] <= measured[1]


def test_an_installed_bundle_has_no_models_for_the_plain_way(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    listed = catalogue.Catalogue.load()
    installed = catalogue.Catalogue([entry for entry in listed.entries.values() if entry.kind != "source"], listed.folder)
    monkeypatch.setattr(catalogue.Catalogue, "load", lambda: installed)
    assert plain_way() is None
    _print(Report(3, 30.0, None, (), (), 0.5, 100.0, {}, {}, None, 5.0, ()))
    assert f"frames per second: 30.0; {NOT_COMPARED}\n" in capsys.readouterr().out
