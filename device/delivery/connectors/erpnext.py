"""ERPNext / Frappe HR: each punch becomes an Employee Checkin; each Shift Type is told up to when the punches are complete.

Source: `hrms/hr/doctype/employee_checkin/employee_checkin.py` and `.../shift_type/shift_type.py` of https://github.com/frappe/hrms.
Auto attendance uses only check-ins whose shift ended before the Shift Type's `last_sync_of_checkin`, and marks employees
without one as absent: so that moment must never be after a punch that is not delivered yet.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from device.config import ConnectorSettings, hidden, listed, needed, ranged, switched, written
from device.delivery.connectors import Connector, Queue
from device.delivery.connectors.credentials import Sealed
from device.delivery.connectors.http_exchange import Answer, HttpTarget, judge
from device.delivery.connectors.local_time import naive, repeated, zone
from device.delivery.outcomes import ConnectorError, Delivered, Failed, Outcome, Refused
from device.storage.events import Event
from device.system.clock import ClockState, read_clock_state

ADD_LOG = "/api/method/hrms.hr.doctype.employee_checkin.employee_checkin.add_log_based_on_employee_field"
CHECKIN = "/api/resource/Employee%20Checkin"
DUPLICATE = "already has a log with the same timestamp"
NO_EMPLOYEE = "No Employee found"
LOG_TYPES = {"in": "IN", "out": "OUT", "break_start": "OUT", "break_end": "IN"}  # "auto" has none
TIME_REPLACED = (
    "ERPNext replaced the time of the punch with its own: in Role Permissions Manager, give a role of the terminal's user Write on Employee Checkin at Level 1"
)
UNKNOWN_NAME = "?"  # reference of a check-in whose name could not be read
RECENT_SECONDS = 60.0  # the longest time that a punch may take from the camera to the outbox


@dataclass(frozen=True, kw_only=True)
class Settings(ConnectorSettings):
    url: str = needed("http or https address", "Address of the ERPNext site")
    api_key: str = hidden("API key of the terminal's user in ERPNext")
    api_secret: str = hidden("API secret of the terminal's user in ERPNext")
    timezone: str = needed("time zone", "Time zone of ERPNext's System Settings, such as Europe/Berlin")
    employee_field: str = written("attendance_device_id", "field name", "Field of Employee that holds the person's code")
    shift_types: tuple[str, ...] = listed("list of texts", "Shift types whose Last Sync of Checkin this terminal moves on")
    sync_minutes: float = ranged(10.0, 0.01, 1440.0, "minutes", "How often Last Sync of Checkin is moved on")
    sync_lag_minutes: float = ranged(0.0, 0.0, 20160.0, "minutes", "How far Last Sync of Checkin stays behind, for other terminals of the same shift")
    dead_letters_hold_back: bool = switched(True, "Last Sync of Checkin does not move past a dead letter, which is a punch that ERPNext lacks")
    parallel: int = ranged(2, 1, 8, "requests", "Number of requests under way at a time; those of one person follow each other")
    ca_file: str = written("", "path", "PEM file with certificates to trust in place of the system's, for a company's own authority")


class Target(Connector):
    settings: Settings

    def __init__(self, settings: Settings, read_clock: Callable[[], ClockState] = read_clock_state) -> None:
        super().__init__(settings)
        self.lanes = settings.parallel
        where = f"[connectors.{self.name}]"
        self._zone = zone(f"{where} timezone", settings.timezone)
        self._site = HttpTarget(f"{where} url", settings.url, settings.timeout_seconds, settings.parallel, settings.ca_file)
        pair = Sealed(f"{self.secret('api_key').reveal()}:{self.secret('api_secret').reveal()}")
        self.secrets.append(pair)
        self._token = pair
        self._read_clock = read_clock
        self._synced_at = float("-inf")

    def send(self, event: Event) -> Outcome:
        return self._correct(event) if event.kind == "correction" else self._add(event)

    def tick(self, now: float, queue: Queue) -> Outcome | None:
        """Advance the Shift Types up to the moment until which the punches are certainly complete."""
        if not self.settings.shift_types or now - self._synced_at < self.settings.sync_minutes * 60 or not self._read_clock().synchronised:
            return None
        missing = queue.complete_until(self.settings.dead_letters_hold_back)
        until = min(now - RECENT_SECONDS, float("inf") if missing is None else missing - 1.0) - self.settings.sync_lag_minutes * 60
        for shift_type in self.settings.shift_types:
            outcome = self._sync(shift_type, naive(until, self._zone))
            if not isinstance(outcome, Delivered):
                return outcome
        self._synced_at = now
        return Delivered()

    def test(self, event: Event) -> str:
        """Send a log for a code that no employee has: its refusal shows that address, token and rights are right."""
        answer = self._call("POST", ADD_LOG, {**self._log(event), "skip_auto_attendance": 1})
        outcome = self._judge(answer)
        result = outcome.answer
        if isinstance(outcome, Refused) and NO_EMPLOYEE in outcome.answer:
            result = f"address, token and rights are right; no employee has the {self.settings.employee_field} {event.code}"
        elif not isinstance(outcome, Delivered):
            raise ConnectorError(outcome.answer)
        for shift_type in self.settings.shift_types:
            found = self._judge(self._call("GET", f"/api/resource/Shift%20Type/{quote(shift_type, safe='')}"))
            if not isinstance(found, Delivered):
                raise ConnectorError(f"Shift Type {shift_type!r}: {found.answer}")
        return result

    def close(self) -> None:
        self._site.close()

    def _add(self, event: Event) -> Outcome:
        answer = self._call("POST", ADD_LOG, self._log(event))
        outcome = self._judge(answer)
        if isinstance(outcome, Refused) and DUPLICATE in outcome.answer:
            return self._duplicate(event, outcome)
        return self._created(event, answer) if isinstance(outcome, Delivered) and isinstance(answer, Answer) else outcome

    def _created(self, event: Event, answer: Answer) -> Outcome:
        """For a user without write permission at the level of the field Time, ERPNext sets the present time without an error: such a check-in is deleted."""
        message = _json(answer).get("message")
        checkin = message if isinstance(message, dict) else {}
        name = str(checkin.get("name") or UNKNOWN_NAME)
        if _has_time(checkin, self._log(event)["timestamp"]):
            return Delivered(answer.summary, name)
        self._call("DELETE", f"{CHECKIN}/{quote(name, safe='')}")
        return Failed(TIME_REPLACED, whole_target=True)

    def _log(self, event: Event) -> dict[str, Any]:
        assert event.occurred_at is not None
        employee = {"employee_field_value": event.code, "employee_fieldname": self.settings.employee_field}
        fields = {"timestamp": naive(event.occurred_at, self._zone), "device_id": event.device, "log_type": LOG_TYPES.get(event.direction or "")}
        return {key: value for key, value in {**employee, **fields}.items() if value}

    def _duplicate(self, event: Event, outcome: Refused) -> Outcome:
        """ERPNext has this log from an earlier attempt. When clocks go back it may be the log of an hour before, which only a person can tell."""
        assert event.occurred_at is not None
        if repeated(event.occurred_at, self._zone):
            at = naive(event.occurred_at, self._zone)
            return Refused(f"{outcome.answer} {at} occurred twice that night: if ERPNext has both punches, discard this, otherwise add it there")
        return Delivered(outcome.answer, self._name_of(event))

    def _name_of(self, event: Event) -> str:
        """ERPNext's name of the check-in of an event that it already has."""
        employees = self._list("Employee", [[self.settings.employee_field, "=", event.code]])
        if len(employees) != 1:
            return UNKNOWN_NAME
        log = self._log(event)
        names = self._list("Employee Checkin", [["employee", "=", employees[0]], ["time", "=", log["timestamp"]], ["log_type", "=", log.get("log_type", "")]])
        return names[0] if len(names) == 1 else UNKNOWN_NAME

    def _correct(self, event: Event) -> Outcome:
        if event.reference == UNKNOWN_NAME:
            return Refused("ERPNext's name of this check-in is not known; correct it there by hand, then discard this")
        if event.occurred_at is not None:
            if not event.reference:
                return self._add(event)
            change = {"time": naive(event.occurred_at, self._zone), "log_type": LOG_TYPES.get(event.direction or "", "")}
            answer = self._call("PUT", f"{CHECKIN}/{quote(event.reference, safe='')}", change)
            outcome = self._judge(answer, resource=True)
            if not isinstance(outcome, Delivered) or not isinstance(answer, Answer):
                return outcome
            changed = _json(answer).get("data")
            kept = not isinstance(changed, dict) or _has_time(changed, change["time"])
            return Delivered(outcome.answer, event.reference) if kept else Failed(TIME_REPLACED, whole_target=True)
        if not event.reference:
            return Delivered("ERPNext has no check-in for this punch; there is nothing to remove", "")
        answer = self._call("DELETE", f"{CHECKIN}/{quote(event.reference, safe='')}")
        if isinstance(answer, Answer) and answer.status == 404:
            return Delivered("it was already removed", "")
        outcome = self._judge(answer, resource=True)
        return Delivered(outcome.answer, "") if isinstance(outcome, Delivered) else outcome

    def _sync(self, shift_type: str, until: str) -> Outcome:
        """Only move the value forward: the present one may be set by a person or another terminal."""
        path = f"/api/resource/Shift%20Type/{quote(shift_type, safe='')}"
        answer = self._call("GET", path)
        outcome = self._judge(answer, resource=True)
        if not isinstance(outcome, Delivered) or not isinstance(answer, Answer):
            return Refused(f"Shift Type {shift_type!r}: {outcome.answer}") if isinstance(outcome, Refused) else outcome
        data = _json(answer).get("data")
        present = str(data.get("last_sync_of_checkin") or "") if isinstance(data, dict) else ""
        if present[: len(until)] >= until:
            return outcome
        return self._judge(self._call("PUT", path, {"last_sync_of_checkin": until}), resource=True)

    def _list(self, doctype: str, filters: list[list[Any]]) -> list[str]:
        query = urlencode({"filters": json.dumps(filters), "fields": '["name"]', "limit_page_length": 2})
        answer = self._call("GET", f"/api/resource/{quote(doctype)}?{query}")
        rows = _json(answer).get("data") if isinstance(answer, Answer) and answer.status == 200 else None
        return [str(row["name"]) for row in rows] if isinstance(rows, list) else []

    def _call(self, method: str, path: str, fields: dict[str, Any] | None = None) -> Answer | Failed:
        headers = {"Authorization": f"token {self._token.reveal()}", "Accept": "application/json", "Content-Type": "application/json"}
        return self._site.call(method, path, headers, None if fields is None else json.dumps(fields).encode())

    def _judge(self, answer: Answer | Failed, resource: bool = False) -> Outcome:
        """`frappe.throw` answers 417. A 404 means a wrong address, but for a resource that it was removed."""
        outcome = judge(answer)
        if isinstance(answer, Failed) or answer.status < 300:
            return outcome
        text = f"HTTP {answer.status}: {_message(answer)}"
        if resource and answer.status == 404:
            return Refused(text)
        return Failed(text, outcome.whole_target, outcome.retry_after_seconds) if isinstance(outcome, Failed) else Refused(text)


def _has_time(checkin: dict[str, Any], wanted: str) -> bool:
    """Whether a returned check-in has the time that was sent; one without a time counts as right."""
    return str(checkin.get("time") or wanted)[: len(wanted)] == wanted


def _json(answer: Answer) -> dict[str, Any]:
    try:
        value = json.loads(answer.text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _message(answer: Answer) -> str:
    """Frappe's message for people: `_server_messages` is JSON of a list of JSON texts; otherwise the exception, the message or the whole text."""
    value = _json(answer)
    try:
        messages = [str(json.loads(text)["message"]) for text in json.loads(value["_server_messages"])]
    except (KeyError, TypeError, ValueError):
        messages = [str(value.get("exception") or value.get("message") or answer.text)]
    return Answer(answer.status, {}, " ".join(messages), 0.0).summary.partition(": ")[2]
