"""Debian's mosquitto on 127.0.0.1: with users, rights, TLS; and somebody who listens."""

from __future__ import annotations

import datetime
import ipaddress
import os
import pwd
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

USER, PASSWORD = "clockface", "password-of-the-broker"


def program() -> str:
    found = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if not found:
        pytest.skip("mosquitto is not installed (apt install mosquitto)")
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def certificates(folder: Path) -> None:
    """A company's own authority, and a certificate for 127.0.0.1 by it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    now = datetime.datetime.now(datetime.timezone.utc)
    names = {who: x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, who)]) for who in ("authority", "broker")}
    keys = {who: ec.generate_private_key(ec.SECP256R1()) for who in names}
    for who, name in names.items():
        builder = x509.CertificateBuilder(names["authority"], name, keys[who].public_key(), x509.random_serial_number(), now, now + datetime.timedelta(days=2))
        is_authority = who == "authority"
        builder = builder.add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(keys[who].public_key()), critical=False)
        builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(keys["authority"].public_key()), critical=False)
        if is_authority:
            usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
            builder = builder.add_extension(usage, critical=True)
        else:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        certificate = builder.sign(keys["authority"], hashes.SHA256())
        (folder / f"{who}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        plain = serialization.NoEncryption()
        key = keys[who].private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        (folder / f"{who}.key").write_bytes(key)


class Broker:
    """One broker; may be stopped and started again on its ports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.tls_port = free_port(), free_port()
        self.ca_file = folder / "authority.pem"
        self._process: subprocess.Popen[bytes] | None = None
        certificates(folder)
        subprocess.run(
            [shutil.which("mosquitto_passwd") or "mosquitto_passwd", "-c", "-b", "users", USER, PASSWORD], cwd=folder, check=True, capture_output=True
        )
        (folder / "rights").write_text(f"user {USER}\ntopic readwrite #\n\nuser reader\n")
        user = pwd.getpwuid(os.getuid()).pw_name
        shared = f"allow_anonymous false\npassword_file {folder}/users\nacl_file {folder}/rights\n"
        (folder / "mosquitto.conf").write_text(
            f"user {user}\n{shared}listener {self.port} 127.0.0.1\nlistener {self.tls_port} 127.0.0.1\n"
            f"certfile {folder}/broker.pem\nkeyfile {folder}/broker.key\n"
        )

    def start(self) -> None:
        self._process = subprocess.Popen([program(), "-c", str(self.folder / "mosquitto.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.tls_port), 0.2).close()
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError("mosquitto does not start")

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def forbid(self, topic: str) -> None:
        """Take the right to write below a topic; needs a start anew."""
        (self.folder / "rights").write_text(f"user {USER}\ntopic readwrite #\ntopic deny {topic}\n")


@contextmanager
def broker(folder: Path) -> Iterator[Broker]:
    program()
    made = Broker(folder)
    made.start()
    try:
        yield made
    finally:
        made.stop()


@contextmanager
def listening(port: int, topic: str = "#") -> Iterator[list[tuple[str, str, bool, int]]]:
    """What arrives meanwhile: topic, text, retained, QoS."""
    from paho.mqtt.client import Client, MQTTv5
    from paho.mqtt.enums import CallbackAPIVersion

    heard: list[tuple[str, str, bool, int]] = []
    subscribed = threading.Event()
    client = Client(CallbackAPIVersion.VERSION2, client_id="listener", protocol=MQTTv5)
    client.username_pw_set(USER, PASSWORD)
    client.on_message = lambda client, data, message: heard.append((message.topic, message.payload.decode(), message.retain, message.qos))
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_connect = lambda client, *_: client.subscribe(topic, 1) and None
    client.connect("127.0.0.1", port)
    client.loop_start()
    assert subscribed.wait(5)
    time.sleep(0.05)  # what is retained comes first
    try:
        yield heard
    finally:
        client.disconnect()
        client.loop_stop()


def until(met: object, seconds: float = 5.0) -> None:
    """Wait for a condition given as a function."""
    deadline = time.monotonic() + seconds
    while not met():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
