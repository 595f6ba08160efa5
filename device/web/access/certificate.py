"""TLS for other machines: the certificate from the settings, or a self-signed one that is made when it is first needed."""

from __future__ import annotations

import ipaddress
import platform
import ssl
import time
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from device.config import WebSettings
from device.config.places import HOME
from device.system.certificates import WARNED_DAYS, ends
from device.system.files import Disk
from device.web.server import Address, Certificate, WebError

YEARS = 5
EARLIEST = datetime(2026, 1, 1, tzinfo=timezone.utc)  # a board without a clock may start in 1970: the certificate is valid anyway


def for_addresses(settings: WebSettings, addresses: Sequence[Address], database: Path) -> Certificate | None:
    """The certificate to serve with; None where none is needed (localhost) or plain HTTP was asked for. The terminal's own is renewed before it ends.

    Raises:
        WebError: the certificate of the settings cannot be used.
    """
    if settings.certificate:
        given = Certificate(HOME / settings.certificate, HOME / settings.key)
        _check(given)
        return given
    if settings.plain_http or all(address.local for address in addresses):
        return None
    own = Certificate(database.with_name(f"{database.name}.crt"), database.with_name(f"{database.name}.key"))
    if not (own.certificate.is_file() and own.key.is_file()) or ends(own.certificate) - time.time() < WARNED_DAYS * 86400:
        make(own, [address.host for address in addresses])
    _check(own)
    return own


def make(files: Certificate, hosts: Sequence[str]) -> None:
    """A self-signed certificate for this machine's names; the key is mode 600."""
    key = ec.generate_private_key(ec.SECP256R1())
    node = platform.node() or "clockface"
    names = [x509.DNSName(name) for name in dict.fromkeys([node, f"{node}.local", "localhost"])]
    addresses = [x509.IPAddress(found) for host in dict.fromkeys(["127.0.0.1", "::1", *hosts]) if (found := _ip(host)) and not found.is_unspecified]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, node[:64])])
    start = max(EARLIEST, datetime.now(timezone.utc) - timedelta(days=1))
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(EARLIEST)
        .not_valid_after(start + timedelta(days=365 * YEARS))
        .add_extension(x509.SubjectAlternativeName([*names, *addresses]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    Disk().write(files.key, key.private_bytes(*form), 0o600)
    Disk().write(files.certificate, built.public_bytes(serialization.Encoding.PEM), 0o600)


def fingerprint(files: Certificate) -> str:
    """SHA-256 as browsers show it, to compare at the first visit."""
    digest = x509.load_pem_x509_certificate(files.certificate.read_bytes()).fingerprint(hashes.SHA256()).hex().upper()
    return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))


def _check(files: Certificate) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(files.certificate, files.key)
    except (OSError, ssl.SSLError) as error:
        raise WebError(
            f"certificate {files.certificate} with key {files.key} cannot be used ({error}); check [web] certificate and key", code="web.certificate"
        ) from error


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
