"""A wire between a connector and its target that can be cut, or go deaf, after so many bytes of the target's answers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Wire:
    """Passes on to a port of this machine. `after` None: whole; else what happens after so many bytes: "cut" or "deaf"."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.fault, self.after, self.answered = "cut", None, 0  # type: str, int | None, int
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._open += [near, far]
                threading.Thread(target=self._pass_on, args=(near, far, False), daemon=True).start()
                threading.Thread(target=self._pass_on, args=(far, near, True), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        with suppress(OSError):
            while data := source.recv(4096):
                if answers:
                    data = self._damaged(data)
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _damaged(self, data: bytes) -> bytes:
        left = len(data) if self.after is None else max(0, self.after - self.answered)
        self.answered += len(data)
        if left < len(data) and self.fault == "cut":
            raise OSError
        return data[:left]

    def damage(self, fault: str, after: int) -> None:
        """From now on so many bytes of answers come through."""
        self.fault, self.after, self.answered = fault, after, 0

    def repair(self) -> None:
        """Whole again, for new connections; those there are gone."""
        self.after = None
        self.hang_up()

    def hang_up(self) -> None:
        for end in self._open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._open.clear()

    def close(self) -> None:
        self._listener.close()
        self.hang_up()


@contextmanager
def wire(target: int) -> Iterator[Wire]:
    made = Wire(target)
    try:
        yield made
    finally:
        made.close()
