"""Odoo's external API over hr.attendance, with the constraints of `addons/hr_attendance/models/hr_attendance.py` restated.

Switches: `officer` (whether the user may read the Badge ID), `foreign` (employees of a company that the user does not have),
`splits` (a module that splits attendances at midnight), `key_ends`.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from tests.device.fakes.site import Reply, Request, StandIn

DATABASE, LOGIN, API_KEY = "company", "clock@company.example", "api-key-of-odoo"
MODES = {
    16: {},
    17: {"in_mode": ["kiosk", "systray", "manual"], "out_mode": ["kiosk", "systray", "manual"]},
    18: {"in_mode": ["kiosk", "systray", "manual", "technical"], "out_mode": ["kiosk", "systray", "manual", "technical", "auto_check_out"]},
}
MODES[19] = MODES[18]
Record = dict[str, Any]


class OdooError(Exception):
    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class Odoo(StandIn):
    def __init__(self, version: int = 18) -> None:
        super().__init__()
        self.version, self.modes = version, MODES[version]
        self.employees = [{"id": 7, "name": "Ann", "barcode": "E1"}, {"id": 8, "name": "Bob", "barcode": "E2"}]
        self.attendances: dict[int, Record] = {}
        self.may_create, self.officer, self.splits = True, True, False
        self.foreign: set[int] = set()
        self.key, self.key_ends = API_KEY, ""
        self._number = 40

    def answer(self, request: Request) -> Reply:
        assert (request.method, request.path) == ("POST", "/jsonrpc")
        call = request.json
        assert call["jsonrpc"] == "2.0" and call["method"] == "call"
        params = call["params"]
        try:
            result = getattr(self, f"_{params['service']}_{params['method']}")(*params["args"])
        except OdooError as error:
            data = {"name": f"odoo.exceptions.{error.name}", "message": str(error), "arguments": [str(error)], "debug": "Traceback ..."}
            return Reply.of({"jsonrpc": "2.0", "id": call["id"], "error": {"code": 200, "message": "Odoo Server Error", "data": data}})
        return Reply.of({"jsonrpc": "2.0", "id": call["id"], "result": result})

    def stays(self) -> list[tuple[int, str, Any]]:
        return sorted((row["employee_id"], row["check_in"], row["check_out"]) for row in self.attendances.values())

    def _common_authenticate(self, database: str, login: str, key: str, _: dict[str, Any]) -> Any:
        return 2 if (database, login, key) == (DATABASE, LOGIN, self.key) else False

    def _common_version(self) -> Any:
        return {"server_version": f"{self.version}.0", "server_version_info": [self.version, 0, 0, "final", 0, ""]}

    def _object_execute_kw(self, database: str, uid: Any, key: str, model: str, method: str, args: list[Any], named: Record) -> Any:
        if (database, uid, key) != (DATABASE, 2, self.key):
            raise OdooError("AccessDenied", "Access Denied")
        if model == "hr.employee":
            if self.version >= 17 and not self.officer:
                raise OdooError("AccessError", "The fields 'barcode' you try to read are not available on the public employee profile.")
            archived = named.get("context", {}).get("active_test", True) is False
            found = [row for row in self.employees if self._matches(row, args[0]) and (archived or row.get("active", True))]
            if method == "search_count":
                return len(found)
            return [{"id": row["id"], **({"active": row.get("active", True)} if "active" in named["fields"] else {})} for row in found[: named.get("limit")]]
        if model == "res.users.apikeys":
            if self.version < 18:
                raise OdooError("ValueError", "Invalid field 'expiration_date' on model 'res.users.apikeys'")
            return [{"id": 1, "expiration_date": self.key_ends or False}]
        assert model == "hr.attendance"
        return getattr(self, f"_{method}")(*args, **named)

    def _check_access_rights(self, operation: str, raise_exception: bool) -> bool:
        self._only(self.version < 19, "check_access_rights")
        return self.may_create

    def _has_access(self, ids: list[int], operation: str) -> bool:
        self._only(self.version >= 18, "has_access")
        return self.may_create

    def _only(self, known: bool, method: str) -> None:
        if not known:
            raise OdooError("AttributeError", f"The method 'hr.attendance.{method}' does not exist")

    def _fields_get(self, fields: list[str], attributes: list[str]) -> Record:
        return {name: {"selection": [[value, value.title()] for value in self.modes[name]]} for name in fields if name in self.modes}

    def _search_read(self, domain: list[Any], fields: list[str], order: str, limit: int) -> list[Record]:
        assert set(fields) <= {"check_in", "check_out", *self.modes}, fields
        found = [row for row in self.attendances.values() if self._matches(row, domain)]
        found.sort(key=lambda row: row[order.split()[0]], reverse=order.endswith("desc"))
        return [{key: row.get(key, False) for key in ("id", *fields)} for row in found[:limit]]

    def _create(self, values: Record) -> int:
        self._number += 1
        number = self._number
        self._put({"id": number, "check_out": False, "create_date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S"), **values})
        return number

    def _read(self, ids: list[int], fields: list[str]) -> list[Record]:
        return [{key: self._one(number)[key] for key in ("id", *fields)} for number in ids]

    def _write(self, ids: list[int], values: Record) -> bool:
        for number in ids:
            self._put({**self._one(number), **values})
        return True

    def _unlink(self, ids: list[int]) -> bool:
        for number in ids:
            del self.attendances[self._one(number)["id"]]
        return True

    def _one(self, number: int) -> Record:
        if number not in self.attendances:
            raise OdooError("MissingError", "Record does not exist or has been deleted.")
        return self.attendances[number]

    def _put(self, row: Record) -> None:
        unknown = set(row) - {"id", "employee_id", "check_in", "check_out", "create_date", *self.modes}
        if unknown:
            raise OdooError("ValueError", f"Invalid field {unknown} on model 'hr.attendance'")
        for mode, allowed in self.modes.items():
            assert row.get(mode, "manual") in allowed
        if row["employee_id"] in self.foreign:
            raise OdooError("AccessError", "Due to security restrictions, you are not allowed to access 'Attendance' (hr.attendance) records.")
        self._check(row)
        self.attendances[row["id"]] = row
        midnight = row["check_in"][:10] + " 23:59:59"
        if self.splits and row["check_out"] and row["check_out"] > midnight:
            self.attendances[row["id"]] = {**row, "check_out": midnight}
            self._number += 1
            self.attendances[self._number] = {**row, "id": self._number, "check_in": row["check_out"][:10] + " 00:00:00"}

    def _check(self, row: Record) -> None:
        """No check-out before its check-in, no overlap, one open record."""
        name = next(employee["name"] for employee in self.employees if employee["id"] == row["employee_id"])
        if row["check_out"] and row["check_out"] < row["check_in"]:
            raise OdooError("ValidationError", '"Check Out" time cannot be earlier than "Check In" time.')
        others = [other for other in self.attendances.values() if other["employee_id"] == row["employee_id"] and other["id"] != row["id"]]
        before_in = max((o for o in others if o["check_in"] <= row["check_in"]), key=lambda o: o["check_in"], default=None)
        if before_in and before_in["check_out"] and before_in["check_out"] > row["check_in"]:
            raise OdooError("ValidationError", f"Cannot create new attendance record for {name}, the employee was already checked in")
        if not row["check_out"]:
            if any(not other["check_out"] for other in others):
                raise OdooError("ValidationError", f"Cannot create new attendance record for {name}, the employee hasn't checked out")
            return
        before_out = max((o for o in others if o["check_in"] < row["check_out"]), key=lambda o: o["check_in"], default=None)
        if before_out and before_out is not before_in:
            raise OdooError("ValidationError", f"Cannot create new attendance record for {name}, the employee was already checked in")

    def _matches(self, row: Record, domain: list[Any]) -> bool:
        """Polish notation with an implied "and", as far as it is used."""
        terms = list(domain)

        def value() -> bool:
            term = terms.pop(0)
            if term == "|":
                left, right = value(), value()
                return left or right
            field, operator, wanted = term
            have = row.get(field, False)
            if operator == "=":
                return bool(have == wanted)
            return bool(have) and {"<": have < wanted, "<=": have <= wanted, ">": have > wanted, ">=": have >= wanted}[operator]

        result = True
        while terms:
            result = value() and result
        return result
