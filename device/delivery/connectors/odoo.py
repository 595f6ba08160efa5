"""Odoo: check-ins and check-outs become `hr.attendance` records, by JSON-RPC (Odoo's external API), in UTC.

Odoo has one record per stay, with `check_in` and `check_out`; it allows one open record per employee and no overlap
(`addons/hr_attendance/models/hr_attendance.py` of https://github.com/odoo/odoo). It has no idempotency key, so each step
reads before it writes: an event that Odoo already has counts as delivered.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from device.config import ConnectorSettings, chosen, hidden, needed, ranged, written
from device.delivery.connectors import Connector
from device.delivery.connectors.http_exchange import Answer, HttpTarget, judge
from device.delivery.outcomes import ConnectorError, Delivered, Failed, Outcome, Refused, Stopped
from device.storage.events import Event

REFUSALS = ("ValidationError", "UserError", "MissingError")  # of odoo.exceptions: errors meant for the user
RIGHTS = ("AccessDenied", "AccessError")
AUTOMATIC = "auto_check_out"  # out_mode of a record that was closed by policy, where this version of Odoo has it (18)
Record = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Settings(ConnectorSettings):
    url: str = needed("http or https address", "Address of the Odoo server")
    database: str = needed("text", "Name of the Odoo database")
    login: str = needed("text", "Login of the terminal's user in Odoo")
    api_key: str = hidden("API key of that user")
    employee_field: str = written("barcode", "field name", "Field of hr.employee that holds the person's code; barcode is the Badge ID")
    missed_check_out: str = chosen(
        "zero", "zero", "after_hours", "refuse", help="A missed check-out: closed at no length, closed after missed_hours, or the next check-in is refused"
    )
    missed_hours: float = ranged(8.0, 0.0, 24.0, "hours", "Length of an attendance that after_hours closes, never past the next check-in")
    parallel: int = ranged(2, 1, 8, "requests", "Number of requests under way at a time; those of one person follow each other")
    ca_file: str = written("", "path", "PEM file with certificates to trust in place of the system's, for a company's own authority")


class Target(Connector):
    settings: Settings

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.lanes = settings.parallel
        self._site = HttpTarget(f"[connectors.{self.name}] url", settings.url, settings.timeout_seconds, settings.parallel, settings.ca_file)
        self._key = self.secret("api_key")
        self._uid: int | None = None
        self._modes: dict[str, set[str]] = {}  # the values of in_mode and out_mode in this version

    def send(self, event: Event) -> Outcome:
        try:
            employee = self._employee(str(event.code))
            return self._correct(employee, event) if event.kind == "correction" else self._add(employee, event)
        except Stopped as stopped:
            return stopped.outcome

    def test(self, event: Event) -> str:
        """Log in, check that records may be created, look for the employee. Nothing is written, since each record counts as working time."""
        try:
            self._log_in()
            if not self._may_create():
                raise ConnectorError(
                    f"{self.settings.login} may not create attendances; give the user the role Attendances: Administrator", code="connector.rights"
                )
            found = self._call("hr.employee", "search_count", [[self.settings.employee_field, "=", event.code]])
        except Stopped as stopped:
            raise ConnectorError(stopped.outcome.answer) from None
        return f"logged in as user {self._uid}, attendances may be created; {found} employees have the {self.settings.employee_field} {event.code}"

    def _may_create(self) -> bool:
        try:
            return bool(self._call("hr.attendance", "has_access", [], "create"))
        except Stopped:  # Odoo 16 and 17 do not have it, from 19 on there is nothing else
            return bool(self._call("hr.attendance", "check_access_rights", "create", raise_exception=False))

    def close(self) -> None:
        self._site.close()

    # one event

    def _add(self, employee: int, event: Event) -> Outcome:
        assert event.occurred_at is not None
        at = utc(event.occurred_at)
        known = self._records(employee, ["|", ["check_in", "=", at], ["check_out", "=", at]], "check_in desc", 2)
        for record in known:
            side = "check_in" if record["check_in"] == at else "check_out"
            if event.direction == "auto" or side == ("check_in" if begins_stay(event) else "check_out"):
                return Delivered(f"attendance {record['id']} already has it", f"{record['id']}:{side}")
        if event.direction == "auto":
            is_open = self._records(employee, [["check_out", "=", False], ["check_in", "<=", at]], "check_in desc", 1)
            return self._check_out(employee, at) if is_open else self._check_in(employee, at)
        return self._check_in(employee, at) if begins_stay(event) else self._check_out(employee, at)

    def _check_in(self, employee: int, at: str) -> Outcome:
        """Create a record. If a later one exists, the check-out of this one is missing too, so it is created with zero length."""
        later = self._records(employee, [["check_in", ">", at]], "check_in", 1)
        if not later:
            for left_open in self._records(employee, [["check_out", "=", False], ["check_in", "<", at]], "check_in desc", 1):
                self._close(left_open, at)
        values: Record = {"employee_id": employee, "check_in": at, **self._mode("in_mode")}
        if later:
            values |= {"check_out": at, **self._mode("out_mode")}
        number = self._call("hr.attendance", "create", values)
        return Delivered(f"attendance {number} created", f"{number}:check_in")

    def _check_out(self, employee: int, at: str) -> Outcome:
        """Close the latest record before: one that is open, or one that was closed because its check-out was missing."""
        records = self._records(employee, [["check_in", "<=", at]], "check_in desc", 1)
        if not records or not _wants_check_out(records[0]):
            return Refused(f"no attendance is open at {at} UTC; add the check-in in Odoo or by a correction, then replay")
        self._write(records[0], {"check_out": at, **self._mode("out_mode")})
        return Delivered(f"attendance {records[0]['id']} closed", f"{records[0]['id']}:check_out")

    def _close(self, left_open: Record, next_check_in: str) -> None:
        """Close a record whose check-out was missed, as the settings say."""
        if self.settings.missed_check_out == "refuse":
            raise Stopped(Refused(f"attendance {left_open['id']} since {left_open['check_in']} UTC has no check-out; close it in Odoo, then replay"))
        after = self.settings.missed_hours * 3600 if self.settings.missed_check_out == "after_hours" else 0.0
        at = min(utc(seconds(left_open["check_in"]) + after), next_check_in)
        self._write(left_open, {"check_out": at, **(self._mode("out_mode", AUTOMATIC) or self._mode("out_mode"))})

    def _correct(self, employee: int, event: Event) -> Outcome:
        """Change a time on the same side in place; for any other correction, remove the punch and add it again."""
        number, _, side = (event.reference or "").partition(":")
        records = self._records(employee, [["id", "=", int(number)]], "id", 1) if number.isdecimal() else []
        if event.occurred_at is None and not records:
            return Delivered("Odoo has no attendance for this punch; there is nothing to remove", "")
        if event.occurred_at is not None and (not records or records[0][side] is False):
            return self._add(employee, event)
        record = records[0]
        if event.occurred_at is not None and side == ("check_in" if begins_stay(event) else "check_out"):
            return self._move(record, side, utc(event.occurred_at), str(event.reference))
        self._remove(record, side)
        return Delivered(f"removed from attendance {number}", "") if event.occurred_at is None else self._add(employee, event)

    def _move(self, record: Record, side: str, at: str, reference: str) -> Outcome:
        """A record of zero length stays so: its other side was never punched."""
        sides = ("check_in", "check_out") if record["check_in"] == record["check_out"] and side == "check_in" else (side,)
        self._write(record, dict.fromkeys(sides, at))
        return Delivered(f"attendance {record['id']} corrected", reference)

    def _remove(self, record: Record, side: str) -> None:
        """A record without its check-out gets zero length, so that it overlaps nothing; without its check-in it is deleted, unless it has a check-out."""
        if side == "check_out":
            self._write(record, {"check_out": record["check_in"]})
        elif _wants_check_out(record):
            self._call("hr.attendance", "unlink", [record["id"]])
        else:
            raise Stopped(Refused(f"attendance {record['id']} has a check-out as well; decide in Odoo what happens to it, then discard this"))

    # Odoo's calls

    def _employee(self, code: str) -> int:
        self._log_in()
        found = self._call("hr.employee", "search_read", [[self.settings.employee_field, "=", code]], fields=["id"], limit=2)
        if len(found) != 1:
            raise Stopped(Refused(f"{len(found) or 'no'} employees in Odoo have the {self.settings.employee_field} {code}; one must have it, then replay"))
        return int(found[0]["id"])

    def _records(self, employee: int, domain: list[Any], order: str, limit: int) -> list[Record]:
        where = [["employee_id", "=", employee], *domain]
        fields = ["check_in", "check_out", *(["out_mode"] if "out_mode" in self._modes else [])]
        found: list[Record] = self._call("hr.attendance", "search_read", where, fields=fields, order=order, limit=limit)
        return found

    def _write(self, record: Record, values: Record) -> None:
        self._call("hr.attendance", "write", [record["id"]], values)

    def _mode(self, field: str, value: str = "kiosk") -> Record:
        return {field: value} if value in self._modes.get(field, ()) else {}

    def _log_in(self) -> None:
        """Log in once, and read which values in_mode and out_mode have in this version of Odoo; before 17 it has neither."""
        if self._uid is not None:
            return
        settings = self.settings
        uid = self._rpc("common", "authenticate", [settings.database, settings.login, self._key.reveal(), {}])
        if not isinstance(uid, int) or isinstance(uid, bool):
            raise Stopped(Failed(f"Odoo does not accept {settings.login} with this API key in database {settings.database}", whole_target=True))
        self._uid = uid
        fields = self._call("hr.attendance", "fields_get", ["in_mode", "out_mode"], attributes=["selection"])
        self._modes = {name: {value for value, _ in field.get("selection", [])} for name, field in fields.items()}

    def _call(self, model: str, method: str, *args: Any, **named: Any) -> Any:
        return self._rpc("object", "execute_kw", [self.settings.database, self._uid, self._key.reveal(), model, method, list(args), named])

    def _rpc(self, service: str, method: str, args: list[Any]) -> Any:
        """Odoo always answers 200; an error in the body names its class."""
        call = {"jsonrpc": "2.0", "method": "call", "id": 1, "params": {"service": service, "method": method, "args": args}}
        answer = self._site.call("POST", "/jsonrpc", {"Content-Type": "application/json"}, json.dumps(call).encode())
        outcome = judge(answer)
        if not isinstance(outcome, Delivered):
            raise Stopped(outcome)
        assert isinstance(answer, Answer)
        try:
            reply = json.loads(answer.text)
            error = reply.get("error")
        except (ValueError, AttributeError):
            raise Stopped(Failed(f"the answer is not JSON-RPC: {outcome.answer}", whole_target=True)) from None
        if error:
            outcome = outcome_of(error)
            if isinstance(outcome, Failed) and outcome.whole_target:
                self._uid = None  # the key may have been changed: log in again
            raise Stopped(outcome)
        return reply.get("result")


def begins_stay(event: Event) -> bool:
    """Whether this begins an attendance record; a break ends one."""
    return event.direction in ("in", "break_end")


def _wants_check_out(record: Record) -> bool:
    return record["check_out"] is False or record["check_out"] == record["check_in"] or record.get("out_mode") == AUTOMATIC


def utc(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")


def seconds(text: str) -> float:
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc).timestamp()


def outcome_of(error: Any) -> Refused | Failed:
    """`{"message": .., "data": {"name": "odoo.exceptions.ValidationError", "message": ..}}` as an outcome."""
    data = error.get("data") if isinstance(error, dict) else None
    name, message = (str(data.get(key) or "") for key in ("name", "message")) if isinstance(data, dict) else ("", str(error))
    answer = " ".join(f"{name.rpartition('.')[2]}: {message}".split())
    if name.endswith(REFUSALS):
        return Refused(answer)
    return Failed(answer, whole_target=name.endswith(RIGHTS))
