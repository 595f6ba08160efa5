"""Parts start again alone; the watchdog is fed by what really happens."""

from __future__ import annotations

import os
import socket
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from device.storage.audit import Action
from device.storage.database import DamagedError
from device.storage.store import Store, StoreError
from device.system.restart import Backoff, kept_running
from device.system.systemd import Watchdog
from device.terminal.capture_session import Booth
from device.terminal.pipeline import Scene
from device.terminal.supervisor import Recognition
from device.vision.camera.frame import Frame
from device.vision.upright import Hanging, Look
from device.web.live import Live

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
    stop, runs, said = threading.Event(), [], list[str]()

    def work() -> None:
        runs.append(time.monotonic())
        stop.set()
        raise ValueError

    kept_running("web", work, stop, said.append, Backoff(60.0, 60.0))
    assert len(runs) == 1 and time.monotonic() - runs[0] < 30  # it does not wait for the 60 s before it returns
    assert said == ["web failed (ValueError: ); it starts again in 60 s"]


class Failing:
    """A pipeline whose parts fail as they are told; the recogniser is the number of the one loaded."""

    def __init__(self) -> None:
        self.recogniser: Any = 0
        self.error: Exception | None = None
        self.frames: list[int] = []
        self.written: list[str] = []
        self.looks: list[Look | None] = [None]  # of the people in view
        self.store = SimpleNamespace(audit=self.audit, at_work=False)

    def audit(self, actor: str, action: str, details: dict[str, object]) -> None:
        if self.error:
            raise self.error
        self.written.append(action)

    def searched(self, frame: Frame) -> bool:
        return True

    def process(self, frame: Frame) -> Scene:
        self.frames.append(frame.index)
        if self.error:
            raise self.error
        return Scene(frame, tuple(SimpleNamespace(look=look) for look in self.looks), ())  # type: ignore[arg-type]


def test_a_recogniser_that_fails_is_loaded_anew_after_a_pause() -> None:
    pipeline, said, now, loaded = Failing(), [], [0.0], iter([1, 2])
    booth = Booth(lambda: now[0])
    recognition = Recognition(pipeline, booth, lambda: next(loaded), said.append, monotonic=lambda: now[0])  # type: ignore[arg-type, return-value]
    assert recognition.process(frame(0)).subjects and recognition.trouble == ""
    pipeline.error = RuntimeError("the network is broken")
    assert recognition.decided
    assert recognition.process(frame(1)).subjects == () and recognition.trouble == "recogniser" and not recognition.decided
    assert recognition.process(frame(2)).subjects == () and pipeline.frames == [0, 1]  # it waits
    now[0] = 1.1
    recognition.process(frame(3))
    assert pipeline.recogniser == 1 and "in 2 s" in said[-1]
    pipeline.error, now[0] = None, 4.0
    assert recognition.process(frame(4)).subjects and recognition.trouble == "" and pipeline.recogniser == booth.recogniser == 2
    assert said[-1] == "recogniser works again"
    pipeline.error = RuntimeError("broken again")
    assert recognition.process(frame(5)).subjects == () and "in 1 s" in said[-1]  # the pauses begin anew


def test_a_store_that_waits_for_a_lock_is_named_and_not_the_camera(tmp_path: Path) -> None:
    pipeline, now, waiting = Failing(), [0.0], threading.Event()
    recognition = Recognition(pipeline, Booth(lambda: now[0]), lambda: 1, print, monotonic=lambda: now[0])  # type: ignore[arg-type, return-value]
    live = Live(monotonic=lambda: now[0])
    live.trouble, live.late = (lambda: recognition.trouble), (lambda: recognition.late)

    def run() -> None:
        with Store.open(tmp_path / "clockface.db") as store:
            pipeline.store = store  # type: ignore[assignment]
            pipeline.process = lambda frame: (waiting.set(), store.audit("terminal", Action.STORE_WORKS_AGAIN, {}), Scene(frame, (), ()))[-1]  # type: ignore[method-assign]
            live.show(recognition.process(frame(0)))

    Store.open(tmp_path / "clockface.db").close()
    live.show(Scene(frame(0), (), ()))
    with closing(sqlite3.connect(tmp_path / "clockface.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        thread = threading.Thread(target=run)
        thread.start()
        assert waiting.wait(30)
        while not pipeline.store.at_work:
            time.sleep(0.001)
        assert (recognition.late, live.view().state) == ("", "idle")
        now[0] = 4.0  # longer than the pages wait for a scene
        assert (recognition.late, live.camera_state, live.view().state) == ("store", "ok", "not_recording")
        other.execute("COMMIT")
        thread.join()
    assert (recognition.late, live.camera_state, live.view().state) == ("", "ok", "idle")


def test_a_recogniser_that_takes_long_is_named() -> None:
    pipeline, now, seen = Failing(), [0.0], list[str]()
    recognition = Recognition(pipeline, Booth(lambda: now[0]), lambda: 1, print, monotonic=lambda: now[0])  # type: ignore[arg-type, return-value]

    def process(frame: Frame) -> Scene:
        for now[0] in (1.0, 2.5):
            seen.append(recognition.late)
        return Scene(frame, (), ())

    pipeline.process = process  # type: ignore[method-assign]
    recognition.process(frame(0))
    assert (seen, recognition.late) == (["", "recogniser"], "")


def test_what_happens_between_frames_is_supervised() -> None:
    """A model that takes over reads the database: if that fails, the loop goes on."""
    pipeline, said, now, tries = Failing(), [], [0.0], iter([StoreError("locked"), None, None])

    def between() -> None:
        if error := next(tries):
            raise error

    recognition = Recognition(pipeline, Booth(lambda: now[0]), lambda: pytest.fail("loaded"), said.append, monotonic=lambda: now[0], between_frames=between)  # type: ignore[arg-type]
    assert recognition.process(frame(0)).subjects == () and recognition.trouble == "store" and pipeline.frames == []
    now[0] = 2.0
    assert recognition.process(frame(1)).subjects and recognition.trouble == ""


def test_a_full_disk_is_tried_again_and_no_recogniser_is_loaded() -> None:
    pipeline, said, now = Failing(), [], [0.0]
    recognition = Recognition(pipeline, Booth(lambda: now[0]), lambda: pytest.fail("loaded"), said.append, monotonic=lambda: now[0])  # type: ignore[arg-type]
    pipeline.error = StoreError("the disk is full")
    recognition.process(frame(0))
    assert recognition.trouble == "store" and "the disk is full" in said[0] and recognition.decided
    now[0] = 2.0
    recognition.process(frame(1))
    assert recognition.trouble == "store" and pipeline.frames == [0]  # nobody in view is no proof: something must be written first
    pipeline.error, now[0] = None, 5.0
    recognition.process(frame(2))
    assert recognition.trouble == "" and said[-1] == "store works again" == pipeline.written[-1]


def test_a_damaged_database_asks_for_a_start_and_does_not_feed_the_watchdog() -> None:
    pipeline, asked = Failing(), []
    recognition = Recognition(pipeline, Booth(lambda: 0.0), lambda: pytest.fail("loaded"), print, lambda: asked.append(True), lambda: 0.0)  # type: ignore[arg-type]
    pipeline.error = DamagedError("the file is malformed")
    recognition.process(frame(0))
    assert asked == [True] and recognition.trouble == "store" and not recognition.decided


def test_an_error_in_an_enrolment_does_not_end_the_loop() -> None:
    booth = SimpleNamespace(process=lambda frame: 1 / 0)
    recognition = Recognition(Failing(), booth, lambda: pytest.fail("loaded"), print, monotonic=lambda: 0.0)  # type: ignore[arg-type]
    recognition.process(frame(0))
    assert recognition.trouble == "recogniser"


def test_looks_at_faces_reach_the_camera_once_each_and_whether_it_hangs_turned_is_found() -> None:
    pipeline, hanging = Failing(), Hanging()
    pipeline.recogniser = SimpleNamespace(detector=SimpleNamespace(detect=lambda image: []))
    recognition = Recognition(pipeline, Booth(lambda: 0.0), lambda: pytest.fail("loaded"), print, monotonic=lambda: 0.0, hanging=hanging)  # type: ignore[arg-type]
    for second in range(4):
        look = Look(180, (40.0 * second, 0.0, 50.0, 50.0), float(second), 0.9)
        pipeline.looks = [look, None]
        recognition.process(frame(second))
        recognition.process(Frame(IMAGE, second + 0.5, 10 + second, live=True))  # the same look is shown again
        assert hanging.turn(second) == (180 if second >= 2 else 0)
    assert recognition.trouble == ""


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
