"""A wire between a terminal and PostgreSQL that can be cut, stalled and half closed; it reorders nothing."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

CHUNK = 16384
STALL_SECONDS = 1.0


class Wire:
    """Forwards connections from its own port to another one on loopback."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._stalled_until = 0.0
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def harm(self, chance: random.Random) -> str:
        """Do one bad thing to a connection, or to all of them."""
        kind = chance.choice(["cut", "stall", "half"])
        pair = chance.choice(self._pairs) if self._pairs else None
        if kind == "stall":
            self._stalled_until = time.monotonic() + STALL_SECONDS
        elif pair:
            for end in pair if kind == "cut" else pair[chance.randrange(2) :][:1]:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR if kind == "cut" else socket.SHUT_WR)
        return kind

    def close(self) -> None:
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._server.close()
        for pair in list(self._pairs):
            for end in pair:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._server.accept()
                thread = threading.Thread(target=self._connect, args=[near], daemon=True)
                thread.start()
                self._threads.append(thread)

    def _connect(self, near: socket.socket) -> None:
        with near, suppress(OSError), socket.create_connection(("127.0.0.1", self._target)) as far:
            pair = (near, far)
            self._pairs.append(pair)
            back = threading.Thread(target=self._forward, args=[far, near], daemon=True)
            back.start()
            self._forward(near, far)
            back.join()
            self._pairs.remove(pair)

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK):
                if (wait := self._stalled_until - time.monotonic()) > 0:
                    time.sleep(wait)
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def wire(port: int) -> Iterator[Wire]:
    made = Wire(port)
    try:
        yield made
    finally:
        made.close()
