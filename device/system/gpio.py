"""Door contact, lamp and buzzer: short pulses on GPIO lines after each accepted punch.

A line is active for its time and never longer: it is let go by a thread of its own, whatever the camera does, and the
kernel takes the lines back when the process ends. Wiring: docs/device-setup.md.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from device.config import SignalSettings
from device.contract import ClockfaceError

RETRY_SECONDS = 1.0  # a line that could not be let go is tried again


class SignalError(ClockfaceError):
    """The lines that the settings name cannot be used."""

    code = "signals"


class Lines(Protocol):
    """Outputs of a board, by line number; inactive once they are opened."""

    def set(self, line: int, active: bool) -> None:
        """Raises:
        OSError: the line does not answer.
        """

    def close(self) -> None:
        """Let all go."""


class GpioLines:
    """Lines of a Linux GPIO character device, through libgpiod 2 (https://libgpiod.readthedocs.io).

    Args:
        request: in place of `gpiod.request_lines`.

    Raises:
        SignalError: the package or the chip is missing, or another program has a line.
    """

    def __init__(self, settings: SignalSettings, request: Callable[..., Any] | None = None) -> None:
        try:
            import gpiod
            from gpiod.line import Direction, Value
        except ImportError as error:
            raise SignalError(
                "[signals] needs the package gpiod: pip install 'gpiod>=2.2,<3', or leave door, lamp and buzzer out", code="signals.no_gpiod"
            ) from error
        self._values = {True: Value.ACTIVE, False: Value.INACTIVE}
        form = gpiod.LineSettings(direction=Direction.OUTPUT, active_low=settings.active_low, output_value=Value.INACTIVE)
        numbers = tuple(sorted(settings.lengths))
        try:
            self._request = (request or gpiod.request_lines)(settings.chip, config={numbers: form}, consumer="clockface")
        except (OSError, ValueError) as error:
            raise SignalError(
                f"[signals] {settings.chip}, lines {numbers}: cannot be used ({error}); `gpioinfo` shows what there is and who has it", code="signals.lines"
            ) from error

    def set(self, line: int, active: bool) -> None:
        self._request.set_value(line, self._values[active])

    def close(self) -> None:
        self._request.release()


class Pulses:
    """Which lines are active until when. Pure; the clock is handed in.

    Args:
        lengths: line -> s.
    """

    def __init__(self, lengths: Mapping[int, float]) -> None:
        self._lengths = lengths
        self._until: dict[int, float] = {}

    def begin(self, now: float) -> list[int]:
        """The lines to be made active. One that is active already stays so for its whole time from now."""
        self._until = {line: now + length for line, length in self._lengths.items()}
        return list(self._until)

    def over(self, now: float) -> list[int]:
        """The lines to be let go; each is named once."""
        lines = [line for line, until in self._until.items() if now >= until]
        for line in lines:
            del self._until[line]
        return lines

    def again(self, line: int, at: float) -> None:
        """A line that could not be let go is over once more then."""
        self._until[line] = at

    def wait(self, now: float) -> float | None:
        """s until the next line is over; None: none is active."""
        return max(0.0, min(self._until.values()) - now) if self._until else None


class Signals:
    """Tells the outside that a punch is on disk. `accepted` may be called from any thread and never waits for a line.

    Args:
        lines: None where nothing is wired.
        say: what goes wrong with a line is said, and the punch stands.
    """

    def __init__(self, lengths: Mapping[int, float], lines: Lines | None, say: Callable[[str], None]) -> None:
        self._lines, self._say = lines, say
        self._pulses = Pulses(lengths)
        self._asked = self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="signals", daemon=True)

    def accepted(self) -> None:
        """A punch was recorded."""
        with self._changed:
            self._asked = True
            self._changed.notify()

    def open(self) -> None:
        if self._lines:
            self._thread.start()

    def close(self) -> None:
        """Let every line go."""
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
            for line in self._pulses.over(now):
                if not self._set(line, False):
                    self._pulses.again(line, now + RETRY_SECONDS)
        for line in self._pulses.over(float("inf")):
            self._set(line, False)

    def _next(self) -> bool:
        """Wait for a punch or for the end of a pulse; a punch begins the pulses. False: closed."""
        with self._changed:
            if not (self._asked or self._closed):
                self._changed.wait(self._pulses.wait(time.monotonic()))
            asked, self._asked = self._asked, False
            closed = self._closed
        if asked and not closed:
            for line in self._pulses.begin(time.monotonic()):
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
    """The board's signals while the block runs. A recording or the demo opens no door.

    Raises:
        SignalError: the lines cannot be used.
    """
    wired = bool(settings.lengths)
    if wired and not live:
        say("signals: off, this is a recording")
    signals = Signals(settings.lengths, opened(settings) if wired and live else None, say)
    signals.open()
    try:
        yield signals
    finally:
        signals.close()
