"""ERPNext with Frappe HR, as its source has it: Employee Checkin with its duplicate check, Shift Type, token auth, Frappe's error form."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import unquote

from tests.device.fakes.site import Reply, Request, StandIn

TOKEN = "token key-of-the-api:secret-of-the-api"
NOW = "2026-11-24 21:00:00"
METHOD = "/api/method/hrms.hr.doctype.employee_checkin.employee_checkin.add_log_based_on_employee_field"


def thrown(message: str, kind: str = "ValidationError", status: int = 417) -> Reply:
    """What `frappe.throw` looks like from outside."""
    shown = json.dumps([json.dumps({"message": message, "title": "Message", "indicator": "red", "raise_exception": 1})])
    trace = json.dumps([f'Traceback (most recent call last):\n  File "apps/frappe/frappe/app.py"\n{kind}: {message}\n'])
    return Reply.of({"exception": f"frappe.exceptions.{kind}: {message}", "exc_type": kind, "exc": trace, "_server_messages": shown}, status)


class ErpNext(StandIn):
    def __init__(self) -> None:
        super().__init__()
        self.employees = {"E1": "HR-EMP-00001", "E2": "HR-EMP-00002"}  # attendance_device_id -> name
        self.inactive: set[str] = set()
        self.checkins: dict[str, dict[str, Any]] = {}
        self.linked: set[str] = set()  # check-ins that attendance was made from
        self.shifts: dict[str, str | None] = {"Day Shift": None}  # name -> last_sync_of_checkin
        self.writes_time = True  # whether the user has write at level 1, which the field Time has (employee_checkin.json)
        self._number = 0

    def answer(self, request: Request) -> Reply:
        if request.headers.get("Authorization") != TOKEN:
            return thrown("Invalid API key", "AuthenticationError", 401)
        path = unquote(request.path)
        if (request.method, path) == ("POST", METHOD):
            return self._add(request.json)
        found = re.fullmatch(r"/api/resource/([^/]+)(?:/(.+))?", path)
        if not found:
            return thrown("Not Found", "DoesNotExistError", 404)
        return self._resource(request, *found.groups())

    def _resource(self, request: Request, doctype: str, name: str | None) -> Reply:
        if name is None:
            return self._list(doctype, json.loads(request.query["filters"]))
        if doctype == "Shift Type" and name in self.shifts:
            if request.method == "PUT":
                self.shifts[name] = request.json["last_sync_of_checkin"]
            return Reply.of({"data": {"name": name, "last_sync_of_checkin": self.shifts[name]}})
        if doctype == "Employee Checkin" and name in self.checkins:
            return self._change(request, name)
        return thrown(f"{doctype} {name} not found", "DoesNotExistError", 404)

    def _list(self, doctype: str, filters: list[list[str]]) -> Reply:
        wanted = {field: value for field, _, value in filters}
        if doctype == "Employee":
            names = [name for code, name in self.employees.items() if code == wanted["attendance_device_id"]]
        else:
            names = [name for name, row in self.checkins.items() if all(row.get(key) == value for key, value in wanted.items())]
        return Reply.of({"data": [{"name": name} for name in names]})

    def _add(self, given: dict[str, Any]) -> Reply:
        code = given.get("employee_field_value")
        if given.get("employee_fieldname", "attendance_device_id") != "attendance_device_id" or code not in self.employees:
            return thrown(f"No Employee found for the given employee field value. 'attendance_device_id': {code}")
        if code in self.inactive:
            return thrown(f"Transactions cannot be created for an Inactive Employee {self.employees[code]}.", "InactiveEmployeeStatusError")
        row = {"employee": self.employees[code], "time": given["timestamp"], "log_type": given.get("log_type", ""), "device_id": given.get("device_id")}
        if not self.writes_time:
            row["time"] = NOW  # Document.validate_higher_perm_levels of Frappe: the field's default, without a word
        if clash := self._same(row, None):
            return self._duplicate(clash)
        self._number += 1
        name = f"EMP-CKIN-11-2026-{self._number:06d}"
        self.checkins[name] = row
        return Reply.of({"message": {"name": name, **row}})

    def _change(self, request: Request, name: str) -> Reply:
        if request.method == "DELETE":
            if name in self.linked:
                return thrown(f"Cannot delete or cancel because Employee Checkin {name} is linked with Attendance", "LinkExistsError", 417)
            del self.checkins[name]
            return Reply.of({"message": "ok"}, 202)
        if name in self.linked:
            return thrown("An attendance record is linked to this checkin. Please cancel the attendance before modifying time.")
        row = {**self.checkins[name], **request.json}
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
        return thrown(f"This employee already has a log with the same timestamp.<Br>{link}")
