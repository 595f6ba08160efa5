"""Targets of the outbox: one file per kind, loaded only if it is configured."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol

from device.config import ConnectorSettings, Settings
from device.config.fields import ConfigError
from device.config.loader import read_section
from device.delivery.connectors.credentials import Sealed, scrubbed, unseal
from device.delivery.outcomes import Failed, Outcome
from device.storage.events import Event
from device.storage.settings import Setting, described

KINDS = {  # kind -> module with Settings and Target
    "webhook": "webhook",
    "erpnext": "erpnext",
    "odoo": "odoo",
    "zkteco": "zkteco",
    "mqtt": "mqtt",
    "csv": "csv_folder",
    "sftp": "csv_sftp",
    "email": "smtp_mail",
}
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


class Queue(Protocol):
    """What a connector may ask of its queue."""

    def complete_until(self, dead_count: bool) -> float | None:
        """Every punch before this moment (s since the epoch) is delivered; None: all punches are. `dead_count`: dead letters count as missing."""

    def never_queued(self, since: float) -> float | None:
        """The time of the first punch after `since` that was never queued for this target; None: all were."""

    def requeue(self, since: float, until: float) -> int:
        """Send again the events between two moments; returns how many were queued."""


class Connector:
    """One target. Built once; `deliver` is called from several threads at a time if `lanes` > 1.

    Each kind has `Settings` and a subclass `Target`. No connection is made before the first call of a method.
    """

    batch: ClassVar[int] = 1  # events in one call of `deliver`; 1: each call has the events of one person, in order
    takes_alarms: ClassVar[bool] = False  # it is told when one face was refused several times as not a living one
    takes_notices: ClassVar[bool] = False  # of open matters, for recipients that name it
    to_mailboxes: ClassVar[bool] = False  # each of its recipients has a mail address
    lanes: int = 1  # calls of `deliver` at a time
    around_seconds: float = 0.0  # how far before and after an event the person's other punches come with it (`Event.around`)
    test_code: ClassVar[str] = "CLOCKFACE-TEST"  # the code of the person in a test event

    def __init__(self, settings: Any) -> None:
        self.settings = settings
        self.name: str = settings.name
        self.secrets: list[Sealed] = []

    def secret(self, key: str) -> Sealed:
        """The secret that a setting points to; from now on it is scrubbed from every text."""
        sealed = unseal(self.name, key, getattr(self.settings, key))
        self.secrets.append(sealed)
        return sealed

    def scrubbed(self, text: str) -> str:
        return scrubbed(text, self.secrets)

    def deliver(self, events: Sequence[Event]) -> Iterator[Outcome | None]:
        """The outcome of each event, in order, as it becomes known; may end early after a failed event. None: the event was not tried."""
        for event in events:
            outcome = self.send(event)
            yield outcome
            if isinstance(outcome, Failed):
                return

    def send(self, event: Event) -> Outcome:
        raise NotImplementedError

    def test(self, event: Event) -> str:
        """Send one test event, marked as such and not counted as working time; returns the target's answer.

        Raises:
            ConnectorError: it did not work; the message says why and what to do.
        """
        raise NotImplementedError

    def unfit_codes(self, codes: Sequence[str]) -> str:
        """What is wrong with codes of people for this target; '' if nothing is."""
        return ""

    def tick(self, now: float, queue: Queue) -> Outcome | None:
        """Called between rounds, about every poll interval, for what a target needs in addition to events. None: nothing was sent."""
        return None

    def close(self) -> None:
        """Close the connections."""


def read_settings(name: str, table: Any) -> ConnectorSettings:
    """A `[connectors.NAME]` table as the frozen settings of its kind.

    Raises:
        ConfigError: the name, kind, a key, a type or a value is invalid.
    """
    where = f"[connectors.{name}]"
    if not NAME.fullmatch(name):
        raise ConfigError(f"{where}: a name has lower-case letters, digits, - and _, at most 32 characters", code="config.name")
    kind = table.get("kind") if isinstance(table, Mapping) else None
    if not isinstance(table, Mapping) or not isinstance(kind, str) or kind not in KINDS:
        raise ConfigError(f"{where} kind = {kind!r}: expected one of {', '.join(KINDS)}", code="config.choice")
    rest = {key: value for key, value in table.items() if key != "kind"}
    settings: ConnectorSettings = read_section(_module(kind).Settings, f"connectors.{name}", rest, name=name, kind=kind)
    return settings


def described_kinds() -> dict[str, tuple[Setting, ...]]:
    """kind -> every setting of its `[connectors.NAME]` table."""
    return {kind: described(_module(kind).Settings, "connectors.NAME") for kind in KINDS}


def configured(settings: Settings) -> tuple[ConnectorSettings, ...]:
    """Every `[connectors.NAME]` table of the configuration, read by its kind.

    Raises:
        ConfigError: see `read_settings`.
    """
    return tuple(read_settings(target.name, target.table) for target in settings.connectors)


def build(settings: ConnectorSettings) -> Connector:
    """The connector for these settings, with its secrets.

    Raises:
        ConfigError: a secret is missing or a setting is invalid.
    """
    connector: Connector = _module(settings.kind).Target(settings)
    return connector


def takes_alarms(settings: ConnectorSettings) -> bool:
    """Whether targets of this kind are told of refused attempts."""
    return bool(_module(settings.kind).Target.takes_alarms)


def takes_notices(settings: ConnectorSettings) -> bool:
    """Whether targets of this kind can tell a recipient of open matters."""
    return bool(_module(settings.kind).Target.takes_notices)


def to_mailboxes(settings: ConnectorSettings) -> bool:
    """Whether recipients of this target have a mail address each."""
    return bool(_module(settings.kind).Target.to_mailboxes)


def takes_punches(settings: ConnectorSettings) -> bool:
    """Whether punches and corrections are queued for this target."""
    return bool(getattr(settings, "punches", not _module(settings.kind).Target.to_mailboxes))


def _module(kind: str) -> Any:
    return importlib.import_module(f"device.delivery.connectors.{KINDS[kind]}")
