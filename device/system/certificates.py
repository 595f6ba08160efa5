"""Certificates in PEM files."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509

from device.contract import ClockfaceError

WARNED_DAYS = 30.0  # before its end a certificate is warned of, and one of our own is renewed


class CertificateError(ClockfaceError):
    """A file is no certificate; the message names it."""

    code = "certificate"


def ends(file: Path) -> float:
    """When the certificate in a PEM file ends, s since the epoch; of a chain, its first.

    Raises:
        CertificateError: it is none, or cannot be read.
    """
    try:
        found = x509.load_pem_x509_certificate(file.read_bytes())
    except (OSError, ValueError) as error:
        raise CertificateError(f"{file} is no certificate that can be read ({error}); give one in PEM") from error
    return found.not_valid_after_utc.timestamp()
