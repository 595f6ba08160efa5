"""The streams of the kiosk page: server-sent events and MJPEG pictures. Each ends with the page or the terminal."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import anyio.to_thread

from device.web.live import Live

BOXES_SECONDS = 0.08  # shortest time between two events in which only the boxes moved
TIME_SECONDS = 10.0  # how often the page's clock is set, which shows as well that the terminal is still here
TICK_SECONDS = 0.5  # how often the view is evaluated without a new scene, since cards expire and cameras are lost
BOUNDARY = "clockface-picture"


async def events(live: Live, who: str = "") -> AsyncIterator[str]:
    """The view as JSON, sent whenever it has changed, and the time; nothing where others were quicker to take the last place."""
    if not live.room(who):
        return
    event, loop = live.watch(who), asyncio.get_running_loop()
    last: dict[str, Any] = {}
    sent = told = float("-inf")
    try:
        while not live.closed:
            if loop.time() - told > TIME_SECONDS:
                told = loop.time()
                yield f"event: time\ndata: {json.dumps(live.time())}\n\n"
            view = live.view().as_dict()
            moved = view != last
            changed = moved and {**view, "boxes": None} != {**last, "boxes": None}
            if changed or (moved and loop.time() - sent >= BOXES_SECONDS):
                last, sent = view, loop.time()
                yield f"data: {json.dumps(view, separators=(',', ':'))}\n\n"
            await _woken(event, TICK_SECONDS)
    finally:
        live.leave(event)


async def pictures(live: Live, rate: float, who: str = "") -> AsyncIterator[bytes]:
    """A sequence of JPEG pictures, at most `rate` per second; none where others were quicker to take the last place."""
    if not live.room(who):
        return
    event, loop = live.watch(who), asyncio.get_running_loop()
    last = b""
    try:
        yield f"--{BOUNDARY}\r\n".encode()
        while not live.closed:
            began = loop.time()
            jpeg = await anyio.to_thread.run_sync(live.picture)
            if jpeg and jpeg is not last:
                last = jpeg
                head = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                yield head.encode() + jpeg + f"\r\n--{BOUNDARY}\r\n".encode()  # a browser shows a picture only when the boundary of the next one arrives
            await asyncio.sleep(max(0.0, began + 1 / rate - loop.time()))
            await _woken(event, TICK_SECONDS)
    finally:
        live.leave(event)


async def _woken(event: asyncio.Event, seconds: float) -> None:
    """Wait for the next scene, but not longer than the timeout."""
    with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    event.clear()
