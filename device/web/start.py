"""Starts the pages of a running terminal: certificate, first admin, server; prints their addresses."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from device.config import Settings
from device.storage.store import Store
from device.terminal.capture_session import Booth
from device.terminal.pipeline import Pipeline
from device.web.access import certificate, first_admin, set_up_by_code
from device.web.context import Terminal
from device.web.kiosk.code_watch import CodeWatch
from device.web.live import Live
from device.web.server import DEFAULT, Address, WebServer

__all__ = ["DEFAULT", "web_server"]


@contextmanager
def web_server(
    settings: Settings, pipeline: Pipeline, where: Sequence[str], config_file: Path | None = None, accepted: Callable[[], None] = lambda: None
) -> Iterator[Terminal]:
    """Serve the pages while the block runs; `accepted` is called after each punch that was recorded.

    Raises:
        WebError: an address or a certificate cannot be used.
    """
    live = Live(pipeline.questions, pipeline.store.newest_punch(), booth=Booth(time.monotonic, pipeline.recogniser), accepted=accepted)
    terminal = Terminal(settings, pipeline.store.path, pipeline.device, live, config_file=config_file)
    if not pipeline.recording and set_up_by_code.waiting(pipeline.store):
        live.codes = CodeWatch(partial(terminal.store, "kiosk"), config_file, live.restart.set, settings.camera.mirror)
    with _served(terminal, pipeline.store, where):
        yield terminal


@contextmanager
def desk_server(settings: Settings, store: Store, name: str, where: Sequence[str], config_file: Path | None = None) -> Iterator[Live]:
    """Serve the pages of the company's desk while the block runs: those of a terminal without its kiosk.

    Raises:
        WebError: an address or a certificate cannot be used.
    """
    with _served(Terminal(settings, store.path, name, config_file=config_file, desk=True), store, where) as terminal:
        yield terminal.live


@contextmanager
def _served(terminal: Terminal, store: Store, where: Sequence[str]) -> Iterator[Terminal]:
    settings, addresses = terminal.settings, [Address.parsed(text) for text in where]
    tls = certificate.for_addresses(settings.web, addresses, terminal.database)
    with WebServer(terminal, addresses, tls, lambda: certificate.for_addresses(settings.web, addresses, terminal.database)) as server:
        for line in first_admin.create(store, sys.stdout.isatty()):
            print(line, flush=True)
        for url in server.urls:
            print(f"web: {url}" if terminal.desk else f"web: {url}   kiosk page: {url}/kiosk", flush=True)
        terminal.live.pages, terminal.live.fingerprint = tuple(server.urls), certificate.fingerprint(tls) if tls else ""
        if tls and not settings.web.certificate:
            print(f"web: own certificate, SHA-256 {certificate.fingerprint(tls)}", flush=True)
        yield terminal
