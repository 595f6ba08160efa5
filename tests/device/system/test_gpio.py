"""Door, lamp and buzzer are active after a punch, for their time and no longer; a recording switches nothing."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from device.config import SignalSettings
from device.config.loader import read_section
from device.system.gpio import Button, GpioLines, Lines, Pulses, Signals, signalling
from tests.refused import refused

WAIT_SECONDS = 10.0  # for another thread on a busy machine


class Wired:
    """Lines in memory that record each change."""

    def __init__(self, failures: int = 0) -> None:
        self.active: set[int] = set()
        self.done: list[tuple[int, bool]] = []
        self.failures = failures  # this many of the next calls to switch a line off fail
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
    pulses, lengths = Pulses(), {5: 3.0, 6: 0.5}
    assert pulses.wait(0.0) is None and pulses.expired(100.0) == []
    assert sorted(pulses.begin(lengths, 10.0)) == [5, 6]
    assert pulses.wait(10.0) == 0.5 and pulses.expired(10.4) == []
    assert pulses.expired(10.5) == [6] and pulses.expired(10.5) == []
    assert pulses.wait(11.0) == 2.0
    pulses.begin(lengths, 12.0)  # the next person: the door stays open for its full time again
    assert pulses.expired(13.0) == [6] and pulses.expired(14.9) == [] and pulses.expired(15.0) == [5]


def test_a_line_that_stays_active_is_tried_again() -> None:
    pulses = Pulses()
    pulses.begin({5: 1.0}, 0.0)
    assert pulses.expired(1.0) == [5]
    pulses.retry(5, 2.0)
    assert pulses.expired(1.5) == [] and pulses.expired(2.0) == [5] and pulses.wait(2.0) is None


def test_a_punch_pulses_the_lines_even_without_frames() -> None:
    lines = Wired()
    settings = SignalSettings(chip="/dev/gpiochip0", door=17, door_ms=80, lamp=27, lamp_ms=50)
    with signalling(settings, True, pytest.fail, lambda given: lines) as signals:
        assert lines.done == []
        signals.accepted()
        lines.until(lambda lines: sorted(lines.done) == [(17, False), (17, True), (27, False), (27, True)])
        assert lines.active == set()
    assert lines.closed


def test_a_refused_attempt_has_a_signal_of_its_own_and_opens_no_door() -> None:
    lines = Wired()
    settings = SignalSettings(chip="/dev/gpiochip0", door=17, door_ms=30000, lamp=27, lamp_ms=20_000, buzzer=22, refused_ms=60)
    with signalling(settings, True, pytest.fail, lambda given: lines) as signals:
        signals.refused()
        lines.until(lambda lines: sorted(lines.done) == [(22, False), (22, True), (27, False), (27, True)])
        signals.accepted()
        lines.until(lambda lines: {17, 27} <= lines.active)
        lines.until(lambda lines: 22 not in lines.active)
        before = len(lines.done)
        signals.refused()  # door and lamp stay as they are for who was recorded
        lines.until(lambda lines: (22, False) in lines.done[before:])
        assert lines.active == {17, 27} and (17, True) not in lines.done[before:]


def test_without_a_length_a_refused_attempt_switches_nothing() -> None:
    lines = Wired()
    with signalling(SignalSettings(chip="/dev/gpiochip0", door=17, door_ms=50, lamp=27, lamp_ms=50), True, pytest.fail, lambda given: lines) as signals:
        signals.refused()
        signals.accepted()
        lines.until(lambda lines: lines.done[-2:] != [] and not lines.active and len(lines.done) == 4)


def test_stopping_switches_the_door_off() -> None:
    lines = Wired()
    with signalling(SignalSettings(chip="/dev/gpiochip0", door=17, door_ms=30000), True, pytest.fail, lambda given: lines) as signals:
        signals.accepted()
        lines.until(lambda lines: lines.active == {17})
    assert lines.done == [(17, True), (17, False)] and lines.closed


def test_a_dead_line_is_reported_and_tried_again() -> None:
    lines, messages = Wired(failures=1), []
    signals = Signals(SignalSettings(door=17, door_ms=50), lines, messages.append)
    signals.open()
    signals.accepted()
    lines.until(lambda lines: (17, False) in lines.done)
    signals.close()
    assert messages == ["signal line 17 does not answer (unplugged)"] and lines.active == set()


def test_a_recording_opens_no_door() -> None:
    messages: list[str] = []

    def never(settings: SignalSettings) -> Lines:
        raise AssertionError("opened")

    with signalling(SignalSettings(chip="/dev/gpiochip0", door=17), False, messages.append, never) as signals:
        signals.accepted()
    assert messages == ["signals: off, this is a recording"]
    with signalling(SignalSettings(), True, pytest.fail, never) as signals:
        signals.accepted()


def test_invalid_settings_are_refused() -> None:
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


def test_the_requests_to_libgpiod() -> None:
    """A fake chip gets the real package's line settings: outputs, inactive at first, active low where the settings say so."""
    gpiod = pytest.importorskip("gpiod", reason="gpiod is for boards")
    calls: list[Any] = []
    request = SimpleNamespace(set_value=lambda *arguments: calls.append(arguments), release=lambda: calls.append("released"))

    def opened(chip: str, **options: Any) -> SimpleNamespace:
        calls.append((chip, options))
        return request

    lines = GpioLines(SignalSettings(chip="/dev/gpiochip4", door=17, lamp=27, active_low=True), opened)
    lines.set(17, True)
    lines.close()
    (chip, options), *after = calls
    ((numbers, form),) = options["config"].items()
    assert (chip, numbers, options["consumer"]) == ("/dev/gpiochip4", (17, 27), "clockface")
    assert form == gpiod.LineSettings(direction=gpiod.line.Direction.OUTPUT, active_low=True, output_value=gpiod.line.Value.INACTIVE)
    assert after == [(17, gpiod.line.Value.ACTIVE), "released"]


def test_each_recorded_punch_is_reported_to_the_signals() -> None:
    """A face and a PIN use the same hook."""
    from device.terminal.pipeline import Scene
    from device.web.live import Live

    accepted: list[float] = []
    live = Live(accepted=lambda: accepted.append(time.monotonic()))
    frame = SimpleNamespace(image=None, time=0.0)
    live.show(Scene(frame, (), ()))  # type: ignore[arg-type]
    assert len(accepted) == 0
    punch = SimpleNamespace(id=1, occurred_at=1.0, direction="in")
    live.show(Scene(frame, (), ((SimpleNamespace(id=1, name="A"), punch),)))  # type: ignore[arg-type]
    assert len(accepted) == 1


def test_each_refused_attempt_is_reported_to_the_signals() -> None:
    from device.terminal.pipeline import Scene
    from device.web.live import Live

    refusals: list[int] = []
    live = Live()
    live.refused = lambda: refusals.append(1)
    frame = SimpleNamespace(image=None, time=0.0)
    for count in (0, 1, 0):
        live.show(Scene(frame, (), (), count))  # type: ignore[arg-type]
    assert refusals == [1]


def test_a_button_is_an_input_that_is_pulled_up() -> None:
    """The real package's line settings, with a fake chip."""
    gpiod = pytest.importorskip("gpiod", reason="gpiod is for boards")
    value, calls = gpiod.line.Value, []
    levels = iter([value.ACTIVE, value.INACTIVE])

    def opened(chip: str, config: dict[int, Any], consumer: str) -> Any:
        calls.extend([chip, config, consumer])
        return SimpleNamespace(get_value=lambda line: next(levels) if line == 5 else None, release=lambda: calls.append("released"))

    button = Button("/dev/gpiochip0", 5, opened)
    assert button.pressed() and not button.pressed()
    button.close()
    form = gpiod.LineSettings(direction=gpiod.line.Direction.INPUT, bias=gpiod.line.Bias.PULL_UP, active_low=True)
    assert calls == ["/dev/gpiochip0", {5: form}, "clockface", "released"]


def test_a_button_needs_a_line_of_its_own_and_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    with refused("config.clash", "reset"):
        read_section(SignalSettings, "signals", {"door": 5, "reset": 5})
    monkeypatch.setitem(sys.modules, "gpiod", None)
    with refused("signals.no_gpiod", "reset"):
        Button("/dev/gpiochip0", 5)
