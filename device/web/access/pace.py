"""How many requests of other machines begin in a second: a flood of cheap ones waits, and the terminal's own screen does not wait behind it."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send

from device.web.connections import SCREEN

PER_SECOND = 200.0  # 200 people at their desks ask for about 120
BURST = 100  # at once, such as the files of a page for several people


class Paced:
    """ASGI middleware: lets requests begin at `per_second` at most, in the order in which they come; those of the terminal's own screen at once."""

    def __init__(self, app: ASGIApp, per_second: float = PER_SECOND, burst: int = BURST) -> None:
        self.app = app
        self._spacing, self._burst = 1 / per_second, burst
        self._full = float("-inf")  # when the next request would begin, had there been no pause

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (scope.get("client") or ("",))[0] not in SCREEN:
            await self._turn()
        await self.app(scope, receive, send)

    async def _turn(self) -> None:
        now = asyncio.get_running_loop().time()
        self._full = max(self._full, now - self._burst * self._spacing) + self._spacing
        if self._full > now:
            await asyncio.sleep(self._full - now)
