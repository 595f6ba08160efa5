"""Limits the size of request bodies: nothing is read beyond what the page allows."""

from __future__ import annotations

from starlette.types import Message, Receive


class TooLarge(Exception):
    """The body is larger than the page allows."""


def limited(receive: Receive, largest: int) -> Receive:
    """The same stream; raises TooLarge as soon as more than `largest` bytes have arrived."""
    taken = 0

    async def counted() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > largest:
            raise TooLarge
        return message

    return counted
