"""A person's key, sealed for one terminal: only that terminal's private key opens it, so the company's database sees no face.

An X25519 key is made for each box and agreed with the terminal's; HKDF-SHA256 over both public keys and the person gives the AES-256-GCM key
(RFC 7748, RFC 5869; the construction is that of HPKE's base mode, RFC 9180, without its suites).
"""

from __future__ import annotations

import base64
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from device.storage.sealing import seal, unseal

PUBLIC = 32  # bytes


def public_of(private: bytes) -> bytes:
    """The public key, 32 bytes, of a private one."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def password_of(private: bytes, role: str) -> str:
    """The password of a terminal's login: nothing else needs to be kept secret than the private key."""
    return base64.urlsafe_b64encode(_derived(private, f"login of {role}".encode())).decode()


def box(key: bytes, public: bytes, person: str) -> bytes:
    """Seal a person's key (32 bytes) for the terminal with this public key; `person` is the uuid."""
    once = X25519PrivateKey.generate()
    own = once.public_key().public_bytes_raw()
    return own + seal(_agreed(once, public, own + public, person), key, person)


def unbox(sealed: bytes, private: bytes, person: str) -> bytes:
    """Open what `box` has sealed.

    Raises:
        KeysError: it was sealed for another terminal or person, or was changed.
    """
    mine, public = _opened(private)
    own = sealed[:PUBLIC]
    return unseal(_agreed(mine, own, own + public, person), sealed[PUBLIC:], person)


@lru_cache(maxsize=1)
def _opened(private: bytes) -> tuple[X25519PrivateKey, bytes]:
    """The terminal's own key pair: making it takes as long as using it, and a roster is 20,000 boxes."""
    pair = X25519PrivateKey.from_private_bytes(private)
    return pair, pair.public_key().public_bytes_raw()


def _agreed(private: X25519PrivateKey, public: bytes, keys: bytes, person: str) -> bytes:
    shared = private.exchange(X25519PublicKey.from_public_bytes(public))
    return _derived(shared, keys + person.encode())


def _derived(secret: bytes, info: bytes) -> bytes:
    return HKDF(SHA256(), 32, b"clockface fleet 1", info).derive(secret)
