"""Encrypts a file with a passphrase: AES-256-GCM in chunks, so that the file is never in memory as a whole.

Layout: MAGIC, 16 bytes of salt, 7 bytes of nonce, then chunks. Each chunk's nonce is those 7 bytes, its number (4 bytes) and
whether it is the last (1 byte): chunks that are swapped, left out or cut off do not open (STREAM, Hoang et al. 2015).
The key comes from scrypt (RFC 7914) with n = 2^15, r = 8, p = 1.
"""

from __future__ import annotations

import io
import os
import shutil
from typing import IO, Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from device.contract import ClockfaceError

MAGIC = b"CLOCKFACE-SEALED-1\n"
CHUNK = 1 << 20  # bytes before sealing
TAG = 16  # bytes that sealing adds to a chunk
SHORTEST = 12  # characters of a passphrase


class SealError(ClockfaceError):
    """A file cannot be encrypted or decrypted; the message says what to do."""

    code = "encryption"


class Sealing(io.RawIOBase):
    """A file that seals what is written to it; it is whole only after `finish`.

    Args:
        target: takes the sealed bytes.

    Raises:
        SealError: the passphrase is too short.
    """

    def __init__(self, target: IO[bytes], passphrase: str) -> None:
        if len(passphrase) < SHORTEST:
            raise SealError(
                f"the passphrase must have at least {SHORTEST} characters; somebody who has the file can try any number of them", code="encryption.short"
            )
        salt, self._nonce = os.urandom(16), os.urandom(7)
        self._cipher, self._target = _cipher(passphrase, salt), target
        self._waiting, self._number = bytearray(), 0
        target.write(MAGIC + salt + self._nonce)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._waiting += data
        while len(self._waiting) > CHUNK:  # the last chunk is not known before `finish`
            self._seal(bytes(self._waiting[:CHUNK]), last=False)
            del self._waiting[:CHUNK]
        return len(data)

    def finish(self) -> None:
        self._seal(bytes(self._waiting), last=True)
        self._waiting.clear()

    def _seal(self, chunk: bytes, last: bool) -> None:
        self._target.write(self._cipher.encrypt(_nonce(self._nonce, self._number, last), chunk, MAGIC))
        self._number += 1


def seal(source: IO[bytes], target: IO[bytes], passphrase: str) -> None:
    """Seal `source` into `target`.

    Raises:
        SealError: the passphrase is too short.
    """
    sealing = Sealing(target, passphrase)
    shutil.copyfileobj(source, sealing, CHUNK)
    sealing.finish()


def unseal(source: IO[bytes], target: IO[bytes], passphrase: str) -> None:
    """Open what `seal` has sealed.

    Raises:
        SealError: not a sealed file, wrong passphrase, changed or cut off.
    """
    head = source.read(len(MAGIC) + 23)
    if not head.startswith(MAGIC) or len(head) != len(MAGIC) + 23:
        raise SealError(
            "this is not a backup of Clockface; choose the file that was downloaded or written by `python -m device backup`", code="encryption.no_backup"
        )
    salt, nonce = head[len(MAGIC) : -7], head[-7:]
    cipher = _cipher(passphrase, salt)
    number, chunk = 0, source.read(CHUNK + TAG)
    while True:
        following = source.read(CHUNK + TAG)
        try:
            target.write(cipher.decrypt(_nonce(nonce, number, not following), chunk, MAGIC))
        except (InvalidTag, ValueError) as error:
            raise SealError("wrong passphrase, or the file was changed or cut off; nothing was restored", code="encryption.passphrase") from error
        if not following:
            return
        number, chunk = number + 1, following


def _cipher(passphrase: str, salt: bytes) -> AESGCM:
    return AESGCM(Scrypt(salt=salt, length=32, n=2**15, r=8, p=1).derive(passphrase.encode()))


def _nonce(start: bytes, number: int, last: bool) -> bytes:
    return start + number.to_bytes(4, "big") + bytes([last])
