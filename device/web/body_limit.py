"""Limits the size of request bodies, and the time that they may take: nothing is read beyond what the page allows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.types import Message, Receive

GRACE_SECONDS = 15.0  # for the first bytes
BYTES_PER_SECOND = 8_000.0  # that a body must bring on average, after that


class TooLarge(Exception):
    """The body is larger than the page allows."""


class TooSlow(Exception):
    """The body comes so slowly that somebody may only want to hold the connection."""


def limited(receive: Receive, largest: int, clock: Callable[[], float] | None = None) -> Receive:
    """The same stream; raises TooLarge as soon as more than `largest` bytes have arrived, TooSlow where they do not arrive."""
    taken = 0
    began: float | None = None

    async def counted() -> Message:
        nonlocal taken, began
        now = (clock or asyncio.get_running_loop().time)()
        began = now if began is None else began
        try:
            message = await asyncio.wait_for(receive(), max(0.0, began + GRACE_SECONDS + taken / BYTES_PER_SECOND - now))
        except (TimeoutError, asyncio.TimeoutError):
            raise TooSlow from None
        taken += len(message.get("body", b""))
        if taken > largest:
            raise TooLarge
        return message

    return counted
