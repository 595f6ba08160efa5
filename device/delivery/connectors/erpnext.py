"""ERPNext / Frappe HR: each punch becomes an Employee Checkin; each Shift Type is told up to when the punches are complete.

Source: `hrms/hr/doctype/employee_checkin/employee_checkin.py` and `.../shift_type/shift_type.py` of https://github.com/frappe/hrms.
What is sent is what counts of a punch now. ERPNext uses the names of deleted check-ins again, so a name is no identity:
before a check-in is changed or deleted, its employee, time and log type are compared with what the punch ever was.
Auto attendance uses only check-ins whose shift ended before the Shift Type's `last_sync_of_checkin`, and marks employees
without one as absent: so that moment must never be after a punch that is not delivered yet.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone

from device.config import ConnectorSettings
from device.config.fields import hidden, listed, needed, ranged, switched, written
from device.delivery.connectors import Connector, Queue
from device.delivery.connectors import proxy as proxies
from device.delivery.connectors.credentials import Sealed
from device.delivery.connectors.frappe_site import MISSING, Document, FrappeSite
from device.delivery.connectors.http_exchange import HttpTarget
from device.delivery.connectors.local_time import moment, naive, repeated, zone
from device.delivery.outcomes import ConnectorError, Delivered, Failed, Outcome, Refused, Stopped
from device.storage.events import Event
from device.storage.records import LastPunch
from device.system.clock import ClockState, iso_utc, read_clock_state

CHECKIN = "Employee Checkin"
LOG_TYPES = {"in": "IN", "out": "OUT", "break_start": "OUT", "break_end": "IN"}  # "auto" has none
FIELDS = ["name", "employee", "time", "log_type", "attendance"]
TIME_REPLACED = (
    "ERPNext replaced the time of the punch with its own: in Role Permissions Manager, give a role of the terminal's user Write on Employee Checkin at Level 1"
)
RECENT_SECONDS = 60.0  # the longest time that a punch may take from the camera to the outbox
EMPLOYEE_SECONDS = 300.0  # how long it is remembered who has a code
CLOCK_SECONDS = 90.0  # further apart, two clocks disagree


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
    latitude: float = ranged(0.0, -90.0, 90.0, "degrees", "Where the terminal stands, if HR Settings has Allow Geolocation Tracking; north is positive")
    longitude: float = ranged(0.0, -180.0, 180.0, "degrees", "Where the terminal stands; east is positive; latitude and longitude 0 are sent to nobody")
    parallel: int = ranged(2, 1, 8, "requests", "Number of requests under way at a time; those of one person follow each other")
    ca_file: str = written("", "path", "PEM file with certificates to trust in place of the system's, for a company's own authority")
    proxy: str = written("", "http address", proxies.HELP)


class Target(Connector):
    settings: Settings
    around_seconds = 1.0  # the person's other punches at times that this one ever had

    def __init__(self, settings: Settings, read_clock: Callable[[], ClockState] = read_clock_state) -> None:
        super().__init__(settings)
        self.lanes = settings.parallel
        where = f"[connectors.{self.name}]"
        self._zone = zone(f"{where} timezone", settings.timezone)
        key, secret = self.secret("api_key"), self.secret("api_secret")
        token = Sealed(f"{key.reveal()}:{secret.reveal()}", lambda: f"{key.reveal()}:{secret.reveal()}")
        self.secrets.append(token)
        http = HttpTarget(f"{where} url", settings.url, settings.timeout_seconds, settings.parallel, settings.ca_file, settings.proxy)
        self._site = FrappeSite(http, token.reveal)
        self._read_clock = read_clock
        self._synced_at = float("-inf")
        self._employees: dict[str, tuple[float, str]] = {}  # code -> when it was asked for, and the employee

    def send(self, event: Event) -> Outcome:
        try:
            return self._bring_about(event)
        except Stopped as stopped:
            return stopped.outcome

    def close(self) -> None:
        self._site.close()

    # one punch

    def _bring_about(self, event: Event) -> Outcome:
        """Let ERPNext have what counts of this punch now, and nothing else of it."""
        employee = self._employee(str(event.code))
        wanted = self._values(event.counts) if event.counts else None
        held = self._held(event, employee)
        if held and wanted and _values_of(held) == wanted:
            return Delivered(f"ERPNext has it as {held['name']}", str(held["name"]))
        if held and held.get("attendance"):
            how = "cancel it in ERPNext, then `outbox replay` sends this again"
            return Refused(f"attendance {held['attendance']} was already marked from {held['name']}, a change would not reach it: {how}")
        if wanted is None:
            return self._remove(held)
        return self._change(held, wanted) if held else self._add(event, employee, wanted)

    def _held(self, event: Event, employee: str) -> Document | None:
        """ERPNext's check-in of this punch, by its name or by what the punch ever was; None: it has none."""
        states = event.history.states if event.history else (event.counts,)
        if event.reference is None and event.tried_at is None and len(states) == 1:
            return None  # it was never sent
        taken = [self._values(other.counts) for other in event.around if other.counts and event.history and other.key != event.history.key]
        values = [values for state in states if state and (values := self._values(state)) not in taken]  # what another punch is now is not this one's
        named = self._site.one(CHECKIN, event.reference) if event.reference else None
        if named and named.get("employee") == employee and _values_of(named) in values:
            return named
        times = sorted({value["time"] for value in values})
        rows = self._site.rows(CHECKIN, [["employee", "=", employee], ["time", "in", times]], FIELDS) if times else []
        found = [row for row in rows if _values_of(row) in values]
        if found:
            return max(found, key=lambda row: event.counts is not None and _values_of(row) == self._values(event.counts))  # of two, what counts now
        if named and named.get("employee") == employee and _values_of(named) not in taken:
            has = f"{named.get('time')} {named.get('log_type') or ''}".strip()
            raise Stopped(Refused(f"{named['name']} was changed in ERPNext and says {has} now; correct it there by hand, then discard this"))
        return None

    def _add(self, event: Event, employee: str, wanted: dict[str, str]) -> Outcome:
        self._check_not_marked(event, employee, wanted["time"])
        fields: Document = {"employee": employee, **wanted, "device_id": event.device, **self._place()}
        try:
            made = self._site.create(CHECKIN, {key: value for key, value in fields.items() if value})
        except Stopped as stopped:
            return self._found_after(event, employee, wanted, stopped)
        if made.get("employee") != employee:
            return Failed("ERPNext answered with another employee's check-in", whole_target=True)
        if _values_of(made)["time"] != wanted["time"]:
            self._site.delete(CHECKIN, made["name"])
            return Failed(TIME_REPLACED, whole_target=True)
        return Delivered(f"{made['name']} added", made["name"])

    def _found_after(self, event: Event, employee: str, wanted: dict[str, str], stopped: Stopped) -> Outcome:
        """A refusal means delivered if ERPNext has the check-in, from an attempt whose answer was lost."""
        if isinstance(stopped.outcome, Failed) or not event.counts:
            raise stopped
        rows = self._site.rows(CHECKIN, [["employee", "=", employee], ["time", "=", wanted["time"]]], FIELDS)
        found = [row for row in rows if _values_of(row) == wanted]
        if not found:
            raise stopped
        if repeated(event.counts.occurred_at, self._zone):
            words = "occurred twice that night: if ERPNext has both punches, discard this, otherwise add it there"
            return Refused(f"{stopped.outcome.answer} {wanted['time']} {words}")
        return Delivered(f"ERPNext has it as {found[0]['name']}", str(found[0]["name"]))

    def _check_not_marked(self, event: Event, employee: str, time: str) -> None:
        """A check-in that a correction adds to a day whose attendance is marked would change nothing that pays."""
        if event.kind != "correction":
            return
        try:
            marked = self._site.rows("Attendance", [["employee", "=", employee], ["attendance_date", "=", time[:10]], ["docstatus", "=", 1]], ["name"])
        except Stopped as stopped:
            if isinstance(stopped.outcome, Refused):
                return  # this user may not read Attendance
            raise
        if marked:
            how = "cancel it in ERPNext, then `outbox replay` sends this again"
            raise Stopped(Refused(f"attendance {marked[0].get('name')} was already marked for {time[:10]}, this punch would not reach it: {how}"))

    def _change(self, held: Document, wanted: dict[str, str]) -> Outcome:
        name = str(held["name"])
        changed = self._site.change(CHECKIN, name, wanted)
        kept = changed.get("employee") == held.get("employee") and _values_of(changed) == wanted
        return Delivered(f"{name} changed", name) if kept else Failed(TIME_REPLACED, whole_target=True)

    def _remove(self, held: Document | None) -> Outcome:
        if not held:
            return Delivered("ERPNext has no check-in for this punch; there is nothing to remove", "")
        try:
            self._site.delete(CHECKIN, str(held["name"]))
        except Stopped as stopped:
            if not isinstance(stopped.outcome, Refused) or stopped.outcome.cause != f"404 {MISSING}":
                raise
        return Delivered(f"{held['name']} removed", "")

    def _values(self, state: LastPunch) -> dict[str, str]:
        """What a check-in of this state says; with the employee, this is its identity."""
        return {"time": naive(state.occurred_at, self._zone), "log_type": LOG_TYPES.get(state.direction, "")}

    def _place(self) -> Document:
        settings = self.settings
        return {"latitude": settings.latitude, "longitude": settings.longitude} if settings.latitude or settings.longitude else {}

    def _employee(self, code: str) -> str:
        """The employee who has this code."""
        asked_at, name = self._employees.get(code, (float("-inf"), ""))
        if time.monotonic() - asked_at < EMPLOYEE_SECONDS:
            return name
        found = self._site.rows("Employee", [[self.settings.employee_field, "=", code]], ["name"], 2)
        if len(found) != 1:
            raise Stopped(Refused(f"{len(found) or 'no'} employees in ERPNext have the {self.settings.employee_field} {code}; one must have it, then replay"))
        self._employees[code] = (time.monotonic(), str(found[0].get("name")))
        return self._employees[code][1]

    # Last Sync of Checkin

    def tick(self, now: float, queue: Queue) -> Outcome | None:
        """Advance the Shift Types up to the moment until which the punches are certainly complete."""
        if not self.settings.shift_types or now - self._synced_at < self.settings.sync_minutes * 60:
            return None
        self._synced_at = now
        if not self._read_clock().synchronised:
            return Refused("Last Sync of Checkin does not move while this terminal's clock is not synchronised (`device doctor` says more)")
        missing = queue.complete_until(self.settings.dead_letters_hold_back)
        until = min(now - RECENT_SECONDS, float("inf") if missing is None else missing - 1.0) - self.settings.sync_lag_minutes * 60
        try:
            complaints = [words for shift_type in self.settings.shift_types if (words := self._sync(shift_type, until, queue))]
        except Stopped as stopped:
            if isinstance(stopped.outcome, Failed):
                self._synced_at = float("-inf")
            return stopped.outcome
        return Refused("; ".join(complaints)) if complaints else Delivered()

    def _sync(self, shift_type: str, until: float, queue: Queue) -> str:
        """Only move the value forward: the present one may be set by a person or another terminal. Returns what stands in the way."""
        present = self._last_sync(shift_type)
        skipped = queue.never_queued(self._moment(present) if present else 0.0)
        words = ""
        if skipped is not None and skipped <= until:
            until = skipped - 1.0
            remedy = f"`outbox fill {self.name} --from {naive(skipped, self._zone)[:10]}` queues them; if they should stay out, set Last Sync by hand past them"
            words = f"Last Sync of Checkin of {shift_type} waits for punches since {iso_utc(skipped)} that were never queued: {remedy}"
        target = naive(until, self._zone)
        if present[: len(target)] < target and (not words or present):
            changed = self._site.change("Shift Type", shift_type, {"last_sync_of_checkin": target})
            if not str(changed.get("last_sync_of_checkin") or "").startswith(target):
                raise Stopped(Failed(f"ERPNext did not move Last Sync of Checkin of {shift_type} to {target}", whole_target=True))
        return words

    def _last_sync(self, shift_type: str) -> str:
        try:
            found = self._site.one("Shift Type", shift_type)
        except Stopped as stopped:
            outcome = stopped.outcome
            raise Stopped(Refused(f"Shift Type {shift_type!r}: {outcome.answer}") if isinstance(outcome, Refused) else outcome) from None
        if found is None:
            raise Stopped(Refused(f"Shift Type {shift_type!r}: ERPNext has none of this name; correct shift_types"))
        return str(found.get("last_sync_of_checkin") or "")

    # the test

    def test(self, event: Event) -> str:
        """Compare zone and clock, look for the Shift Types, add a check-in of the test person and remove it."""
        try:
            self._check_zone()
            for shift_type in self.settings.shift_types:
                self._last_sync(shift_type)
            employee = self._employee_for_test(str(event.code))
            return self._tried(event, employee) if employee else self._not_tried(str(event.code))
        except Stopped as stopped:
            raise ConnectorError(stopped.outcome.answer) from None

    def _employee_for_test(self, code: str) -> str | None:
        found = self._site.rows("Employee", [[self.settings.employee_field, "=", code]], ["name"], 2)
        if len(found) > 1:
            raise ConnectorError(f"several employees have the {self.settings.employee_field} {code}")
        return str(found[0].get("name")) if found else None

    def _not_tried(self, code: str) -> str:
        what = f"no employee has the {self.settings.employee_field} {code}"
        return f"address, token, time zone and the right to read Employee are right; no check-in was tried, since {what}: give --code of an employee for tests"

    def _tried(self, event: Event, employee: str) -> str:
        assert event.counts
        wanted = self._values(event.counts)
        fields = {"employee": employee, **wanted, "device_id": event.device, "skip_auto_attendance": 1, **self._place()}
        try:
            made = self._site.create(CHECKIN, fields)
        except Stopped as stopped:
            hint = "" if self._place() else "; if HR Settings has Allow Geolocation Tracking, set latitude and longitude"
            raise ConnectorError(f"no check-in can be added: {stopped.outcome.answer}{hint}") from None
        name = str(made["name"])
        try:
            if made.get("employee") != employee or _values_of(made) != wanted:
                raise ConnectorError(TIME_REPLACED)
            self._check_clock(str(made.get("creation") or ""))
        finally:
            self._site.delete(CHECKIN, name)
        return f"a check-in of {event.code} was added and removed ({name}); time zone and clock agree"

    def _check_zone(self) -> None:
        """ERPNext takes local times: its zone must be that of the settings."""
        answer = self._site.ask("frappe.client.get_time_zone")
        theirs = answer.get("time_zone") if isinstance(answer, dict) else answer
        if not isinstance(theirs, str) or not theirs:
            return  # an older version: the clock is compared
        now = datetime.now(timezone.utc).timestamp()
        if naive(now, zone("ERPNext's time zone", theirs)) != naive(now, self._zone):
            raise ConnectorError(f"ERPNext's time zone is {theirs}, [connectors.{self.name}] timezone is {self.settings.timezone}; make them the same")

    def _check_clock(self, creation: str) -> None:
        apart = abs(self._moment(creation) - time.time()) if creation else 0.0
        if apart > CLOCK_SECONDS:
            where = f"this terminal's in {self.settings.timezone}"
            raise ConnectorError(f"ERPNext's clock says {creation[:19]}, {apart:.0f} s off {where}; compare clocks and zones")

    def _moment(self, text: str) -> float:
        try:
            return moment(text, self._zone)
        except ValueError:
            raise Stopped(Failed(f"ERPNext gave {text[:40]!r} for a time", whole_target=True)) from None


def _values_of(checkin: Document) -> dict[str, str]:
    return {"time": str(checkin.get("time") or "")[:19], "log_type": str(checkin.get("log_type") or "")}
