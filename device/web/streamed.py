"""Answers that a process apart writes: they are passed on piece by piece, so that the terminal's process holds none of them."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import anyio
from starlette.responses import PlainTextResponse, Response
from starlette.types import Message, Receive, Scope, Send

from device.contract import ClockfaceError
from device.system import apart

log = logging.getLogger(__name__)

PIECE = 1 << 16  # bytes
LONGEST_SECONDS = 3600.0  # for one answer: somebody who reads slower than that holds a place no longer
AT_ONCE = 2  # processes; a third answer is refused


class BusyError(ClockfaceError):
    """As many long answers as may be are being made."""

    code = "request.busy"


class Places:
    """Processes that may run at the same time."""

    def __init__(self, count: int = AT_ONCE) -> None:
        self.count = count
        self._free = threading.BoundedSemaphore(count)

    @contextmanager
    def held(self) -> Iterator[Places]:
        """A place for the answer that the block makes, which gives it back.

        Raises:
            BusyError: none is free.
        """
        if not self._free.acquire(blocking=False):
            made = "1 long export is" if self.count == 1 else f"{self.count} long exports are"
            raise BusyError(f"{made} being made; try again when one has ended")
        try:
            yield self
        except BaseException:
            self.give_back()
            raise

    def give_back(self) -> None:
        self._free.release()


class Streamed(Response):
    """What `work` yields in a process apart. The process ends with the answer, also when the client goes away.

    Args:
        places: one of them was taken for it; it is given back at the end.
    """

    def __init__(self, places: Places, media_type: str, headers: Mapping[str, str], work: apart.Work, *args: Any) -> None:
        super().__init__(media_type=media_type, headers=headers)
        del self.headers["content-length"]  # not known
        self._places, self._order = places, apart.order(work, *args)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with anyio.move_on_after(LONGEST_SECONDS) as limit:
                async with anyio.create_task_group() as group:
                    group.start_soon(self._stop_when_gone, receive, group.cancel_scope)
                    await self._pass_on(scope, receive, send)
                    group.cancel_scope.cancel()
            if limit.cancelled_caught:
                log.error("an export was cut off: it was not read within %.0f s", LONGEST_SECONDS)
        finally:
            self._places.give_back()

    async def _stop_when_gone(self, receive: Receive, ending: anyio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        ending.cancel()

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*apart.COMMAND, cwd=apart.ROOT, env=apart.environment(), stdin=pipe, stdout=pipe)
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(self._order)
            process.stdin.close()
            piece = await process.stdout.read(PIECE)
            if not piece:
                log.error("an export failed: the process that makes it ended with %d", await process.wait())
                await PlainTextResponse("This could not be made; the terminal's log says why.", 500)(scope, receive, send)
                return
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            while piece:
                await send(_body(piece, more=True))
                piece = await process.stdout.read(PIECE)
            if await process.wait() == 0:
                await send(_body(b"", more=False))
            else:  # the connection ends without the end of the answer, so that a browser shows a download that failed
                log.error("an export was cut off: the process that makes it ended with %d", process.returncode)
        finally:
            if process.returncode is None:
                process.kill()
            with anyio.CancelScope(shield=True):
                await process.communicate()  # to the end of its pipes, which closes them


def _body(piece: bytes, more: bool) -> Message:
    return {"type": "http.response.body", "body": piece, "more_body": more}
