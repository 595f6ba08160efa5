"""Encrypts a file with a passphrase: AES-256-GCM in chunks, so that the file is never in memory as a whole.

Layout: MAGIC, 16 bytes of salt, 7 bytes of nonce, then chunks. Each chunk's nonce is those 7 bytes, its number (4 bytes) and
whether it is the last (1 byte): chunks that are swapped, left out or cut off do not open (STREAM, Hoang et al. 2015).
The key comes from scrypt (RFC 7914) with n = 2^15, r = 8, p = 1.
"""

from __future__ import annotations

import os
from typing import IO

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


def seal(source: IO[bytes], target: IO[bytes], passphrase: str) -> None:
    """Seal `source` into `target`.

    Raises:
        SealError: the passphrase is too short.
    """
    if len(passphrase) < SHORTEST:
        raise SealError(
            f"the passphrase must have at least {SHORTEST} characters; somebody who has the file can try any number of them", code="encryption.short"
        )
    salt, nonce = os.urandom(16), os.urandom(7)
    cipher = _cipher(passphrase, salt)
    target.write(MAGIC + salt + nonce)
    number, chunk = 0, source.read(CHUNK)
    while True:
        following = source.read(CHUNK)
        target.write(cipher.encrypt(_nonce(nonce, number, not following), chunk, MAGIC))
        if not following:
            return
        number, chunk = number + 1, following


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
