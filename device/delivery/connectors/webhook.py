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
from functools import partial
from typing import ClassVar
from urllib.parse import urlsplit

from device.config import ConnectorSettings
from device.config.fields import ConfigError, hidden, needed, ranged, switched, written
from device.delivery.connectors import Connector
from device.delivery.connectors import proxy as proxies
from device.delivery.connectors.credentials import Sealed
from device.delivery.connectors.http_exchange import Answer, HttpTarget, check_url, is_page, judge
from device.delivery.outcomes import Delivered, Failed, Outcome, Refused, expect
from device.storage.events import Event

PREFIX = "whsec_"
SHORTEST_KEY, LONGEST_KEY = 24, 64  # bytes, as in the standard
UNKNOWN = (400, 404, 405, 415, 422, 501)  # how a receiver says that it does not know a kind of event


@dataclass(frozen=True, kw_only=True)
class Settings(ConnectorSettings):
    url: str = needed("http or https address", "Address that the events are sent to")
    secret: str = hidden("Key of the signature: whsec_ and the base64 of 24 to 64 bytes")
    previous_secret: str = hidden("Earlier key that signs as well, while the receiver changes over", needed=False)
    confirmed: bool = switched(False, "An answer must repeat the id of the event, in its text or in its header webhook-id")
    parallel: int = ranged(4, 1, 16, "requests", "Number of requests under way at a time; those of one person follow each other")
    ca_file: str = written("", "path", "PEM file with certificates to trust in place of the system's, for a company's own authority")
    proxy: str = written("", "http address", proxies.HELP)
    punches: bool = switched(True, "Punches, corrections and alarms are sent there; without, only what the page Notices says")


class Target(Connector):
    settings: Settings
    takes_alarms: ClassVar[bool] = True
    takes_notices: ClassVar[bool] = True

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.lanes = settings.parallel
        check_url(f"[connectors.{self.name}] url", settings.url)
        parts = urlsplit(settings.url)
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        site = f"{parts.scheme}://{parts.netloc}"
        self._site = HttpTarget(f"[connectors.{self.name}] url", site, settings.timeout_seconds, settings.parallel, settings.ca_file, settings.proxy)
        self._keys = {key: self.secret(key) for key in ("secret", "previous_secret") if getattr(settings, key)}
        for key, sealed in self._keys.items():
            self._decoded(key)
            self.secrets.append(Sealed(sealed.reveal().removeprefix(PREFIX), partial(_bare, sealed)))

    def send(self, event: Event) -> Outcome:
        body = json.dumps({"event": event.kind, "id": event.key, **event.columns()}, ensure_ascii=False).encode()
        sent_at = str(int(time.time()))
        try:
            keys = [self._decoded(key) for key in self._keys]
        except ConfigError as error:  # the file was changed to something else
            return Failed(str(error), whole_target=True)
        headers = {
            "Content-Type": "application/json",
            "webhook-id": event.key,
            "webhook-timestamp": sent_at,
            "webhook-signature": " ".join(signature(key, event.key, sent_at, body) for key in keys),
        }
        return self._judged(event, self._site.call("POST", self._path, headers, body))

    def _judged(self, event: Event, answer: Answer | Failed) -> Outcome:
        """A page for people is not a receiver's answer. An alarm is new to many receivers: one that does not know it is not asked again."""
        outcome = judge(answer)
        if isinstance(answer, Failed):
            return answer
        if isinstance(outcome, Delivered) and is_page(answer):
            return Failed(f"a web page answered in place of the receiver ({outcome.answer}), such as a sign-in page; check the address", whole_target=True)
        if isinstance(outcome, Delivered) and self.settings.confirmed and event.key not in answer.text + str(answer.headers.get("webhook-id", "")):
            return Failed(f"the answer does not repeat the event's id ({outcome.answer}), which `confirmed` asks for", whole_target=True)
        if event.kind == "refused_attempts" and answer.status in UNKNOWN:
            return Delivered(f"the receiver does not take alarms of refused attempts: {answer.summary}")
        return Refused(outcome.answer, cause=str(answer.status)) if isinstance(outcome, Refused) else outcome

    def test(self, event: Event) -> str:
        return expect(self.send(event))

    def close(self) -> None:
        self._site.close()

    def _decoded(self, setting: str) -> bytes:
        text = self._keys[setting].reveal()
        try:
            key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
        except binascii.Error:
            key = b""
        if not text.startswith(PREFIX) or not SHORTEST_KEY <= len(key) <= LONGEST_KEY:
            where, length = f"[connectors.{self.name}] {setting}", f"at least {SHORTEST_KEY} bytes and at most {LONGEST_KEY}"
            raise ConfigError(f"{where}: expected {PREFIX} and the base64 of {length}; docs/connectors.md makes one", code="config.secret")
        return key


def _bare(sealed: Sealed) -> str:
    """A key without its prefix: a receiver may show it like that."""
    return sealed.reveal().removeprefix(PREFIX)


def signature(key: bytes, message_id: str, sent_at: str, body: bytes) -> str:
    digest = hmac.new(key, f"{message_id}.{sent_at}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"
