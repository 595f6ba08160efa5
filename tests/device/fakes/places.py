"""A target of every kind, with its settings and with what it has of the punches: for tests that hold for all kinds."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from device.delivery.connectors import Connector, build, read_settings
from tests.device.fakes.adms import Adms
from tests.device.fakes.broker import PASSWORD as BROKER_PASSWORD
from tests.device.fakes.broker import USER, broker, listening
from tests.device.fakes.erpnext import ErpNext
from tests.device.fakes.odoo import API_KEY, DATABASE, LOGIN, Odoo
from tests.device.fakes.sftp import PASSWORD as SFTP_PASSWORD
from tests.device.fakes.sftp import serving_sftp
from tests.device.fakes.site import StandIn, serving

HTTP = ("webhook", "erpnext", "odoo", "zkteco")
KINDS = (*HTTP, "mqtt", "csv", "sftp")
SECRETS = {
    "HOOK": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "ERP_KEY": "key-of-the-api",
    "ERP_SECRET": "secret-of-the-api",
    "ODOO_KEY": API_KEY,
    "MQTT_PASSWORD": BROKER_PASSWORD,
    "SFTP_PASSWORD": SFTP_PASSWORD,
}
CODES = ("101", "102", "103", "104")
Had = list[tuple[str, str, str]]  # code, direction, UTC time, in order


@dataclass
class Place:
    """A target of some kind: its settings, and how its content is read."""

    kind: str
    table: dict[str, Any]
    stand_in: Any
    zone: str = "UTC"
    more: dict[str, Any] = field(default_factory=dict)

    def connector(self, **more: Any) -> Connector:
        return build(read_settings("target", {"kind": self.kind, **self.table, **self.more, **more}))

    def has(self) -> Had:
        """What the target has, once each message is taken once and corrections are applied, as docs/connectors.md tells receivers to."""
        if self.kind == "erpnext":
            codes = {name: code for code, name in self.stand_in.employees.items()}
            return sorted((codes[row["employee"]], row["log_type"].lower(), self._utc(row["time"])) for row in self.stand_in.checkins.values())
        if self.kind == "odoo":
            codes = {row["id"]: row["barcode"] for row in self.stand_in.employees}
            sides = [(codes[employee], way, at) for employee, *stay in self.stand_in.stays() for way, at in zip(("in", "out"), stay, strict=True)]
            return sorted((code, way, at.replace(" ", "T")) for code, way, at in sides if at)
        if self.kind == "zkteco":
            ways = {"0": "in", "1": "out"}
            return sorted((row[0], ways[row[2]], self._utc(row[1])) for row in self.stand_in.records.values())
        state: dict[Any, dict[str, Any]] = {}
        for event in {event["id"]: event for event in self.events()}.values():
            own = event["punch_id"] or ("added", event.get("amends") or event.get("correction_id"))
            state[str(own)] = event
        return sorted((event["code"], event["direction"], event["occurred_at"][:19].replace(" ", "T")) for event in state.values() if event["occurred_at"])

    def events(self) -> list[dict[str, Any]]:
        """The messages of a target that keeps a log of them, corrections after their punch."""
        if isinstance(self.stand_in, StandIn):
            return [request.json for request in self.stand_in.requests if request.body and request.json["event"] in ("punch", "correction")]
        if isinstance(self.stand_in, Path):
            rows = [row for file in sorted(self.stand_in.glob("*.csv")) for row in csv.DictReader(file.read_text(encoding="utf-8").splitlines())]
            return sorted(rows, key=lambda row: int(row["correction_id"] or 0))
        return [json.loads(text) for topic, text, *_ in self.stand_in if topic.endswith(("/punch", "/correction"))]

    def _utc(self, local: str) -> str:
        return datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(self.zone)).astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")


def _site(kind: str) -> Any:
    """A server that knows the people of `CODES`, beside its own."""
    made: Any = {"webhook": StandIn, "erpnext": ErpNext, "odoo": Odoo, "zkteco": Adms}[kind]()
    if kind == "erpnext":
        made.employees |= {code: f"HR-EMP-{code}" for code in CODES}
    if kind == "odoo":
        made.employees += [{"id": int(code), "name": f"P{code}", "barcode": code} for code in CODES]
    return made


@contextmanager
def place(kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch, zone: str = "UTC") -> Iterator[Place]:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    more: dict[str, Any] = {
        "webhook": {"secret": "env:HOOK"},
        "erpnext": {"api_key": "env:ERP_KEY", "api_secret": "env:ERP_SECRET", "timezone": zone},
        "odoo": {"database": DATABASE, "login": LOGIN, "api_key": "env:ODOO_KEY"},
        "zkteco": {"serial": "CLKF0001", "timezone": zone},
    }
    if kind in HTTP:
        with serving(_site(kind)) as stand_in:
            yield Place(kind, {"url": stand_in.url, "timeout_seconds": 2.0, **more[kind]}, stand_in, zone)
    elif kind == "mqtt":
        with broker(folder) as made, listening(made.port, "clockface/door/#") as heard:
            table = {"host": "127.0.0.1", "port": made.port, "tls": False, "user": USER, "password": "env:MQTT_PASSWORD", "node": "door"}
            yield Place(kind, table, heard, zone)
    elif kind == "csv":
        yield Place(kind, {"folder": str(folder), "timezone": zone}, folder, zone)
    else:
        pytest.importorskip("paramiko")
        with serving_sftp(folder) as server:
            access = {"host": "127.0.0.1", "port": server.port, "user": "clock", "password": "env:SFTP_PASSWORD", "known_hosts": str(server.known_hosts)}
            yield Place(kind, {**access, "folder": "/in", "timezone": zone, "timeout_seconds": 2.0}, server.folder, zone)
