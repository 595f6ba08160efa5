"""Odoo: check-ins and check-outs become `hr.attendance` records, by JSON-RPC (Odoo's external API), in UTC.

Odoo has one record per stay, with `check_in` and `check_out`; it allows one open record per employee and no overlap
(`addons/hr_attendance/models/hr_attendance.py` of https://github.com/odoo/odoo). It has no idempotency key, so every event
reads the employee's records around it first, and `odoo_stays.py` says what they must become: an event that Odoo already
has changes nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

from device.config import ConnectorSettings
from device.config.fields import chosen, hidden, needed, ranged, written
from device.delivery.connectors import Connector
from device.delivery.connectors import proxy as proxies
from device.delivery.connectors.http_exchange import Answer, HttpTarget, json_object, judge
from device.delivery.connectors.odoo_stays import (
    FOREVER,
    AttendancePlan,
    Key,
    MissedCheckOut,
    Neighbourhood,
    OdooAttendance,
    WantedAttendance,
    names,
    number_in,
    reach,
)
from device.delivery.outcomes import ConnectorError, Delivered, Failed, Outcome, Refused, Stopped
from device.storage.events import Event, PunchHistory

REFUSALS = ("ValidationError", "UserError", "MissingError")  # of odoo.exceptions: errors meant for the user
NOT_ALLOWED = "AccessError"  # of odoo.exceptions: about one record or one right
WRONG_KEY = "AccessDenied"
LONGEST_LIST = 100  # records that are read at once
CLOCK_SECONDS = 90.0  # further apart, two clocks disagree
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
    longest_hours: float = ranged(16.0, 1.0, 36.0, "hours", "A check-out later than this after the check-in does not belong to it")
    parallel: int = ranged(2, 1, 8, "requests", "Number of requests under way at a time; those of one person follow each other")
    ca_file: str = written("", "path", "PEM file with certificates to trust in place of the system's, for a company's own authority")
    proxy: str = written("", "http address", proxies.HELP)


class Target(Connector):
    settings: Settings

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.lanes = settings.parallel
        self._site = HttpTarget(f"[connectors.{self.name}] url", settings.url, settings.timeout_seconds, settings.parallel, settings.ca_file, settings.proxy)
        self._key = self.secret("api_key")
        longest = round(settings.longest_hours * 3600)
        self._missed = MissedCheckOut(settings.missed_check_out, round(settings.missed_hours * 3600), longest)
        self.around_seconds = 3.0 * longest
        self._uid: int | None = None
        self._modes: dict[str, set[str]] = {}  # the values of in_mode and out_mode in this version

    def send(self, event: Event) -> Outcome:
        try:
            return self._bring_about(self._employee(str(event.code)), event)
        except Stopped as stopped:
            return stopped.outcome

    def close(self) -> None:
        self._site.close()

    # one event

    def _bring_about(self, employee: int, event: Event) -> Outcome:
        """Let Odoo have the attendances that follow from what counts of this punch and its neighbours now."""
        own = event.history or PunchHistory(("punch", event.id), (event.counts,))
        records = self._records(employee, own)
        near = Neighbourhood(own, event.around or (own,), records, self._missed)
        if near.changed_by_hand():
            number = number_in(own.reference)
            return Refused(f"attendance {number} was changed in Odoo since it was sent; correct it there by hand, then discard this")
        plan = near.plan()
        named = names(plan, self._carry_out(employee, plan))
        reference = named.pop(own.key, "")
        known: dict[Key, str | None] = {history.key: history.reference for history in event.around}
        others: dict[Key, str] = {key: name for key, name in named.items() if key in known and known[key] != name and (name or known[key])}
        if own.key in plan.unpaired and own.counts:
            remedy = "add the check-in in Odoo or by a correction, then replay"
            return Refused(f"no attendance is open at {utc(own.counts.occurred_at)} UTC; {remedy}", others={**others, own.key: ""})
        words = f"Odoo has it in attendance {reference.partition(':')[0]}" if reference else "Odoo has no attendance of this punch"
        return Delivered(words, reference, others)

    def _carry_out(self, employee: int, plan: AttendancePlan) -> dict[int, tuple[int, ...]]:
        """Change Odoo's records; at no moment do two of them overlap or are two of them open. Returns the ids of each wanted attendance."""
        for surplus in plan.surplus:
            self._call("hr.attendance", "unlink", list(surplus.ids))
        kept = {number: self._shrunk(record, stay) for number, (record, stay) in enumerate(plan.pairs) if record}
        ids: dict[int, tuple[int, ...]] = {}
        for number, (record, stay) in sorted(enumerate(plan.pairs), key=lambda entry: entry[1][1].begins):
            left = kept.get(number)
            if record and left and left == (stay.begins, stay.ends):
                ids[number] = record.ids if left == (record.begins, record.ends) else record.ids[:1]
            elif record and left:
                self._write(record.ids[0], self._values(left, stay))
                ids[number] = record.ids[:1]
            else:
                ids[number] = (self._create(employee, stay),)
        return ids

    def _shrunk(self, record: OdooAttendance, stay: WantedAttendance) -> tuple[int, int] | None:
        """Cut a record down to what it has in common with what it becomes; None: nothing is in common, it was removed."""
        if (record.begins, record.ends) == (stay.begins, stay.ends):
            return record.begins, record.ends
        common = max(record.begins, stay.begins), min(record.ends, stay.ends)
        if common[0] > common[1]:
            self._call("hr.attendance", "unlink", list(record.ids))
            return None
        if len(record.ids) > 1:
            self._call("hr.attendance", "unlink", list(record.ids[1:]))
        if common != (record.begins, record.ends) or len(record.ids) > 1:
            self._write(record.ids[0], self._values(None, replace(stay, begin=replace(stay.begin, at=common[0]), ends=common[1])))
        return common

    def _create(self, employee: int, stay: WantedAttendance) -> int:
        made = self._call("hr.attendance", "create", {"employee_id": employee, **self._mode("in_mode"), **self._values(None, stay)})
        number = made[0] if isinstance(made, list) and made else made
        if not isinstance(number, int) or isinstance(number, bool):
            raise Stopped(Failed(f"Odoo did not name the attendance it created, but answered {made!r}", whole_target=True))
        return number

    def _values(self, have: tuple[int, int] | None, stay: WantedAttendance) -> Record:
        """The fields that differ from what a record has."""
        values: Record = {} if have and have[0] == stay.begins else {"check_in": utc(stay.begins)}
        if have and have[1] == stay.ends:
            return values
        if stay.ends == FOREVER:
            return values | ({"check_out": False} if have else {})
        mode = self._mode("out_mode") if stay.end else self._mode("out_mode", AUTOMATIC) or self._mode("out_mode")
        return values | {"check_out": utc(stay.ends), **mode}

    # the test

    def test(self, event: Event) -> str:
        """Log in, compare clocks, look at the key's end, create an attendance of the test person and remove it."""
        try:
            self._log_in()
            if not self._may_create():
                raise ConnectorError(
                    f"{self.settings.login} may not create attendances; give the user the role Attendances: Administrator", code="connector.rights"
                )
            employees = self._visible(str(event.code))
            tried = self._tried(employees[0]) if len(employees) == 1 else self._not_tried(len(employees), str(event.code))
            return f"logged in as user {self._uid}, attendances may be created; {tried}{self._key_end()}"
        except Stopped as stopped:
            raise ConnectorError(stopped.outcome.answer) from None

    def _may_create(self) -> bool:
        try:
            return bool(self._call("hr.attendance", "has_access", [], "create"))
        except Stopped:  # Odoo 16 and 17 do not have it, from 19 on there is nothing else
            return bool(self._call("hr.attendance", "check_access_rights", "create", raise_exception=False))

    def _visible(self, code: str) -> list[int]:
        try:
            return self._with_code(code)
        except Stopped as stopped:
            if not isinstance(stopped.outcome, Refused):
                raise
            how = f"give {self.settings.login} the role Employees: Officer, and every company whose employees punch"
            raise ConnectorError(f"{self.settings.employee_field} cannot be read: {stopped.outcome.answer}; {how}", code="connector.rights") from None

    def _not_tried(self, found: int, code: str) -> str:
        return f"no attendance was tried, since {found or 'no'} employees have the {self.settings.employee_field} {code}: give --code of an employee for tests"

    def _tried(self, employee: int) -> str:
        """An attendance of no length, removed at once."""
        now = utc(time.time())
        try:
            number = self._call("hr.attendance", "create", {"employee_id": employee, "check_in": now, "check_out": now, **self._mode("in_mode")})
        except Stopped as stopped:
            if not isinstance(stopped.outcome, Refused) or stopped.outcome.cause == NOT_ALLOWED:
                raise
            return f"no attendance could be tried: {stopped.outcome.answer}"
        made = self._call("hr.attendance", "read", [number], ["create_date"])
        self._call("hr.attendance", "unlink", [number])
        try:
            apart = abs(seconds(made[0]["create_date"]) - time.time())
        except (TypeError, KeyError, ValueError, IndexError):
            raise ConnectorError("Odoo did not return the attendance that it created") from None
        if apart > CLOCK_SECONDS:
            raise ConnectorError(f"Odoo's clock is {apart:.0f} s off this terminal's; set the one that is wrong")
        return "one was added and removed; the clocks agree"

    def _key_end(self) -> str:
        """When a key of this user ends. Before Odoo 18 keys do not end; which of several keys this is, Odoo does not tell."""
        try:
            rows = self._call("res.users.apikeys", "search_read", [["user_id", "=", self._uid]], fields=["expiration_date"])
            ends = sorted(str(row["expiration_date"]) for row in rows if row.get("expiration_date"))
        except (Stopped, TypeError, KeyError, AttributeError):
            return ""
        return f"; an API key of this user ends on {ends[0][:10]}" if ends else ""

    def unfit_codes(self, codes: Sequence[str]) -> str:
        """Odoo 19 takes letters and digits, at most 18, as a Badge ID; some versions of 18 digits only (`addons/hr/models/hr_employee.py`)."""
        if self.settings.employee_field != "barcode":
            return ""
        version = self._version()
        fits = str.isdecimal if version == 18 else str.isalnum
        unfit = [code for code in codes if version >= 18 and not (code.isascii() and fits(code) and len(code) <= 18)]
        return f"{len(unfit)} codes may not be accepted as a Badge ID by Odoo {version}, such as {unfit[0]}: digits fit every version" if unfit else ""

    def _version(self) -> int:
        try:
            return int(str(self._rpc("common", "version", [])["server_version_info"][0]).removeprefix("saas~"))
        except (Stopped, TypeError, KeyError, ValueError, IndexError):
            return 0

    # Odoo's calls

    def _employee(self, code: str) -> int:
        self._log_in()
        found = self._with_code(code)
        if len(found) != 1:
            raise Stopped(Refused(f"{len(found) or 'no'} employees in Odoo have the {self.settings.employee_field} {code}; one must have it, then replay"))
        return found[0]

    def _with_code(self, code: str) -> list[int]:
        """The employees with this code; archived ones only if no other has it."""
        where = [[self.settings.employee_field, "=", code]]
        rows = self._call("hr.employee", "search_read", where, fields=["id", "active"], limit=4, context={"active_test": False})
        try:
            active = [int(row["id"]) for row in rows if row.get("active", True)]
            return active or [int(row["id"]) for row in rows]
        except (TypeError, KeyError, ValueError, AttributeError):
            raise Stopped(Failed("the answer is not a list of Odoo's employees", whole_target=True)) from None

    def _records(self, employee: int, own: PunchHistory) -> list[OdooAttendance]:
        """The employee's attendances from well before the event on, in order of time."""
        since = reach(own, 2 * self._missed.longest)[0]
        where: list[Any] = [["employee_id", "=", employee], "|", ["check_out", "=", False], ["check_out", ">=", utc(since)]]
        fields = ["check_in", "check_out", *(["out_mode"] if "out_mode" in self._modes else [])]
        found = self._call("hr.attendance", "search_read", where, fields=fields, order="check_in", limit=LONGEST_LIST)
        try:
            return [_attendance(row) for row in found]
        except (TypeError, KeyError, ValueError):
            raise Stopped(Failed("the answer is not a list of Odoo's attendances", whole_target=True)) from None

    def _write(self, number: int, values: Record) -> None:
        self._call("hr.attendance", "write", [number], values)

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
        try:
            self._modes = {name: {value for value, _ in field.get("selection", [])} for name, field in fields.items()}
        except (AttributeError, TypeError, ValueError):
            raise Stopped(Failed("the answer is not the description of Odoo's attendances", whole_target=True)) from None

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
        reply = json_object(answer)
        error = reply.get("error")
        if reply.get("jsonrpc") != "2.0" or not ("result" in reply or error):
            raise Stopped(Failed(f"the answer is not Odoo's: {outcome.answer}", whole_target=True))
        if error:
            outcome = outcome_of(error)
            if isinstance(outcome, Failed) and outcome.whole_target:
                self._uid = None  # the key may have been changed: log in again
            raise Stopped(outcome)
        return reply.get("result")


def _attendance(row: Record) -> OdooAttendance:
    ends = row["check_out"]
    return OdooAttendance((int(row["id"]),), seconds(row["check_in"]), seconds(ends) if ends else FOREVER, row.get("out_mode") == AUTOMATIC)


def utc(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")


def seconds(text: str) -> int:
    return int(datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc).timestamp())


def outcome_of(error: Any) -> Refused | Failed:
    """`{"message": .., "data": {"name": "odoo.exceptions.ValidationError", "message": ..}}` as an outcome."""
    data = error.get("data") if isinstance(error, dict) else None
    name, message = (str(data.get(key) or "") for key in ("name", "message")) if isinstance(data, dict) else ("", str(error))
    answer = " ".join(f"{name.rpartition('.')[2]}: {message}".split())
    if name.endswith((*REFUSALS, NOT_ALLOWED)):
        return Refused(answer, cause=name.rpartition(".")[2])
    return Failed(answer, whole_target=name.endswith(WRONG_KEY))
