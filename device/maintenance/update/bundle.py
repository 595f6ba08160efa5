"""A bundle: one file with a release for a board. Nothing is unpacked before its signature and every hash are verified (docs/bundle.md).

It is an uncompressed tar whose every byte follows from the manifest, the signatures and the files. So nothing is parsed: the
reader computes the next header and compares. A link, a device, a path upwards, a sparse or compressed member, a wrong size or
anything after the end differs from the expected bytes, however a tar program would read it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from device.maintenance.update.manifest import MANIFEST, SIGNATURES, BundledFile, BundleError, Manifest
from device.maintenance.update.signatures import check_signatures

LARGEST_MANIFEST, LARGEST_SIGNATURES = 4 << 20, 1 << 14  # bytes
BLOCK = 512  # bytes; of tar
END = bytes(2 * BLOCK)  # of a tar
CHUNK = 1 << 20  # bytes


def header(path: str, size: int, executable: bool = False) -> bytes:
    """The 512-byte POSIX ustar header (IEEE Std 1003.1, pax, "ustar Interchange Format") of a regular file, owner root, mtime 0."""
    folder, name = "", path
    if len(path) > 100:
        cut = path.index("/", len(path) - 101)
        folder, name = path[:cut], path[cut + 1 :]
    fields = [
        (name, 100), (f"{0o755 if executable else 0o644:07o}", 8), (f"{0:07o}", 8), (f"{0:07o}", 8), (f"{size:011o}", 12), (f"{0:011o}", 12),
        (" " * 8, 8), ("0", 1), ("", 100), ("ustar\x0000", 8), ("root", 32), ("root", 32), (f"{0:07o}", 8), (f"{0:07o}", 8), (folder, 155), ("", 12),
    ]  # fmt: skip
    block = b"".join(text.encode("ascii").ljust(width, b"\0") for text, width in fields)
    return block[:148] + f"{sum(block):06o}\0 ".encode() + block[156:]


def padding(size: int) -> bytes:
    return bytes(-size % BLOCK)


class Bundle:
    """An open bundle whose manifest was signed by a trusted key; its files are not yet verified."""

    def __init__(self, path: Path, file: BinaryIO, manifest: Manifest, signatures: bytes, signer: str) -> None:
        self.path = path
        self.manifest = manifest
        self.signatures = signatures
        self.signer = signer  # key id
        self._file = file
        self._start = file.tell()

    @classmethod
    @contextmanager
    def open(cls, path: Path, trusted: Mapping[str, Ed25519PublicKey]) -> Iterator[Bundle]:
        """Open a bundle and check its signature before any content is interpreted.

        Raises:
            BundleError: missing, not a bundle, not signed by a trusted key, of another schema.
        """
        try:
            file = path.open("rb")
        except OSError as error:
            raise BundleError(
                f"bundle {path} cannot be read ({error.strerror}); give the .bundle file that `python -m export bundle` wrote", code="update.unreadable"
            ) from error
        with file:
            signed = _first(file, MANIFEST, LARGEST_MANIFEST)
            signatures = _first(file, SIGNATURES, LARGEST_SIGNATURES)
            signer = check_signatures(signed, signatures, trusted)
            yield cls(path, file, Manifest.from_bytes(signed), signatures, signer)

    def verify(self) -> None:
        """Read every byte and compare with the manifest; nothing is written.

        Raises:
            BundleError: a file is changed, missing or not listed, or the archive ends early.
        """
        self._walk(lambda file: os.fdopen(os.open(os.devnull, os.O_WRONLY), "wb"))

    def unpack(self, folder: Path) -> None:
        """Write manifest, signatures and files into a new folder, each checked again as it is written.

        Raises:
            BundleError: the bundle has changed since `verify`; the folder is then not usable.
        """
        folder.mkdir(mode=0o755)
        (folder / MANIFEST).write_bytes(self.manifest.to_bytes())
        (folder / SIGNATURES).write_bytes(self.signatures)

        def create(file: BundledFile) -> BinaryIO:
            place = folder / file.path
            place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            return os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o755 if file.executable else 0o644), "wb")

        self._walk(create)

    def _walk(self, target_of: Callable[[BundledFile], BinaryIO]) -> None:
        self._file.seek(self._start)
        for file in self.manifest.files:
            _expect(self._file, header(file.path, file.size, file.executable), f"the header of {file.path}")
            with target_of(file) as target:
                got = _copy(self._file, target, file.size, file.path)
            if got != file.sha256:
                raise BundleError(f"bundle: {file.path} is not the file that was signed; fetch the bundle again", code="update.changed")
            _expect(self._file, padding(file.size), f"the end of {file.path}")
        _expect(self._file, END, "its end")
        if self._file.read(1):
            raise BundleError("bundle: there is data after its end; fetch the bundle again", code="update.too_long")


def _first(file: BinaryIO, name: str, largest: int) -> bytes:
    """The content of a member whose size is not known in advance."""
    block = _read(file, BLOCK, name)
    digits = block[124:135]
    size = int(digits, 8) if digits.isdigit() and not set(digits) & set(b"89") else -1
    if not 0 <= size <= largest or block != header(name, size):
        raise BundleError(
            f"this is not a bundle: expected {name}, at most {largest} bytes; give the .bundle file that `python -m export bundle` wrote",
            code="update.no_bundle",
        )
    content = _read(file, size, name)
    _expect(file, padding(size), f"the end of {name}")
    return content


def _read(file: BinaryIO, size: int, name: str) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise BundleError(f"bundle: it ends early, in {name}; fetch the bundle again", code="update.cut_off")
    return data


def _expect(file: BinaryIO, wanted: bytes, name: str) -> None:
    if _read(file, len(wanted), name) != wanted:
        raise BundleError(f"bundle: {name} is not what the manifest says; fetch the bundle again", code="update.header")


def _copy(source: BinaryIO, target: BinaryIO, size: int, name: str) -> str:
    """Copy `size` bytes; returns their sha256."""
    digest, left = hashlib.sha256(), size
    while left:
        block = _read(source, min(left, CHUNK), name)
        digest.update(block)
        target.write(block)
        left -= len(block)
    return digest.hexdigest()
