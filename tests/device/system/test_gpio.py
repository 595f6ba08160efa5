"""Door, lamp and buzzer: active after a punch, for their time and no longer; a recording opens nothing."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from device.config import SignalSettings, read_section
from device.system.gpio import GpioLines, Lines, Pulses, Signals, signalling
from tests.refused import refused

WAIT_SECONDS = 10.0  # for another thread on a busy machine


class Wired:
    """Lines in memory, with what was done to them."""

    def __init__(self, failures: int = 0) -> None:
        self.active: set[int] = set()
        self.done: list[tuple[int, bool]] = []
        self.failures = failures  # of the next calls that let a line go
        self.closed = False
        self._changed = threading.Condition()

    def set(self, line: int, active: bool) -> None:
        with self._changed:
            if not active and self.failures:
                self.failures -= 1
                raise OSError("unplugged")
            (self.active.add if active else self.active.discard)(line)
            self.done.append((line, active))
            self._changed.notify_all()

    def close(self) -> None:
        self.closed = True

    def until(self, holds: Callable[[Wired], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: holds(self), WAIT_SECONDS), self.done


def test_each_line_has_its_own_time() -> None:
    pulses = Pulses({5: 3.0, 6: 0.5})
    assert pulses.wait(0.0) is None and pulses.over(100.0) == []
    assert sorted(pulses.begin(10.0)) == [5, 6]
    assert pulses.wait(10.0) == 0.5 and pulses.over(10.4) == []
    assert pulses.over(10.5) == [6] and pulses.over(10.5) == []
    assert pulses.wait(11.0) == 2.0
    pulses.begin(12.0)  # the next person: the door stays open for its whole time again
    assert pulses.over(13.0) == [6] and pulses.over(14.9) == [] and pulses.over(15.0) == [5]


def test_a_line_that_stays_is_tried_again() -> None:
    pulses = Pulses({5: 1.0})
    pulses.begin(0.0)
    assert pulses.over(1.0) == [5]
    pulses.again(5, 2.0)
    assert pulses.over(1.5) == [] and pulses.over(2.0) == [5] and pulses.wait(2.0) is None


def test_a_punch_pulses_the_lines_though_no_frame_comes() -> None:
    lines = Wired()
    settings = SignalSettings(chip="/dev/gpiochip0", door=17, door_ms=80, lamp=27, lamp_ms=50)
    with signalling(settings, True, pytest.fail, lambda given: lines) as signals:
        assert lines.done == []
        signals.accepted()
        lines.until(lambda lines: sorted(lines.done) == [(17, False), (17, True), (27, False), (27, True)])
        assert lines.active == set()
    assert lines.closed


def test_stopping_lets_the_door_go() -> None:
    lines = Wired()
    with signalling(SignalSettings(chip="/dev/gpiochip0", door=17, door_ms=30000), True, pytest.fail, lambda given: lines) as signals:
        signals.accepted()
        lines.until(lambda lines: lines.active == {17})
    assert lines.done == [(17, True), (17, False)] and lines.closed


def test_a_dead_line_is_said_and_tried_again() -> None:
    lines, said = Wired(failures=1), []
    signals = Signals({17: 0.05}, lines, said.append)
    signals.open()
    signals.accepted()
    lines.until(lambda lines: (17, False) in lines.done)
    signals.close()
    assert said == ["signal line 17 does not answer (unplugged)"] and lines.active == set()


def test_a_recording_opens_no_door() -> None:
    said: list[str] = []

    def never(settings: SignalSettings) -> Lines:
        raise AssertionError("opened")

    with signalling(SignalSettings(chip="/dev/gpiochip0", door=17), False, said.append, never) as signals:
        signals.accepted()
    assert said == ["signals: off, this is a recording"]
    with signalling(SignalSettings(), True, pytest.fail, never) as signals:
        signals.accepted()


def test_settings_that_cannot_be_honoured() -> None:
    for table, code, word in (
        ({"chip": "/dev/gpiochip0", "door": 17, "lamp": 17}, "config.clash", "17, 17"),
        ({"chip": "/dev/gpiochip0", "door": 17, "door_ms": 0}, "config.range", "50 to 30000"),
        ({"chip": "/dev/gpiochip0", "dor": 17}, "config.unknown", "dor"),
    ):
        with refused(code, word):
            read_section(SignalSettings, "signals", table)


def test_without_the_chip_or_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = SignalSettings(chip="/dev/gpiochip-none", door=17)
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "gpiod", None)
        with refused("signals.no_gpiod", "pip install"):
            GpioLines(settings)
    pytest.importorskip("gpiod", reason="gpiod is for boards")
    with refused("signals.lines", "gpioinfo"):
        GpioLines(settings)


def test_what_is_asked_of_libgpiod() -> None:
    """The real package's own settings go to a chip that is none: outputs, inactive at first, low where the relay wants it."""
    gpiod = pytest.importorskip("gpiod", reason="gpiod is for boards")
    asked: list[Any] = []
    request = SimpleNamespace(set_value=lambda *words: asked.append(words), release=lambda: asked.append("released"))

    def opened(chip: str, **words: Any) -> SimpleNamespace:
        asked.append((chip, words))
        return request

    lines = GpioLines(SignalSettings(chip="/dev/gpiochip4", door=17, lamp=27, active_low=True), opened)
    lines.set(17, True)
    lines.close()
    (chip, words), *after = asked
    ((numbers, form),) = words["config"].items()
    assert (chip, numbers, words["consumer"]) == ("/dev/gpiochip4", (17, 27), "clockface")
    assert form == gpiod.LineSettings(direction=gpiod.line.Direction.OUTPUT, active_low=True, output_value=gpiod.line.Value.INACTIVE)
    assert after == [(17, gpiod.line.Value.ACTIVE), "released"]


def test_what_is_recorded_reaches_the_lines() -> None:
    """Through the same hook for a face and a PIN."""
    from device.terminal.pipeline import Scene
    from device.web.live import Live

    told: list[float] = []
    live = Live(accepted=lambda: told.append(time.monotonic()))
    frame = SimpleNamespace(image=None, time=0.0)
    live.show(Scene(frame, (), ()))  # type: ignore[arg-type]
    assert len(told) == 0
    punch = SimpleNamespace(id=1, occurred_at=1.0, direction="in")
    live.show(Scene(frame, (), ((SimpleNamespace(id=1, name="A"), punch),)))  # type: ignore[arg-type]
    assert len(told) == 1
