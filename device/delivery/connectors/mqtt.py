"""MQTT: each event is published with QoS 1; Home Assistant discovers the terminal.

Topics: BASE/NODE/punch, BASE/NODE/correction and BASE/NODE/refused_attempts (JSON), BASE/NODE/last_punch (the latest time, retained),
BASE/NODE/availability ("online", and "offline" by last will, both retained), and retained configurations below the discovery prefix
(https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery, .../event.mqtt/, .../sensor.mqtt/).
It uses MQTT 5, since only there a broker reports a message that it did not accept because permission is missing, one that
nobody received, and why it ended a session.
"""

from __future__ import annotations

import json
import platform
import re
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from device.config import ConnectorSettings
from device.config.fields import ConfigError, hidden, needed, ranged, switched, written
from device.delivery.connectors import Connector, Queue
from device.delivery.connectors import proxy as proxies
from device.delivery.outcomes import ConnectorError, Delivered, Failed, Outcome
from device.storage.events import Event
from device.system.clock import iso_utc
from device.system.hardware import own_id

if TYPE_CHECKING:
    from paho.mqtt.client import Client

TOPIC_PART = re.compile(r"[A-Za-z0-9_-]{1,64}")
LATE_SECONDS = 300.0  # a punch that is published longer after it happened is marked late
NOBODY = 0x10  # "no matching subscribers": the broker has the message and nobody received it
REFUSED = 0x80  # and above
TAKEN_OVER = 0x8E  # another client has connected with this one's id
TAKEN_OVER_SECONDS = 60.0  # two clients of one id must not throw each other off all the time; a session ended twice within this is taken for that
KEEPALIVE_SECONDS = 30  # the broker reports a lost terminal as offline after one and a half times this


@dataclass(frozen=True, kw_only=True)
class Settings(ConnectorSettings):
    host: str = needed("host name", "Host name or IP address of the MQTT broker")
    port: int = ranged(8883, 1, 65535, "port number", "TCP port of the broker")
    tls: bool = switched(True, "Encrypt the connection with TLS and check the broker's certificate")
    ca_file: str = written("", "path", "PEM file with certificates to trust in place of the system's, for a company's own authority")
    user: str = written("", "text", "User at the broker; give user and password, or neither")
    password: str = hidden("Password of that user", needed=False)
    proxy: str = written("", "http address", proxies.HELP)
    base: str = written("clockface", "letters, digits, - and _", "First part of the topics")
    node: str = written("", "letters, digits, - and _", "Second part of the topics and id for Home Assistant; empty takes host name and machine id")
    discovery_prefix: str = written("homeassistant", "letters, digits, - and _", "First part of the topics in which Home Assistant looks for devices")
    wait_for_listener: bool = switched(True, "Events wait while nobody on the broker receives them; false counts them as delivered once the broker has them")
    names: bool = switched(False, "Put people's names into the events, which everybody on the broker may read")


class Target(Connector):
    settings: Settings
    takes_alarms: ClassVar[bool] = True
    batch: ClassVar[int] = 200  # messages without acknowledgement at a time

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        super().__init__(settings)
        where = f"[connectors.{self.name}]"
        self.node = settings.node or f"{re.sub(r'[^A-Za-z0-9_-]', '-', platform.node() or 'terminal')[:57]}-{own_id()}".rstrip("-")
        for key, value in (("base", settings.base), ("node", self.node), ("discovery_prefix", settings.discovery_prefix)):
            if not TOPIC_PART.fullmatch(value):
                raise ConfigError(f"{where} {key} = {value!r}: expected letters, digits, - and _", code="config.name")
        if bool(settings.user) != bool(settings.password):
            raise ConfigError(f"{where} user and password: give both or neither", code="config.together")
        self._ca_file = str(Path(settings.ca_file).expanduser()) if settings.ca_file else None
        if self._ca_file and not Path(self._ca_file).is_file():
            raise ConfigError(f"{where} ca_file: {settings.ca_file} is not a file", code="config.no_file")
        self._password = self.secret("password") if settings.password else None
        self._proxy = proxies.proxy_for(f"{where} proxy", settings.proxy, "all", settings.host)
        self._topic = f"{settings.base}/{self.node}"
        self._client: Client | None = None
        self._answered = threading.Event()
        self._refusal = ""
        self._ends: list[tuple[float, int | None]] = []  # when the broker ended a session, and the reason it gave
        self._guest = False  # a connection for a test, beside the running terminal's
        self._clock = clock
        self._last_punch = 0.0  # s since the epoch: the latest that was published
        self._acknowledged: dict[int, int] = {}  # message id -> reason code

    def deliver(self, events: Sequence[Event]) -> Iterator[Outcome | None]:
        """Publish all, then wait for each in order: one round trip per batch, not one per event."""
        failed = self._connect()
        if failed:
            yield failed
            return
        messages = [self._publish(f"{self._topic}/{event.kind}", self._payload(event)) for event in events]
        deadline = time.monotonic() + self.settings.timeout_seconds
        outcomes: list[Outcome] = []
        for event, message in zip(events, messages, strict=True):
            result = self._result(message, deadline)
            if isinstance(result, Failed):
                self._disconnect()
            elif result == NOBODY and self._must_wait(event, deadline):
                result = Failed(f"nobody receives {self._topic}/{event.kind}; it waits until somebody does", whole_target=True)
            if isinstance(result, Failed):
                outcomes.append(result)
                break
            outcomes.append(Delivered("received" if result != NOBODY else "the broker has it; nobody receives this topic"))
        self._tell_last([event for event, outcome in zip(events, outcomes, strict=False) if isinstance(outcome, Delivered)])
        yield from outcomes

    def _must_wait(self, event: Event, deadline: float) -> bool:
        """A punch waits for somebody who receives punches; anything else for anybody who receives something of this terminal."""
        if self._guest or not self.settings.wait_for_listener:
            return False
        return event.kind == "punch" or self._result(self._publish(f"{self._topic}/availability", "online", retain=True), deadline) == NOBODY

    def _tell_last(self, events: Sequence[Event]) -> None:
        """Publish the latest punch, which never goes backwards: after a start only a fresh one shows what the latest is."""
        latest = max((event.occurred_at for event in events if event.kind == "punch" and event.occurred_at is not None), default=0.0)
        if latest > self._last_punch and (self._last_punch or not self._late(latest)) and self._client is not None and self._client.is_connected():
            self._last_punch = latest
            self._publish(f"{self._topic}/last_punch", iso_utc(latest), retain=True)

    def _late(self, occurred_at: float) -> bool:
        return self._clock() - occurred_at > LATE_SECONDS

    def tick(self, now: float, queue: Queue) -> Outcome | None:
        """Stay connected, so that the terminal is shown as online between punches."""
        if self._client is not None and self._client.is_connected():
            return None
        return self._connect() or Delivered()

    def test(self, event: Event) -> str:
        """With an id of its own, so that a running terminal keeps its session and is not reported offline."""
        self._guest = True
        result = self._connect() or self._result(
            self._publish(f"{self._topic}/test", self._payload(event)), time.monotonic() + self.settings.timeout_seconds
        )
        if isinstance(result, Failed):
            raise ConnectorError(result.answer)
        return f"the broker accepted a message on {self._topic}/test" + ("; nobody receives this topic" if result == NOBODY else "")

    def close(self) -> None:
        if self._client is not None and self._client.is_connected() and not self._guest:
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
                "state_topic": f"{self._topic}/last_punch",
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
        if event.kind in ("punch", "refused_attempts") and event.occurred_at is not None:
            columns["late"] = self._late(event.occurred_at)
        return json.dumps({"event_type": event_type, "id": event.key, **columns}, ensure_ascii=False)

    # the connection

    def _connect(self) -> Failed | None:
        """Connect and introduce the terminal; None if that worked or it was already connected."""
        if self._client is not None and self._client.is_connected():
            return None
        self._disconnect()
        if self._taken_over():
            self._ends.clear()  # it is told
            why = f"the broker ended the session, as it does when another client uses the id {self._client_id()}; give each terminal its own node"
            return Failed(why, whole_target=True, retry_after_seconds=TAKEN_OVER_SECONDS)
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
        return None if self._guest else self._introduce()

    def _client_id(self) -> str:
        return f"{self.settings.base}-{self.node}" + (f"-test-{secrets.token_hex(4)}" if self._guest else "")

    def _introduce(self) -> Failed | None:
        messages = [self._publish(topic, json.dumps(config), retain=True) for topic, config in self.discovery().items()]
        messages.append(self._publish(f"{self._topic}/availability", "online", retain=True))
        deadline = time.monotonic() + self.settings.timeout_seconds
        for message in messages:
            result = self._result(message, deadline)
            if isinstance(result, Failed):
                self._disconnect()
                return result
        return None

    def _new_client(self) -> Client:
        from paho.mqtt.client import Client, MQTTv5
        from paho.mqtt.enums import CallbackAPIVersion

        client = Client(CallbackAPIVersion.VERSION2, client_id=self._client_id(), protocol=MQTTv5, reconnect_on_failure=False)
        client.connect_timeout = self.settings.timeout_seconds
        if self._proxy:  # paho's own way asks for another package
            through = partial(proxies.tunnel, self._proxy, self.settings.host, self.settings.port, self.settings.timeout_seconds)
            client._create_socket_connection = through  # type: ignore[method-assign]
        if not self._guest:  # a test is no presence
            client.will_set(f"{self._topic}/availability", "offline", qos=1, retain=True)
        client.on_connect = lambda client, data, flags, reason, properties: self._on_answer("" if not reason.is_failure else str(reason))
        client.on_publish = lambda client, data, mid, reason, properties: self._acknowledged.__setitem__(mid, reason.value)
        client.on_disconnect = lambda client, data, flags, reason, properties: self._on_end(reason.value if flags.is_disconnect_packet_from_server else None)
        if self.settings.tls:
            client.tls_set_context(ssl.create_default_context(cafile=self._ca_file))
        if self._password:
            client.username_pw_set(self.settings.user, self._password.reveal())
        return client

    def _on_answer(self, refusal: str) -> None:
        self._refusal = refusal
        self._answered.set()

    def _taken_over(self) -> bool:
        """Whether another client of the same id is connected: the broker says so, or (mosquitto 2.0.11) only ends the session, again and again."""
        lately = [reason for at, reason in self._ends if time.monotonic() - at < TAKEN_OVER_SECONDS]
        return TAKEN_OVER in lately or len(lately) >= 2

    def _on_end(self, reason: int | None) -> None:
        if self._answered.is_set() and not self._refusal:
            self._ends.append((time.monotonic(), reason))
        if not self._answered.is_set():
            self._on_answer("the connection was interrupted; check tls and port")

    def _publish(self, topic: str, payload: str, retain: bool = False) -> Any:
        assert self._client is not None
        return self._client.publish(topic, payload, qos=1, retain=retain)

    def _result(self, message: Any, deadline: float) -> int | Failed:
        """The reason code with which the broker acknowledged a message before the deadline."""
        try:
            message.wait_for_publish(max(0.0, deadline - time.monotonic()))
            published = message.is_published()
        except (RuntimeError, ValueError):
            published = False
        if not published:
            return Failed(f"{self.settings.host} did not acknowledge a message within {self.settings.timeout_seconds:g} s", whole_target=True)
        code = self._acknowledged.pop(message.mid, None)
        if code is None:
            return Failed(f"{self.settings.host} did not acknowledge a message", whole_target=True)
        if code >= REFUSED:
            return Failed(
                f"the broker {self.settings.host} did not accept a message: reason {code:#x}; give the user write access to the topics", whole_target=True
            )
        return code

    def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.on_disconnect = None
            client.disconnect()
            client.loop_stop()
        self._acknowledged.clear()


def _reason(error: BaseException) -> str:
    if isinstance(error, ssl.SSLError):
        return f"{error.reason or 'TLS failed'}; check tls, port and ca_file" if not isinstance(error, ssl.SSLCertVerificationError) else error.verify_message
    return str(getattr(error, "strerror", None) or error)
