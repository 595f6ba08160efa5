"""AES-256-GCM: how the data of people, and their keys, are sealed."""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from device.storage.key_folder import KeysError

SIZE = 32  # bytes: AES-256
NONCE = 12  # bytes, random, in front of what is sealed
OVERHEAD = NONCE + 16  # bytes that sealing adds


def seal(key: bytes, plain: bytes, context: str) -> bytes:
    """AES-256-GCM; opens only with the same key and context."""
    nonce = os.urandom(NONCE)
    return nonce + AESGCM(key).encrypt(nonce, plain, context.encode())


def unseal(key: bytes, sealed: bytes, context: str) -> bytes:
    """Open what `seal` has sealed.

    Raises:
        KeysError: another key or context, or the bytes were changed.
    """
    try:
        return AESGCM(key).decrypt(sealed[:NONCE], sealed[NONCE:], context.encode())
    except (InvalidTag, ValueError) as error:
        raise KeysError(
            f"sealed data ({context}) was changed, or belongs to another key: restore a backup of the database, or enrol again", code="keys.not_opened"
        ) from error
