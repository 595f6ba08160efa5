"""What `attack.py` lets loose on a terminal of its own: each coroutine attacks 127.0.0.1 from other addresses of this machine for a stated time."""

from __future__ import annotations

import asyncio
import random
import struct
import time
import zlib
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass

from device.commands.benchmark.browsers import PAGES, POLL_SECONDS, THINK_SECONDS
from device.web.access.sessions import form_token
from device.web.consent_text import wording

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
HEAD = "Host: 127.0.0.1\r\n"


@dataclass(frozen=True)
class Aim:
    port: int
    seconds: float
    viewers: tuple[str, ...]  # session tokens
    hr: str


async def opened(aim: Aim, number: int, group: int) -> Streams:
    """A connection from an address of this machine that is not the kiosk's: twenty connections of each."""
    return await asyncio.open_connection("127.0.0.1", aim.port, local_addr=(f"127.0.{group}.{1 + number // 20 % 250}", 0))


async def asked(streams: Streams, request: str, body: bytes = b"") -> tuple[int, bytes]:
    """Status and body of the answer; the connection stays open."""
    reader, writer = streams
    writer.write(request.encode() + body)
    await writer.drain()
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.partition("content-length: ")[2].partition("\r")[0] or 0)
    return int(head.split()[1]), await reader.readexactly(length)


async def repeated(aim: Aim, count: int, one: Callable[[int], Coroutine[None, None, None]], done: Counter[str]) -> None:
    """`count` attackers at once; whoever is thrown out comes back after a second, until the time is over."""
    end = time.monotonic() + aim.seconds

    async def again(number: int) -> None:
        while time.monotonic() < end:
            try:
                await one(number)
            except (OSError, EOFError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                done["thrown out"] += 1
                await asyncio.sleep(1.0)

    tasks = [asyncio.create_task(again(number)) for number in range(count)]
    await asyncio.wait(tasks, timeout=aim.seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def silent_sockets(aim: Aim, done: Counter[str]) -> None:
    async def one(number: int) -> None:
        reader, writer = await opened(aim, number, 1)
        done["opened"] += 1
        try:
            if not await reader.read(1):
                raise EOFError
        finally:
            writer.close()

    await repeated(aim, 2000, one, done)


async def slow_loris(aim: Aim, done: Counter[str]) -> None:
    async def one(number: int) -> None:
        _, writer = await opened(aim, number, 2)
        done["opened"] += 1
        try:
            for byte in b"GET /kiosk HTTP/1.1\r\nX-Slow: " + b"a" * 10_000:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(1.0)
        finally:
            writer.close()

    await repeated(aim, 400, one, done)


async def busy_browsers(aim: Aim, done: Counter[str]) -> None:
    async def one(number: int) -> None:
        dice = random.Random(number)
        await asyncio.sleep(dice.random() * POLL_SECONDS)
        streams = await opened(aim, number, 3)
        cookie = f"Cookie: clockface_desk={aim.viewers[number % len(aim.viewers)]}\r\n"
        try:
            while True:
                for path in ("/today/part?seen=0", dice.choice(PAGES)):
                    status, _ = await asked(streams, f"GET {path} HTTP/1.1\r\n{HEAD}{cookie}\r\n")
                    done[f"status {status}"] += 1
                    await asyncio.sleep(THINK_SECONDS * (0.3 + 0.4 * dice.random()))
        finally:
            streams[1].close()

    await repeated(aim, 200, one, done)


async def deaf_readers(aim: Aim, done: Counter[str]) -> None:
    async def one(number: int) -> None:
        _, writer = await opened(aim, number, 4)
        done["opened"] += 1
        try:
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            for _ in range(300):
                writer.write(f"GET /static/site.css HTTP/1.1\r\n{HEAD}\r\n".encode())
            await asyncio.sleep(aim.seconds)
        finally:
            writer.close()

    await repeated(aim, 100, one, done)


async def guesses(aim: Aim, done: Counter[str]) -> None:
    """Thirty at once, for one login and for as many as there are."""

    async def one(number: int) -> None:
        streams = await opened(aim, number, 5)
        try:
            for count in range(1000):
                body = f"form_token={form_token('v' * 32)}&login={'hr' if number % 2 else f'x{count}'}&password=wrong".encode()
                head = f"Cookie: clockface_visitor={'v' * 32}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n"
                status, _ = await asked(streams, f"POST /login HTTP/1.1\r\n{HEAD}{head}\r\n", body)
                done["examined" if status == 401 else f"status {status}"] += 1
                await asyncio.sleep(0.2)
        finally:
            streams[1].close()

    await repeated(aim, 30, one, done)


async def forwarded_headers(aim: Aim, done: Counter[str]) -> None:
    """As a proxy on the terminal's machine: from the kiosk's own address."""
    lies = ("X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1", "X-Real-IP: 127.0.0.1", "Via: 1.1 proxy")

    async def one(number: int) -> None:
        streams = await asyncio.open_connection("127.0.0.1", aim.port)
        try:
            for lie in lies:
                for path in ("/kiosk", "/kiosk/picture", "/kiosk/events", "/kiosk/own"):
                    status, _ = await asked(streams, f"GET {path} HTTP/1.1\r\n{HEAD}{lie}\r\n\r\n")
                    done["opened the kiosk" if status != 403 else "refused"] += 1
                    await asyncio.sleep(0.05)
        finally:
            streams[1].close()

    await repeated(aim, 5, one, done)


def tiff(width: int, height: int, last_width: int | None = None) -> bytes:
    """One strip per row, all of them the same compressed bytes (Deflate, tag 259 = 8), so that a small file is a large picture; with `last_width`, a
    second width tag stands after the real one: OpenCV takes the first, a dictionary the last."""
    row = zlib.compress(bytes(width * 3), 9)
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 2), (277, 3, 1, 3), (278, 4, 1, 1)]
    if last_width is not None:
        tags.insert(1, (256, 4, 1, last_width))
    count = len(tags) + 2
    strips = 8 + 2 + 12 * count + 4
    sizes = strips + 4 * height
    tags += [(273, 4, height, strips), (279, 4, height, sizes)]
    directory = struct.pack("<H", count) + b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags, key=lambda tag: tag[0])) + bytes(4)
    data = sizes + 4 * height
    return b"II*\0" + struct.pack("<I", 8) + directory + struct.pack(f"<{height}I", *[data] * height) + struct.pack(f"<{height}I", *[len(row)] * height) + row


async def bombs(aim: Aim, done: Counter[str]) -> None:
    """Photos that are small files and large pictures, by a login of HR."""
    photos = (tiff(20_000, 20_000, last_width=60), tiff(20_000, 20_000), tiff(9_000, 5_500))  # refused twice; the last is allowed, and shows nobody

    async def one(number: int) -> None:
        streams = await opened(aim, number, 6)
        try:
            for photo in photos:
                fields = {"form_token": form_token(aim.hr), "consent": wording("en").version, "name": "Bomb", "code": "B1"}
                parts = [f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode() for name, value in fields.items()]
                parts.append(b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a.tif"\r\n\r\n' + photo + b"\r\n--x--\r\n")
                body = b"".join(parts)
                head = f"Cookie: clockface_desk={aim.hr}\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: {len(body)}\r\n"
                status, text = await asked(streams, f"POST /people/bulk HTTP/1.1\r\n{HEAD}{head}Accept: application/json\r\n\r\n", body)
                done["refused" if b'"refused"' in text else f"status {status}: {text[:60].decode('utf-8', 'replace')}"] += 1
        finally:
            with suppress(OSError):
                streams[1].close()

    await repeated(aim, 3, one, done)


ATTACKS = (silent_sockets, slow_loris, busy_browsers, deaf_readers, guesses, forwarded_headers, bombs)
