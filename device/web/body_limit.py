"""No body is read beyond what its page allows."""

from __future__ import annotations

from starlette.types import Message, Receive


class TooLarge(Exception):
    """More bytes came than the page takes."""


def limited(receive: Receive, largest: int) -> Receive:
    """The same stream; ends in TooLarge as soon as more than `largest` bytes came."""
    taken = 0

    async def counted() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > largest:
            raise TooLarge
        return message

    return counted
