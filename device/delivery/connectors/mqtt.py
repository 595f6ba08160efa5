"""MQTT: each event is published with QoS 1; Home Assistant discovers the terminal.

Topics: BASE/NODE/punch, BASE/NODE/correction and BASE/NODE/refused_attempts (JSON), BASE/NODE/availability ("online", and "offline" by last will,
both retained), and retained configurations below the discovery prefix
(https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery, .../event.mqtt/, .../sensor.mqtt/).
It uses MQTT 5, since only there a broker reports a message that it did not accept because permission is missing.
"""

from __future__ import annotations

import json
import platform
import re
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from device.config import ConfigError, ConnectorSettings, hidden, needed, ranged, switched, written
from device.delivery.connectors import Connector, Queue
from device.delivery.outcomes import Delivered, Failed, Outcome, expect
from device.storage.events import Event

if TYPE_CHECKING:
    from paho.mqtt.client import Client

TOPIC_PART = re.compile(r"[A-Za-z0-9_-]{1,64}")
KEEPALIVE_SECONDS = 30  # the broker reports a lost terminal as offline after one and a half times this


@dataclass(frozen=True, kw_only=True)
class Settings(ConnectorSettings):
    host: str = needed("host name", "Host name or IP address of the MQTT broker")
    port: int = ranged(8883, 1, 65535, "port number", "TCP port of the broker")
    tls: bool = switched(True, "Encrypt the connection with TLS and check the broker's certificate")
    ca_file: str = written("", "path", "PEM file with certificates to trust in place of the system's, for a company's own authority")
    user: str = written("", "text", "User at the broker; give user and password, or neither")
    password: str = hidden("Password of that user", needed=False)
    base: str = written("clockface", "letters, digits, - and _", "First part of the topics")
    node: str = written("", "letters, digits, - and _", "Second part of the topics, and the terminal's id for Home Assistant; empty takes the host name")
    discovery_prefix: str = written("homeassistant", "letters, digits, - and _", "First part of the topics in which Home Assistant looks for devices")
    names: bool = switched(False, "Put people's names into the events, which everybody on the broker may read")


class Target(Connector):
    settings: Settings
    takes_alarms: ClassVar[bool] = True
    batch: ClassVar[int] = 200  # messages without acknowledgement at a time

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        where = f"[connectors.{self.name}]"
        self.node = settings.node or re.sub(r"[^A-Za-z0-9_-]", "-", platform.node() or "terminal")[:64]
        for key, value in (("base", settings.base), ("node", self.node), ("discovery_prefix", settings.discovery_prefix)):
            if not TOPIC_PART.fullmatch(value):
                raise ConfigError(f"{where} {key} = {value!r}: expected letters, digits, - and _", code="config.name")
        if bool(settings.user) != bool(settings.password):
            raise ConfigError(f"{where} user and password: give both or neither", code="config.together")
        if settings.ca_file and not Path(settings.ca_file).is_file():
            raise ConfigError(f"{where} ca_file: {settings.ca_file} is not a file", code="config.no_file")
        self._password = self.secret("password") if settings.password else None
        self._topic = f"{settings.base}/{self.node}"
        self._client: Client | None = None
        self._answered = threading.Event()
        self._refusal = ""
        self._acknowledged: dict[int, int] = {}  # message id -> reason code

    def deliver(self, events: Sequence[Event]) -> Iterator[Outcome | None]:
        """Publish all, then wait for each in order: one round trip per batch, not one per event."""
        failed = self._connect()
        if failed:
            yield failed
            return
        messages = [self._publish(f"{self._topic}/{event.kind}", self._payload(event)) for event in events]
        deadline = time.monotonic() + self.settings.timeout_seconds
        for message in messages:
            outcome = self._result(message, deadline)
            yield outcome
            if isinstance(outcome, Failed):
                self._disconnect()
                return

    def tick(self, now: float, queue: Queue) -> Outcome | None:
        """Stay connected, so that the terminal is shown as online between punches."""
        if self._client is not None and self._client.is_connected():
            return None
        return self._connect() or Delivered()

    def test(self, event: Event) -> str:
        expect(next(self.deliver([event])))
        return f"the broker accepted a message on {self._topic}/test"

    def close(self) -> None:
        if self._client is not None and self._client.is_connected():
            self._result(self._publish(f"{self._topic}/availability", "offline", retain=True), time.monotonic() + 1.0)
        self._disconnect()

    def discovery(self) -> dict[str, dict[str, Any]]:
        """Topic -> configuration of each entity for Home Assistant."""
        device = {"identifiers": [f"clockface_{self.node}"], "name": f"Clockface {self.node}", "manufacturer": "Clockface", "model": "Attendance terminal"}
        shared = {"device": device, "availability_topic": f"{self._topic}/availability", "qos": 1, "origin": {"name": "Clockface"}}
        directions = ["in", "out", "break_start", "break_end", "auto"]
        entities: dict[tuple[str, str], dict[str, Any]] = {
            ("event", "punch"): {"name": "Punch", "event_types": directions, "state_topic": f"{self._topic}/punch"},
            ("event", "correction"): {"name": "Correction", "event_types": ["correction"], "state_topic": f"{self._topic}/correction"},
            ("event", "refused_attempts"): {"name": "Refused attempts", "event_types": ["refused_attempts"], "state_topic": f"{self._topic}/refused_attempts"},
            ("sensor", "last_punch"): {
                "name": "Last punch",
                "device_class": "timestamp",
                "state_topic": f"{self._topic}/punch",
                "value_template": "{{ value_json.occurred_at }}",
            },
        }
        return {
            f"{self.settings.discovery_prefix}/{kind}/clockface_{self.node}/{entity}/config": {
                **shared,
                "unique_id": f"clockface_{self.node}_{entity}",
                **config,
            }
            for (kind, entity), config in entities.items()
        }

    def _payload(self, event: Event) -> str:
        columns = event.columns()
        if not self.settings.names:
            columns.pop("name", None)  # an alarm has none
        event_type = event.direction if event.kind == "punch" else event.kind
        return json.dumps({"event_type": event_type, "id": event.key, **columns}, ensure_ascii=False)

    # the connection

    def _connect(self) -> Failed | None:
        """Connect and introduce the terminal; None if that worked or it was already connected."""
        if self._client is not None and self._client.is_connected():
            return None
        self._disconnect()
        self._answered.clear()
        self._client = client = self._new_client()
        try:
            client.connect(self.settings.host, self.settings.port, KEEPALIVE_SECONDS)
        except (OSError, ValueError) as error:
            return Failed(f"no connection to {self.settings.host}:{self.settings.port}: {_reason(error)}", whole_target=True)
        client.loop_start()
        if not self._answered.wait(self.settings.timeout_seconds) or self._refusal:
            why = self._refusal or f"no answer within {self.settings.timeout_seconds:g} s"
            self._disconnect()
            return Failed(f"the broker {self.settings.host} did not accept the connection: {why}", whole_target=True)
        return self._introduce()

    def _introduce(self) -> Failed | None:
        messages = [self._publish(topic, json.dumps(config), retain=True) for topic, config in self.discovery().items()]
        messages.append(self._publish(f"{self._topic}/availability", "online", retain=True))
        deadline = time.monotonic() + self.settings.timeout_seconds
        for message in messages:
            outcome = self._result(message, deadline)
            if isinstance(outcome, Failed):
                self._disconnect()
                return outcome
        return None

    def _new_client(self) -> Client:
        from paho.mqtt.client import Client, MQTTv5
        from paho.mqtt.enums import CallbackAPIVersion

        client = Client(CallbackAPIVersion.VERSION2, client_id=f"{self.settings.base}-{self.node}", protocol=MQTTv5, reconnect_on_failure=False)
        client.connect_timeout = self.settings.timeout_seconds
        client.will_set(f"{self._topic}/availability", "offline", qos=1, retain=True)
        client.on_connect = lambda client, data, flags, reason, properties: self._on_answer("" if not reason.is_failure else str(reason))
        client.on_publish = lambda client, data, mid, reason, properties: self._acknowledged.__setitem__(mid, reason.value)
        client.on_disconnect = lambda *_: None if self._answered.is_set() else self._on_answer("the connection was interrupted; check tls and port")
        if self.settings.tls:
            client.tls_set_context(ssl.create_default_context(cafile=self.settings.ca_file or None))
        if self._password:
            client.username_pw_set(self.settings.user, self._password.reveal())
        return client

    def _on_answer(self, refusal: str) -> None:
        self._refusal = refusal
        self._answered.set()

    def _publish(self, topic: str, payload: str, retain: bool = False) -> Any:
        assert self._client is not None
        return self._client.publish(topic, payload, qos=1, retain=retain)

    def _result(self, message: Any, deadline: float) -> Outcome:
        """Whether the broker acknowledged a message before the deadline, and how."""
        try:
            message.wait_for_publish(max(0.0, deadline - time.monotonic()))
            published = message.is_published()
        except (RuntimeError, ValueError):
            published = False
        if not published:
            return Failed(f"{self.settings.host} did not acknowledge a message within {self.settings.timeout_seconds:g} s", whole_target=True)
        code = self._acknowledged.pop(message.mid, 0)
        if code >= 0x80:
            return Failed(
                f"the broker {self.settings.host} did not accept a message: reason {code:#x}; give the user write access to the topics", whole_target=True
            )
        return Delivered("acknowledged")

    def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            client.loop_stop()
        self._acknowledged.clear()


def _reason(error: BaseException) -> str:
    if isinstance(error, ssl.SSLError):
        return f"{error.reason or 'TLS failed'}; check tls, port and ca_file" if not isinstance(error, ssl.SSLCertVerificationError) else error.verify_message
    return str(getattr(error, "strerror", None) or error)
