"""Parts start again alone; the watchdog is fed by what really happens."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from device.feeds.live import Backoff
from device.frame import Frame
from device.pipeline import Scene
from device.service import Watchdog
from device.store import StoreError
from device.supervisor import Recognition, kept_running

IMAGE = np.zeros((4, 4, 3), np.uint8)


def frame(index: int) -> Frame:
    return Frame(IMAGE, float(index), index, live=True)


def test_a_part_that_fails_begins_anew_with_growing_pauses() -> None:
    said: list[str] = []
    runs = iter([ValueError("first"), OSError("second"), None])

    def work() -> None:
        if error := next(runs):
            raise error

    kept_running("outbox", work, threading.Event(), said.append, Backoff(0.001, 1.0))
    assert [text.split("; ")[0] for text in said] == ["outbox failed (ValueError: first)", "outbox failed (OSError: second)"]
    assert said[1].endswith("in 0.002 s")


def test_a_part_that_is_stopped_does_not_begin_anew() -> None:
    stop = threading.Event()

    def work() -> None:
        stop.set()
        raise ValueError

    kept_running("web", work, stop, lambda text: None, Backoff(60.0, 60.0))  # returns at once


class Failing:
    """A pipeline whose parts fail as they are told; the recogniser is the number of the one loaded."""

    def __init__(self) -> None:
        self.recogniser: Any = 0
        self.error: Exception | None = None
        self.frames: list[int] = []

    def process(self, frame: Frame) -> Scene:
        self.frames.append(frame.index)
        if self.error:
            raise self.error
        return Scene(frame, (SimpleNamespace(),), ())  # type: ignore[arg-type]


def test_a_recogniser_that_fails_is_loaded_anew_after_a_pause() -> None:
    pipeline, said, now, loaded = Failing(), [], [0.0], iter([1, 2])
    recognition = Recognition(pipeline, lambda: next(loaded), said.append, lambda: now[0])  # type: ignore[arg-type]
    assert recognition.process(frame(0)).subjects and recognition.trouble == ""
    pipeline.error = RuntimeError("the network is broken")
    assert recognition.process(frame(1)).subjects == () and recognition.trouble == "recogniser"
    assert recognition.process(frame(2)).subjects == () and pipeline.frames == [0, 1]  # it waits
    now[0] = 1.1
    recognition.process(frame(3))
    assert pipeline.recogniser == 1 and "in 2 s" in said[-1]
    pipeline.error, now[0] = None, 4.0
    assert recognition.process(frame(4)).subjects and recognition.trouble == "" and pipeline.recogniser == 2
    assert said[-1] == "recogniser works again"


def test_a_full_disk_is_tried_again_and_no_recogniser_is_loaded() -> None:
    pipeline, said, now = Failing(), [], [0.0]
    recognition = Recognition(pipeline, lambda: pytest.fail("loaded"), said.append, lambda: now[0])  # type: ignore[arg-type]
    pipeline.error = StoreError("the disk is full")
    recognition.process(frame(0))
    assert recognition.trouble == "store" and "the disk is full" in said[0]
    pipeline.error, now[0] = None, 2.0
    recognition.process(frame(1))
    assert recognition.trouble == "" and said[-1] == "store works again"


def test_the_watchdog_is_fed_by_new_decisions_only() -> None:
    now, told = [0.0], []
    watchdog = Watchdog(lambda: now[0], told.append)
    for at, index, fed in ((0.0, 0, 1), (0.5, 1, 1), (1.0, 2, 2), (5.0, 2, 2), (5.0, 3, 3)):
        now[0] = at
        watchdog.decided(index)
        assert len(told) == fed
    now[0] = 9.0
    watchdog.tried()  # a lost camera is being opened again
    assert [state.split(b"\n")[0] for state in told] == [b"WATCHDOG=1"] * 4


def test_systemd_is_really_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(5.0)
        monkeypatch.setitem(os.environ, "NOTIFY_SOCKET", str(tmp_path / "notify"))
        Watchdog().decided(7)
        assert systemd.recv(100).startswith(b"WATCHDOG=1\nEXTEND_TIMEOUT_USEC=")
