"""The web server: it runs on a thread of the terminal's process; one event loop serves all addresses."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

import uvicorn

from device.contract import ClockfaceError
from device.system.restart import kept_running
from device.web.access.proxies import Trusted
from device.web.app import create_app
from device.web.connections import Connections
from device.web.context import Terminal
from device.web.listener import PageServer

log = logging.getLogger(__name__)

DEFAULT = "127.0.0.1:8080"
WATCH_SECONDS = 60.0  # between two looks at the certificate's files
BACKLOG = 1024  # connections that wait to be taken; whoever finds no room there is tried again by their own machine a second later (RFC 6298)
PATIENCE_SECONDS = 10.0  # longest wait for its start, and for its end


class WebError(ClockfaceError):
    """The web pages cannot be served; the message says what to do."""

    code = "web"


@dataclass(frozen=True)
class Address:
    host: str
    port: int  # 0: any free one

    @property
    def local(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @staticmethod
    def parsed(text: str) -> Address:
        """Parse HOST:PORT, :PORT or HOST; an IPv6 address is in brackets.

        Raises:
            WebError: it is none of these.
        """
        host, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
        if not colon:
            host, port = text, "8080"
        host = host.strip("[]") or "127.0.0.1"
        if not port.isdecimal() or int(port) > 65535:
            raise WebError(f"--web {text!r}: expected HOST:PORT, such as {DEFAULT} or 0.0.0.0:8443", code="web.address")
        return Address(host, int(port))


@dataclass(frozen=True)
class Certificate:
    """PEM files."""

    certificate: Path
    key: Path


class WebServer:
    """Serves the pages while the block runs: `with WebServer(terminal, [Address.parsed("127.0.0.1:8080")]) as server:`.

    Raises:
        WebError: an address is taken or not one of this machine.
    """

    def __init__(
        self, terminal: Terminal, addresses: Sequence[Address], tls: Certificate | None = None, renewed: Callable[[], Certificate | None] | None = None
    ) -> None:
        self.terminal = terminal
        self._tls, self._renewed = tls, renewed or (lambda: tls)
        self._served = _stamp(tls)  # of the certificate in force
        self._sockets = [_listening(address) for address in addresses]
        self.addresses = [replace(a, port=s.getsockname()[1]) for a, s in zip(addresses, self._sockets, strict=True)]
        self.connections = Connections(proxy=Trusted.parsed(terminal.settings.web.trusted_proxies).__contains__)  # of all addresses
        self.servers: list[uvicorn.Server] = []  # one for each address; others after a restart
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def urls(self) -> list[str]:
        return [f"{'https' if self._secure(a) else 'http'}://{f'[{a.host}]' if ':' in a.host else a.host}:{a.port}" for a in self.addresses]

    def _secure(self, address: Address) -> bool:
        return self._tls is not None and not (address.local and not self.terminal.settings.web.certificate)

    def _server(self, address: Address) -> uvicorn.Server:
        app = create_app(replace(self.terminal, bound_to=address.host))
        tls = self._tls if self._secure(address) else None
        config = uvicorn.Config(
            app, log_level="error", access_log=False, server_header=False, lifespan="off", timeout_graceful_shutdown=1, proxy_headers=False,
            http="h11", ws="none",
            ssl_certfile=tls.certificate if tls else None, ssl_keyfile=tls.key if tls else None,
        )  # fmt: skip
        return PageServer(config, self.connections)

    def __enter__(self) -> WebServer:
        self._thread.start()
        if not self._started.wait(PATIENCE_SECONDS):
            raise WebError("the web server did not start; run with --no-web to go on without it, and see the log", code="web.not_started")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ending.set()
        for server in self.servers:
            server.should_exit = True
        self.terminal.live.close()
        self._thread.join(PATIENCE_SECONDS)
        for listener in self._sockets:
            listener.close()
        self.terminal.stores.close()

    def _run(self) -> None:
        kept_running("the web server", lambda: asyncio.run(self._serve()), self._ending, log.error)

    async def _serve(self) -> None:
        """Serve until `_ending` is set.

        Raises:
            WebError: a server ended by itself.
        """
        self.terminal.live.attach(asyncio.get_running_loop())
        self.connections.forget()
        self.servers = [self._server(address) for address in self.addresses]
        copies = [listener.dup() for listener in self._sockets]  # a server closes the sockets it gets, unless it fails
        try:
            serving = [asyncio.create_task(server.serve(sockets=[copy])) for server, copy in zip(self.servers, copies, strict=True)]
            while not all(server.started for server in self.servers) and not any(task.done() for task in serving):
                await asyncio.sleep(0.01)
            self._started.set()
            watching = asyncio.create_task(self._watch_certificate())
            await asyncio.wait(serving, return_when=asyncio.FIRST_COMPLETED)
            watching.cancel()
            for server in self.servers:
                server.should_exit = True
            await asyncio.wait(serving)
        finally:
            for copy in copies:
                copy.close()
        for task in serving:
            task.result()
        if not self._ending.is_set():
            raise WebError("it ended by itself", code="web.ended")


    async def _watch_certificate(self) -> None:
        """Serve a certificate that was renewed without a restart; one that cannot be used is told, and the former stays in force."""
        while self._tls is not None:
            await asyncio.sleep(WATCH_SECONDS)
            try:
                await asyncio.to_thread(self._renewed)
                if (stamp := _stamp(self._tls)) != self._served:
                    for server in self.servers:
                        if server.config.ssl is not None:
                            server.config.ssl.load_cert_chain(self._tls.certificate, self._tls.key)
                    self._served = stamp
                    log.warning("the certificate %s was renewed and is served now", self._tls.certificate)
            except (ClockfaceError, OSError) as error:  # ssl.SSLError is an OSError
                log.error("the renewed certificate cannot be served: %s", error)


def _stamp(tls: Certificate | None) -> tuple[float, ...]:
    """Changes when one of the files does."""
    try:
        return () if tls is None else (tls.certificate.stat().st_mtime, tls.key.stat().st_mtime)
    except OSError:  # being replaced
        return ()


def _listening(address: Address) -> socket.socket:
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise WebError(f"--web {address.host}:{address.port}: {error.strerror}; give an address of this machine", code="web.address") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        remedy = "give another port (--web HOST:PORT), or leave the pages out (--no-web)"
        raise WebError(f"--web {address.host}:{address.port}: {error.strerror}; {remedy}", code="web.address") from error
    return listener
