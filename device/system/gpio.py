"""Door contact, lamp and buzzer: short pulses on GPIO lines after each accepted punch; lamp and buzzer after a refused attempt, too.

A line is active for its configured time and never longer: a separate thread switches it off, whatever the camera does,
and the kernel releases the lines when the process ends. Wiring: docs/board.md.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from device.config import SignalSettings
from device.contract import ClockfaceError

RETRY_SECONDS = 1.0  # until the next attempt to switch a line off that could not be switched off


class SignalError(ClockfaceError):
    """The GPIO lines named in the settings cannot be used."""

    code = "signals"


class Lines(Protocol):
    """Outputs of a board, by line number; inactive when they are opened."""

    def set(self, line: int, active: bool) -> None:
        """Raises:
        OSError: the line does not answer.
        """

    def close(self) -> None:
        """Release all lines."""


class GpioLines:
    """Lines of a Linux GPIO character device, through libgpiod 2 (https://libgpiod.readthedocs.io).

    Args:
        request: replaces `gpiod.request_lines` in tests.

    Raises:
        SignalError: the package or the chip is missing, or another program uses a line.
    """

    def __init__(self, settings: SignalSettings, request: Callable[..., Any] | None = None) -> None:
        try:
            import gpiod
            from gpiod.line import Direction, Value
        except ImportError as error:
            raise SignalError(
                "[signals] needs the package gpiod: pip install 'gpiod>=2.2,<3', or remove door, lamp and buzzer from the settings",
                code="signals.no_gpiod",
            ) from error
        self._values = {True: Value.ACTIVE, False: Value.INACTIVE}
        form = gpiod.LineSettings(direction=Direction.OUTPUT, active_low=settings.active_low, output_value=Value.INACTIVE)
        numbers = tuple(sorted(settings.lengths))
        try:
            self._request = (request or gpiod.request_lines)(settings.chip, config={numbers: form}, consumer="clockface")
        except (OSError, ValueError) as error:
            raise SignalError(
                f"[signals] {settings.chip}, lines {numbers}: cannot be used ({error}); `gpioinfo` shows the lines and which program uses them",
                code="signals.lines",
            ) from error

    def set(self, line: int, active: bool) -> None:
        self._request.set_value(line, self._values[active])

    def close(self) -> None:
        self._request.release()


class Button:
    """A button between a line and ground; the board's own resistor pulls the line up while it is open.

    Args:
        request: replaces `gpiod.request_lines` in tests.

    Raises:
        SignalError: the package or the chip is missing, or another program uses the line.
    """

    def __init__(self, chip: str, line: int, request: Callable[..., Any] | None = None) -> None:
        try:
            import gpiod
            from gpiod.line import Bias, Direction, Value
        except ImportError as error:
            raise SignalError("[signals] reset needs the package gpiod: pip install 'gpiod>=2.2,<3'", code="signals.no_gpiod") from error
        self._line, self._active = line, Value.ACTIVE
        form = gpiod.LineSettings(direction=Direction.INPUT, bias=Bias.PULL_UP, active_low=True)
        try:
            self._request = (request or gpiod.request_lines)(chip, config={line: form}, consumer="clockface")
        except (OSError, ValueError) as error:
            raise SignalError(f"[signals] {chip}, line {line} of the reset button cannot be used ({error})", code="signals.lines") from error

    def pressed(self) -> bool:
        return bool(self._request.get_value(self._line) == self._active)

    def close(self) -> None:
        self._request.release()


class Pulses:
    """Which lines are active, and until when. Pure; the time is passed in."""

    def __init__(self) -> None:
        self._until: dict[int, float] = {}

    def begin(self, lengths: Mapping[int, float], now: float) -> list[int]:
        """The lines to switch on. A line that is active already stays so for its full time, at least from now on; others stay as they are.

        Args:
            lengths: line -> length of its pulse in s.
        """
        self._until |= {line: max(now + length, self._until.get(line, now)) for line, length in lengths.items()}
        return list(lengths)

    def expired(self, now: float) -> list[int]:
        """The lines to switch off; each is returned once."""
        lines = [line for line, until in self._until.items() if now >= until]
        for line in lines:
            del self._until[line]
        return lines

    def retry(self, line: int, at: float) -> None:
        """Let a line that could not be switched off expire once more, at this time."""
        self._until[line] = at

    def wait(self, now: float) -> float | None:
        """s until the next line expires; None where no line is active."""
        return max(0.0, min(self._until.values()) - now) if self._until else None


class Signals:
    """Signals outside the terminal that a punch is on disk, or an attempt refused. Both may be called from any thread and never wait for a line.

    Args:
        settings: which lines are active for how long.
        lines: None where nothing is wired.
        say: reports a fault of a line; the punch is kept in any case.
    """

    def __init__(self, settings: SignalSettings, lines: Lines | None, say: Callable[[str], None]) -> None:
        self._settings, self._lines, self._say = settings, lines, say
        self._pulses = Pulses()
        self._requested: dict[int, float] = {}  # line -> s
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="signals", daemon=True)

    def accepted(self) -> None:
        """A punch was recorded."""
        self._request(self._settings.lengths)

    def refused(self) -> None:
        """A face that would have been recorded was refused."""
        self._request(self._settings.refused_lengths)

    def _request(self, lengths: Mapping[int, float]) -> None:
        with self._changed:
            self._requested |= lengths
            self._changed.notify()

    def open(self) -> None:
        if self._lines:
            self._thread.start()

    def close(self) -> None:
        """Switch every line off and release it."""
        if not self._lines:
            return
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()
        self._lines.close()

    def _work(self) -> None:
        while self._next():
            now = time.monotonic()
            for line in self._pulses.expired(now):
                if not self._set(line, False):
                    self._pulses.retry(line, now + RETRY_SECONDS)
        for line in self._pulses.expired(float("inf")):
            self._set(line, False)

    def _next(self) -> bool:
        """Wait for a request or for the end of a pulse; a request starts its pulses. False once closed."""
        with self._changed:
            if not (self._requested or self._closed):
                self._changed.wait(self._pulses.wait(time.monotonic()))
            requested, self._requested = self._requested, {}
            closed = self._closed
        if requested and not closed:
            for line in self._pulses.begin(requested, time.monotonic()):
                self._set(line, True)
        return not closed

    def _set(self, line: int, active: bool) -> bool:
        assert self._lines is not None
        try:
            self._lines.set(line, active)
        except OSError as error:
            self._say(f"signal line {line} does not answer ({error})")
            return False
        return True


@contextmanager
def signalling(settings: SignalSettings, live: bool, say: Callable[[str], None], opened: Callable[[SignalSettings], Lines] = GpioLines) -> Iterator[Signals]:
    """The board's signals while the block runs; off for a recording or the demo, which must not open a door.

    Raises:
        SignalError: the lines cannot be used.
    """
    wired = bool(settings.lengths)
    if wired and not live:
        say("signals: off, this is a recording")
    signals = Signals(settings, opened(settings) if wired and live else None, say)
    signals.open()
    try:
        yield signals
    finally:
        signals.close()
