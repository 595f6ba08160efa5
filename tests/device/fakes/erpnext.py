"""ERPNext with Frappe HR 15, as it was seen to behave: names used again, texts in the system's language, marked attendance, Frappe's error form.

Switches stand for settings and versions: `language`, `geolocation`, `newer` (2025: refuses a changed time of a marked check-in), `role`.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from tests.device.fakes.site import Reply, Request, StandIn

TOKEN = "token key-of-the-api:secret-of-the-api"
NOW = "2026-11-24 21:00:00"
METHOD = "/api/method/hrms.hr.doctype.employee_checkin.employee_checkin.add_log_based_on_employee_field"
GERMAN = {
    "This employee already has a log with the same timestamp.": "Für diesen Mitarbeiter gibt es bereits ein Protokoll mit demselben Zeitstempel.",
    "No Employee found for the given employee field value.": "Kein Mitarbeiter für den angegebenen Feldwert gefunden.",
    "Latitude and longitude values are required for checking in.": "Breiten- und Längengrad sind zum Einchecken erforderlich.",
}


class ErpNext(StandIn):
    def __init__(self) -> None:
        super().__init__()
        self.employees = {"E1": "HR-EMP-00001", "E2": "HR-EMP-00002"}  # attendance_device_id -> name
        self.inactive: set[str] = set()
        self.checkins: dict[str, dict[str, Any]] = {}
        self.attendance: dict[str, tuple[str, str]] = {}  # name -> employee and day, submitted
        self.shifts: dict[str, str | None] = {"Day Shift": None}  # name -> last_sync_of_checkin
        self.writes_time = True  # whether the field Time is taken as it was sent
        self.language, self.geolocation, self.newer, self.role = "de", False, False, True
        self.zone, self.token, self.slow_by = "Europe/Berlin", TOKEN, 0.0
        self.foreign_people: set[str] = set()  # employees that this user's permissions do not cover
        self._number = 0

    def mark(self, name: str) -> None:
        """Auto attendance makes an Attendance from a check-in and submits it."""
        row = self.checkins[name]
        row["attendance"] = f"HR-ATT-2026-{len(self.attendance) + 1:05d}"
        self.attendance[row["attendance"]] = (row["employee"], row["time"][:10])

    def answer(self, request: Request) -> Reply:
        self._english = request.headers.get("Accept-Language", "").startswith("en") or self.language == "en"
        if request.headers.get("Authorization") != self.token:
            return self._thrown("Invalid API key", "AuthenticationError", 401)
        path = unquote(request.path)
        if path == "/api/method/frappe.client.get_time_zone":
            return Reply.of({"message": {"time_zone": self.zone}})
        if (request.method, path) == ("POST", METHOD):
            return self._add_log(request.json)
        found = re.fullmatch(r"/api/resource/([^/]+)(?:/(.+))?", path)
        if not found:
            return self._thrown("Not Found", "DoesNotExistError", 404)
        if not self.role:
            return self._thrown(f"User clock@example.com does not have doctype access via role permission for document {found[1]}", "PermissionError", 403)
        return self._resource(request, *found.groups())

    def _thrown(self, message: str, kind: str = "ValidationError", status: int = 417) -> Reply:
        """What `frappe.throw` looks like from outside: in the system's language, unless English is asked for."""
        if not self._english:
            message = next((message.replace(english, german) for english, german in GERMAN.items() if english in message), f"Fehler: {message}")
        shown = json.dumps([json.dumps({"message": message, "title": "Message", "indicator": "red", "raise_exception": 1})])
        trace = json.dumps([f'Traceback (most recent call last):\n  File "apps/frappe/frappe/app.py"\n{kind}: {message}\n'])
        return Reply.of({"exception": f"frappe.exceptions.{kind}: {message}", "exc_type": kind, "exc": trace, "_server_messages": shown}, status)

    def _resource(self, request: Request, doctype: str, name: str | None) -> Reply:
        if name is None and request.method == "POST":
            assert doctype == "Employee Checkin"
            return self._insert(dict(request.json), "data")
        if name is None:
            return self._list(doctype, json.loads(request.query["filters"]), json.loads(request.query.get("fields", '["name"]')))
        if doctype == "Shift Type" and name in self.shifts:
            if request.method == "PUT":
                self.shifts[name] = request.json["last_sync_of_checkin"]
            return Reply.of({"data": {"name": name, "last_sync_of_checkin": self.shifts[name]}})
        if doctype == "Employee Checkin" and name in self.checkins:
            return self._change(request, name)
        return self._thrown(f"{doctype} {name} not found", "DoesNotExistError", 404)

    def _list(self, doctype: str, filters: list[list[Any]], fields: list[str]) -> Reply:
        if doctype == "Employee":
            rows = [{"name": name, "attendance_device_id": code} for code, name in self.employees.items()]
        elif doctype == "Attendance":
            rows = [{"name": name, "employee": of[0], "attendance_date": of[1], "docstatus": 1} for name, of in self.attendance.items()]
        else:
            rows = [{"name": name, **row} for name, row in self.checkins.items()]
        found = [row for row in rows if all(row.get(key) in value if way == "in" else row.get(key) == value for key, way, value in filters)]
        return Reply.of({"data": [{key: row.get(key) for key in fields} for row in found]})

    def _add_log(self, given: dict[str, Any]) -> Reply:
        """As 15.33 has it: whatever else is sent is dropped, coordinates included."""
        code = given.get("employee_field_value")
        if given.get("employee_fieldname", "attendance_device_id") != "attendance_device_id" or code not in self.employees:
            return self._thrown(f"No Employee found for the given employee field value. 'attendance_device_id': {code}")
        if not self.role:
            return self._thrown("User clock@example.com does not have doctype access", "PermissionError", 403)
        row = {"employee": self.employees[code], "time": given["timestamp"], "log_type": given.get("log_type"), "device_id": given.get("device_id")}
        return self._insert(row, "message")

    def _insert(self, row: dict[str, Any], key: str) -> Reply:
        if row["employee"] in {self.employees.get(code) for code in self.inactive}:
            return self._thrown(f"Transactions cannot be created for an Inactive Employee {row['employee']}.", "InactiveEmployeeStatusError")
        if row["employee"] in self.foreign_people:
            return self._thrown(f"You need permission for Employee {row['employee']}", "PermissionError", 403)
        if self.geolocation and not (row.get("latitude") and row.get("longitude")):
            return self._thrown("Latitude and longitude values are required for checking in.")
        row = {"log_type": "", "attendance": None, **{field: value or "" for field, value in row.items()}}
        if not self.writes_time:
            row["time"] = NOW  # Document.validate_higher_perm_levels of Frappe: the field's default, without a word
        if clash := self._same(row, None):
            return self._duplicate(clash)
        self._number += 1
        name = f"EMP-CKIN-11-2026-{self._number:06d}"
        self.checkins[name] = row
        creation = datetime.fromtimestamp(datetime.now().timestamp() - self.slow_by, ZoneInfo(self.zone)).strftime("%Y-%m-%d %H:%M:%S.%f")
        return Reply.of({key: {"name": name, "doctype": "Employee Checkin", "creation": creation, **row}})

    def delete(self, name: str) -> None:
        """The name of the last record of the series goes to the next one (`revert_series_if_last`)."""
        del self.checkins[name]
        if int(name.rpartition("-")[2]) == self._number:
            self._number -= 1

    def _change(self, request: Request, name: str) -> Reply:
        if request.method == "GET":
            return Reply.of({"data": {"name": name, **self.checkins[name]}})
        if request.method == "DELETE":  # a submitted Attendance keeps its hours
            self.delete(name)
            return Reply.of({"message": "ok"}, 202)
        row = {**self.checkins[name], **request.json}
        if self.newer and row["attendance"] and row["time"] != self.checkins[name]["time"]:
            return self._thrown("An attendance record is linked to this checkin. Please cancel the attendance before modifying time.")
        if not self.writes_time:
            row["time"] = self.checkins[name]["time"]
        if clash := self._same(row, name):
            return self._duplicate(clash)
        self.checkins[name] = row
        return Reply.of({"data": {"name": name, **row}})

    def _same(self, row: dict[str, Any], but: str | None) -> str | None:
        keys = ("employee", "time", "log_type")
        return next((name for name, other in self.checkins.items() if name != but and all(other[key] == row[key] for key in keys)), None)

    def _duplicate(self, name: str) -> Reply:
        link = f'<a href="/app/Form/Employee Checkin/{name}" style="font-weight: bold;">Employee Checkin {name}</a>'
        return self._thrown(f"This employee already has a log with the same timestamp.<Br>{link}")
