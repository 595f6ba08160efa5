"""A certificate authority as a company would make one, and certificates that it signs, for PostgreSQL's TLS."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.device.fleet.cluster import ACCOUNT, Cluster


class Authority:
    """Signs certificates; `pem` is its own."""

    def __init__(self, name: str = "Example database authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        made = _builder(self._name, self._name, self._key).add_extension(x509.BasicConstraints(True, None), True)
        self.pem = made.sign(self._key, SHA256()).public_bytes(Encoding.PEM).decode()

    def sign(self, hosts: Sequence[str]) -> tuple[str, str]:
        """Certificate and key, PEM, of a server with these names or addresses."""
        key, subject = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, hosts[0])])
        names = [x509.IPAddress(ip_address(host)) if host[0].isdigit() else x509.DNSName(host) for host in hosts]
        made = _builder(subject, self._name, key).add_extension(x509.SubjectAlternativeName(names), False).sign(self._key, SHA256())
        return made.public_bytes(Encoding.PEM).decode(), key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(timezone.utc)
    return x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number(), now - timedelta(hours=1), now + timedelta(days=30))


def serve(made: Cluster, certificate: tuple[str, str]) -> None:
    """Let the running server use this certificate for new connections."""
    for name, text in zip(("server.crt", "server.key"), certificate, strict=True):
        file: Path = made.folder / "data" / name
        file.write_text(text)
        file.chmod(0o600)
        if file.owner() != made.folder.owner():
            shutil.chown(file, ACCOUNT, ACCOUNT)
    made.psql("ALTER SYSTEM SET ssl = on", ACCOUNT)
    made.psql("SELECT pg_reload_conf(), pg_sleep(0.5)", ACCOUNT)
