"""Accepts the connections of the pages and closes those that keep it waiting: for a request's header, for TLS, or by reading no answer.

uvicorn and asyncio accept whatever comes, and wait for as long as the other side likes.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from device.web.connections import SAID_SECONDS, Connections, Held

log = logging.getLogger(__name__)

HEADER_SECONDS = 10.0  # from the connection, or from the first byte of the next request, to the end of the header; the same for TLS
READING_SECONDS = 30.0  # within which some of an answer must be read
AT_A_TIME = 32  # connections taken before other work of the event loop, so that a flood leaves the queue; an eighth of all places at most, so that
# none is closed for others before its request is read
PAUSE_SECONDS = 0.5  # before the next try, where no descriptor is left


class TimedProtocol(H11Protocol):
    """HTTP/1.1 of uvicorn with an end to waiting. `place` is set by the listener right after the protocol is made."""

    place: Held
    connections_held: Connections

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.place.close = transport.abort
        self._reading: asyncio.TimerHandle | None = None
        self._header: asyncio.TimerHandle | None = self.loop.call_later(HEADER_SECONDS, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self.connections_held.leave(self.place)
        self._stop_waiting()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:  # the header is whole
            self._stop_waiting()
            self.place.busy = self.cycle is not None and not self.cycle.response_complete
        elif self._header is None and not self.transport.is_closing():
            self._header = self.loop.call_later(HEADER_SECONDS, self.transport.abort)

    def on_response_complete(self) -> None:
        self.connections_held.waits(self.place)
        super().on_response_complete()
        if self.cycle is not None and not self.cycle.response_complete:  # a request that had been sent ahead
            self.place.busy = True

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reading = self._reading or self.loop.call_later(READING_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _stop_waiting(self) -> None:
        if self._header is not None:
            self._header.cancel()
            self._header = None


class Listener:
    """Takes connections from a listening socket until it is closed; each gets a place of `connections`, or is closed at once.

    Args:
        protocol: makes the protocol of one connection.
    """

    def __init__(self, listening: socket.socket, connections: Connections, protocol: Callable[[], TimedProtocol], tls: ssl.SSLContext | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._listening, self._connections, self._protocol, self._tls = listening, connections, protocol, tls
        self._starting: set[asyncio.Task[None]] = set()
        self._closed = False
        self._said_at = float("-inf")
        listening.setblocking(False)
        self._loop.add_reader(listening, self._take)

    def close(self) -> None:
        self._closed = True
        self._loop.remove_reader(self._listening)
        for task in tuple(self._starting):
            task.cancel()

    async def wait_closed(self) -> None:
        await asyncio.gather(*self._starting, return_exceptions=True)

    def _take(self) -> None:
        for _ in range(max(1, min(AT_A_TIME, self._connections.most // 8))):
            try:
                accepted, peer = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause(error)
                return
            self._begin(accepted, str(peer[0]))

    def _pause(self, error: OSError) -> None:
        """No descriptor or memory is left: the socket stays readable, so the loop would spin."""
        if self._loop.time() - self._said_at >= SAID_SECONDS:
            self._said_at = self._loop.time()
            log.error("no connection can be taken: %s", error.strerror)
        self._loop.remove_reader(self._listening)
        self._loop.call_later(PAUSE_SECONDS, self._resume)

    def _resume(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._listening, self._take)

    def _begin(self, accepted: socket.socket, address: str) -> None:
        place = self._connections.admit(address, accepted.close)
        if place is None:
            accepted.close()
            return
        task = self._loop.create_task(self._start(accepted, place))
        self._starting.add(task)

        def end() -> None:
            task.cancel()

        def ended(task: asyncio.Task[None]) -> None:
            self._starting.discard(task)
            if task.cancelled():  # perhaps before it began
                self._connections.leave(place)
                accepted.close()

        place.close = end
        task.add_done_callback(ended)

    async def _start(self, accepted: socket.socket, place: Held) -> None:
        def made() -> TimedProtocol:
            protocol = self._protocol()
            protocol.place, protocol.connections_held = place, self._connections
            return protocol

        wanted: dict[str, Any] = {"ssl": self._tls, "ssl_handshake_timeout": HEADER_SECONDS} if self._tls else {}
        try:
            await self._loop.connect_accepted_socket(made, accepted, **wanted)
        except OSError:  # no TLS, or gone meanwhile
            self._connections.leave(place)
            accepted.close()


class PageServer(uvicorn.Server):
    """uvicorn's server with this listener. It handles no signals: the terminal handles them and ends the server."""

    def __init__(self, config: uvicorn.Config, connections: Connections) -> None:
        super().__init__(config)
        self._connections = connections

    def install_signal_handlers(self) -> None:
        return None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self.lifespan.startup()

        def protocol() -> TimedProtocol:
            return TimedProtocol(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

        listeners = [Listener(listening, self._connections, protocol, self.config.ssl) for listening in sockets or []]
        self.servers = listeners  # type: ignore[assignment]
        self.started = True
