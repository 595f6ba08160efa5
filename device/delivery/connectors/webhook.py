"""Signed webhook: one POST per event, as specified at https://www.standardwebhooks.com.

`webhook-id` is the idempotency key, `webhook-timestamp` the time of sending in s; `webhook-signature` is `v1,` and the
base64 of HMAC-SHA256 over `id.timestamp.body`, once for each key in use, so that keys can be changed without interruption.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlsplit

from device.config import ConfigError, ConnectorSettings, hidden, needed, ranged, written
from device.delivery.connectors import Connector
from device.delivery.connectors.credentials import Sealed
from device.delivery.connectors.http_exchange import HttpTarget, check_url, judge
from device.delivery.outcomes import Outcome, expect
from device.storage.events import Event

PREFIX = "whsec_"
SHORTEST_KEY = 24  # bytes, as in the standard


@dataclass(frozen=True, kw_only=True)
class Settings(ConnectorSettings):
    url: str = needed("http or https address", "Address that the events are sent to")
    secret: str = hidden("Key of the signature: whsec_ and the base64 of 24 to 64 bytes")
    previous_secret: str = hidden("Earlier key that signs as well, while the receiver changes over", needed=False)
    parallel: int = ranged(4, 1, 16, "requests", "Number of requests under way at a time; those of one person follow each other")
    ca_file: str = written("", "path", "PEM file with certificates to trust in place of the system's, for a company's own authority")


class Target(Connector):
    settings: Settings
    takes_alarms: ClassVar[bool] = True

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.lanes = settings.parallel
        check_url(f"[connectors.{self.name}] url", settings.url)
        parts = urlsplit(settings.url)
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        site = f"{parts.scheme}://{parts.netloc}"
        self._site = HttpTarget(f"[connectors.{self.name}] url", site, settings.timeout_seconds, settings.parallel, settings.ca_file)
        self._keys = [self._key(key) for key in ("secret", "previous_secret") if getattr(settings, key)]

    def send(self, event: Event) -> Outcome:
        body = json.dumps({"event": event.kind, "id": event.key, **event.columns()}, ensure_ascii=False).encode()
        sent_at = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "webhook-id": event.key,
            "webhook-timestamp": sent_at,
            "webhook-signature": " ".join(signature(key, event.key, sent_at, body) for key in self._keys),
        }
        return judge(self._site.call("POST", self._path, headers, body))

    def test(self, event: Event) -> str:
        return expect(self.send(event))

    def close(self) -> None:
        self._site.close()

    def _key(self, setting: str) -> bytes:
        text = self.secret(setting).reveal()
        try:
            key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
        except binascii.Error:
            key = b""
        if not text.startswith(PREFIX) or len(key) < SHORTEST_KEY:
            where = f"[connectors.{self.name}] {setting}"
            raise ConfigError(f"{where}: expected {PREFIX} and the base64 of at least {SHORTEST_KEY} bytes; docs/connectors.md makes one", code="config.secret")
        self.secrets.append(Sealed(text.removeprefix(PREFIX)))
        return key


def signature(key: bytes, message_id: str, sent_at: str, body: bytes) -> str:
    digest = hmac.new(key, f"{message_id}.{sent_at}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"
