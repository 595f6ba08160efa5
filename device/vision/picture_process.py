"""Decodes pictures from others in a process apart, with an end to its memory and time: a decoder's fault ends that process and not the terminal.

    with PictureProcess() as pictures:
        image = pictures.read(data, "photo.jpg")

The process is this module run with `python -m`. It can open no file, start and disturb no process and write to no disk; it gets no more than the bytes of a
picture and gives back its pixels. One starts in a fraction of a second and serves until it is closed, or until it fails; then the next picture gets a new one.
"""

from __future__ import annotations

import json
import os
import resource
import select
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from device.contract import Phrase, phrase, phrases
from device.system.seccomp import threads_only
from device.vision import heif, jpeg_warnings
from device.vision.images import ImageError, bytes_of, picture

ROOT = Path(__file__).resolve().parents[2]  # of the package `device`
MEMORY_BYTES = 1_000_000_000  # beyond what the process has once it has started; the largest picture of 16 bits and four channels takes 550 MB
SECONDS = 20.0  # for one picture; 50 megapixels take some 2 s on a Raspberry Pi 4
STARTS_SECONDS = 30.0
PIECE = 1 << 20
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # each thread's stack counts as memory
UNREADABLE = phrase("image.undecodable", "cannot be decoded within the memory and time that a picture may take; save it again as JPEG or PNG")


class PictureProcess:
    """Reads pictures while the block runs; one at a time, from one thread."""

    def __init__(self, seconds: float = SECONDS, memory: int = MEMORY_BYTES) -> None:
        self._seconds, self._memory = seconds, memory
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> PictureProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end()

    def read(self, data: bytes, name: str) -> NDArray[np.uint8]:
        """The picture as `images.picture` gives it: (H, W, 3) uint8 BGR.

        Raises:
            ImageError: as there; also where the process fails, or takes too much memory or time.
        """
        try:
            head, pixels = self._asked(data)
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            self._end()
            raise ImageError(phrases(": ", (name, UNREADABLE)), code="image.damaged") from error
        if "error" in head:
            code, words = head["code"], Phrase(head["error"])
            words.key, words.values = head["key"], head["values"]
            raise ImageError(phrases(": ", (name, words)), code=code)
        return np.frombuffer(pixels, np.uint8).reshape(head["shape"])

    def read_file(self, path: Path) -> NDArray[np.uint8]:
        """The picture of a file, as `images.read_image` gives it.

        Raises:
            ImageError: as there, and as `read`.
        """
        return self.read(bytes_of(path), str(path))

    def _asked(self, data: bytes) -> tuple[dict[str, Any], bytearray]:
        process = self._running()
        assert process.stdin is not None and process.stdout is not None
        end = time.monotonic() + self._seconds
        _write(process.stdin, len(data).to_bytes(8, "big") + data, end)
        head = json.loads(_read(process.stdout, int.from_bytes(_read(process.stdout, 4, end), "big"), end))
        return head, _read(process.stdout, head.get("bytes", 0), end)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            command = [sys.executable, "-m", __name__, str(self._memory)]
            environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": str(ROOT)}
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=environment, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            assert self._process.stdin is not None and self._process.stdout is not None
            os.set_blocking(self._process.stdin.fileno(), False)
            _read(self._process.stdout, 1, time.monotonic() + STARTS_SECONDS)  # ready, and limited
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()


def _write(pipe: IO[bytes], data: bytes, end: float) -> None:
    left = memoryview(data)
    while left:
        if not select.select([], [pipe], [], max(0.0, end - time.monotonic()))[1]:
            raise TimeoutError
        left = left[os.write(pipe.fileno(), left[:PIECE]) :]


def _read(pipe: IO[bytes], count: int, end: float) -> bytearray:
    taken, at = bytearray(count), 0
    while at < count:
        if not select.select([pipe], [], [], max(0.0, end - time.monotonic()))[0]:
            raise TimeoutError
        got = os.readv(pipe.fileno(), [memoryview(taken)[at : at + PIECE]])
        if not got:
            raise EOFError
        at += got
    return taken


# in the process apart


def _limit(memory: int) -> None:
    """End what this process may take: memory, files, processes, and core files with a face in them.

    Where no filter can leave it its threads, it has none, and reads no HEIC.
    """
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * os.sysconf("SC_PAGE_SIZE") + memory
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    for what in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE, resource.RLIMIT_NOFILE):
        resource.setrlimit(what, (0, 0))
    try:
        threads_only()
    except OSError:
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))


def _answer(data: bytes) -> tuple[dict[str, Any], Any]:
    try:
        image = np.ascontiguousarray(picture(data, ""))
    except ImageError as error:
        said = error.message.parts[1] if isinstance(error.message, Phrase) else ""  # without the name
        key, values = (said.key, dict(said.values)) if isinstance(said, Phrase) else ("", {})
        return {"error": str(error).removeprefix(": "), "code": error.code, "key": key, "values": values}, b""
    return {"shape": image.shape, "bytes": image.nbytes}, image.data


def serve(memory: int) -> None:
    """Decode what comes on standard input until it ends."""
    import cv2

    if heif.readable():
        import pi_heif  # noqa: F401

    cv2.setNumThreads(1)
    jpeg_warnings.listen()
    incoming, outgoing = sys.stdin.buffer, sys.stdout.buffer
    for kind in (".jpg", ".png", ".webp", ".tiff", ".bmp"):  # what is loaded late is loaded now
        picture(cv2.imencode(kind, np.zeros((32, 32, 4 if kind == ".png" else 3), np.uint8))[1].tobytes(), "")
    _limit(memory)
    outgoing.write(b"+")
    outgoing.flush()
    while len(size := incoming.read(8)) == 8:
        head, pixels = _answer(incoming.read(int.from_bytes(size, "big")))
        text = json.dumps(head).encode()
        outgoing.write(len(text).to_bytes(4, "big") + text)
        outgoing.write(pixels)
        outgoing.flush()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
