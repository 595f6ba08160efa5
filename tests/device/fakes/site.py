"""A web server that stands in for a target: it keeps what it is sent and can misbehave on demand."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

T = TypeVar("T", bound="StandIn")


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] | None = None

    @classmethod
    def of(cls, value: Any, status: int = 200) -> Reply:
        return cls(status, json.dumps(value).encode(), {"Content-Type": "application/json"})


Fault = Callable[["Handler"], Any]  # GO_ON and TAKEN_TOO mean something


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections stay open
    disable_nagle_algorithm = True
    server: Server
    body = b""

    def handle_one(self) -> None:
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        stand_in = self.server.stand_in
        with stand_in.lock:
            fault = stand_in.faults.popleft() if stand_in.faults else stand_in.always
            request = Request(self.command, parts.path, query, dict(self.headers), body)
            stand_in.requests.append(request)
        self.body = body
        done = fault(self) if fault else GO_ON
        if done is None:
            return
        with stand_in.lock:
            reply = stand_in.answer(request)
        if done is GO_ON:
            self.reply(reply)

    do_GET = do_POST = do_PUT = do_DELETE = handle_one

    def reply(self, reply: Reply) -> None:
        self.send_response_only(reply.status)
        for key, value in {"Date": formatdate(usegmt=True), "Content-Length": str(len(reply.body)), **(reply.headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, *_: Any) -> None:
        pass

    def hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    stand_in: StandIn

    def handle_error(self, *_: Any) -> None:
        pass  # clients that go away are part of the test


class StandIn:
    """Base of all: `answer` is the target's own behaviour; `faults` come first, one a request, then `always`."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.faults: deque[Fault] = deque()
        self.always: Fault | None = None
        self.lock = threading.RLock()
        self.url = ""

    def answer(self, request: Request) -> Reply:
        return Reply()


@contextmanager
def serving(stand_in: T) -> Iterator[T]:
    server = Server(("127.0.0.1", 0), Handler)
    server.stand_in = stand_in
    stand_in.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield stand_in
    finally:
        server.shutdown()
        server.server_close()


# faults

GO_ON = object()  # no fault after all
TAKEN_TOO = object()  # the target does its work as well; only the answer is lost


def status(code: int, body: bytes = b"no", **headers: str) -> Fault:
    return lambda handler: handler.reply(Reply(code, body, {key.replace("_", "-"): value for key, value in headers.items()}))


def hang(seconds: float) -> Fault:
    def fault(handler: Handler) -> None:
        time.sleep(seconds)
        handler.hang_up()

    return fault


def half_closed(handler: Handler) -> None:
    """The connection ends where an answer should come."""
    handler.hang_up()


def taken_but_unanswered(handler: Handler) -> Any:
    """The worst case: the target has the event, and nobody learns of it."""
    handler.hang_up()
    return TAKEN_TOO


def cut_short(handler: Handler) -> None:
    """The answer breaks off in its body."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"O")
    handler.hang_up()


def garbage(handler: Handler) -> None:
    handler.wfile.write(b"\x00\xff not http at all\r\n\r\n")
    handler.hang_up()


def busy_until_date(seconds: float, skew: float) -> Fault:
    """429 with a date, told by a clock that is wrong by `skew` seconds."""
    now = time.time() + skew
    return status(429, Retry_After=formatdate(now + seconds, usegmt=True), Date=formatdate(now, usegmt=True))


def echo_body(code: int) -> Fault:
    """A target that shows the body of the request in its error page."""
    return lambda handler: handler.reply(Reply(code, handler.body))


def echo_headers(code: int, before: int = 0) -> Fault:
    """A target that shows the whole request in its error page, secrets included, after so many other characters."""
    return lambda handler: handler.reply(Reply(code, b"x" * before + str(handler.headers).encode()))
