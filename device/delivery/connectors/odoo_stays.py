"""What Odoo's attendances of one employee must be, from the punches that count and what was made in Odoo. Pure; times are s since the epoch, UTC.

A punch changes one mark, the begin or the end of an attendance; which attendances follow depends on its neighbours. So the
attendances near an event are worked out anew from all marks: those of this terminal as they count now, and those that
somebody made in Odoo. The result does not depend on the order in which corrections arrive. Complete attendances that were
made in Odoo are never touched, and no mark that was made there is lost: the event is refused instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from device.delivery.outcomes import Refused, Stopped
from device.storage.events import PunchHistory
from device.storage.records import LastPunch
from device.system.clock import iso_utc

Side = Literal["check_in", "check_out"]
Key = tuple[str, int]
FOREVER = 1 << 60  # the end of an attendance that is open
SEAM_SECONDS = 1  # between the two parts of an attendance that the server split at midnight


@dataclass(frozen=True)
class MissedCheckOut:
    """What becomes of an attendance without a check-out, and how long one with both may be."""

    policy: str  # zero, after_hours, refuse
    after: int  # s, of after_hours
    longest: int  # s


@dataclass(frozen=True)
class OdooAttendance:
    """A record as Odoo has it."""

    ids: tuple[int, ...]  # several where the server split it at midnight
    begins: int
    ends: int  # FOREVER: open
    automatic: bool = False  # Odoo says that nobody checked out


@dataclass(frozen=True)
class TimeMark:
    """One side of an attendance."""

    at: int
    side: Side | None  # None: whichever fits
    key: Key | None = None  # of the terminal's punch; None: made in Odoo
    closed_at: int | None = None  # of a check-in: where its attendance was closed without a check-out


@dataclass(frozen=True)
class WantedAttendance:
    """What Odoo should have."""

    begin: TimeMark
    end: TimeMark | None  # None: nobody checked out
    ends: int  # FOREVER: open
    refused: bool = False  # it would have to be closed, which the settings leave to people

    @property
    def begins(self) -> int:
        return self.begin.at


@dataclass(frozen=True)
class AttendancePlan:
    """The changes, and which attendance has which punch: `kept` and `wanted` that belong together."""

    pairs: tuple[tuple[OdooAttendance | None, WantedAttendance], ...]  # None: to be created
    surplus: tuple[OdooAttendance, ...]  # to be removed
    unpaired: frozenset[Key]  # check-outs that have no check-in


@dataclass
class Neighbourhood:
    """The event's punch, the person's punches around it, and Odoo's records there, in order of time."""

    own: PunchHistory
    around: Sequence[PunchHistory]
    records: Sequence[OdooAttendance]
    missed: MissedCheckOut
    _claimed: set[tuple[int, Side]] = field(default_factory=set)

    def plan(self) -> AttendancePlan:
        """Raises: Stopped: somebody else's mark stands in the way."""
        first, last = reach(self.own, self.missed.longest)
        near = [record for record in joined(self.records, self._marks_of(self.around)) if record.begins <= last + self.missed.longest]
        mine = [history for history in self.around if not self._is_foreign(history, near)]
        self._claimed = self._marks_of([*mine, self.own])
        free = [record for record in near if not self._made_in_odoo(record)]
        marks = [*self._of_terminal(mine, near), *self._of_odoo(free)]
        wanted, unpaired = self._paired(sorted(marks, key=lambda mark: (mark.at, mark.side != "check_out")))
        if any(mark.key is None for mark in unpaired):
            end = next(mark.at for mark in unpaired if mark.key is None)
            raise Stopped(Refused(f"the attendance that ends at {iso_utc(end)} was closed in Odoo; decide there what happens to it, then discard this"))
        pairs, surplus = matched(free, wanted)

        def near_enough(one: OdooAttendance | WantedAttendance | None) -> bool:
            return one is not None and one.begins <= last and one.ends >= first

        changed = [pair for pair in pairs if near_enough(pair[0]) or near_enough(pair[1])]
        for _, stay in changed:
            if stay.refused and stay.begin.key != self.own.key:
                raise Stopped(Refused(f"the attendance since {iso_utc(stay.begins)} has no check-out; close it in Odoo, then replay"))
        return AttendancePlan(tuple(changed), tuple(filter(near_enough, surplus)), frozenset(mark.key for mark in unpaired if mark.key))

    def _marks_of(self, histories: Sequence[PunchHistory]) -> set[tuple[int, Side]]:
        return {mark for history in histories for state in history.states if state for mark in marks_of(state)}

    def _is_foreign(self, history: PunchHistory, near: Sequence[OdooAttendance]) -> bool:
        """Whether somebody changed or removed this punch in Odoo: then what stands there counts."""
        number = number_in(history.reference)
        if number is None or history.key == self.own.key or has_mark(near, self._marks_of([history])):
            return False
        if any(number in record.ids for record in near):
            return self._says_another_time(history.reference)
        begun, until = reach(self.own, self.missed.longest)
        seen = all(begun <= state.occurred_at <= until for state in history.states if state)  # a record further away was not read
        return seen and number != number_in(self.own.reference)

    def changed_by_hand(self) -> bool:
        """Whether Odoo's record of the event's own punch says something that no punch of this terminal ever was."""
        return not has_mark(self.records, self._marks_of([self.own])) and self._says_another_time(self.own.reference)

    def _says_another_time(self, reference: str | None) -> bool:
        """Whether the record of a reference exists and has, on that side, a time of nobody's punch: one that was written in Odoo."""
        number, side = number_in(reference), (reference or "").partition(":")[2]
        ours = self._marks_of([*self.around, self.own])
        record = next((record for record in self.records if number in record.ids), None)
        if record is None:
            return False
        if side == "check_in":
            return (record.begins, "check_in") not in ours
        closed = record.automatic or record.ends in (FOREVER, record.begins, record.begins + self.missed.after)
        return not closed and (record.ends, "check_out") not in ours

    def _made_in_odoo(self, record: OdooAttendance) -> bool:
        """Whether both sides of a complete record were made in Odoo."""
        closed = record.ends == FOREVER or self._without_check_out(record)
        return not closed and (record.begins, "check_in") not in self._claimed and (record.ends, "check_out") not in self._claimed

    def _without_check_out(self, record: OdooAttendance) -> bool:
        """Whether a record was closed because its check-out was missed. Odoo says so from 18 on; before, the length of `after_hours` tells."""
        if (record.ends, "check_out") in self._claimed:
            return False
        if record.automatic or record.ends == record.begins:
            return True
        if self.missed.policy != "after_hours" or (record.begins, "check_in") not in self._claimed:
            return False
        return record.ends == record.begins + self.missed.after or any(other.begins == record.ends for other in self.records)

    def _of_terminal(self, mine: Sequence[PunchHistory], near: Sequence[OdooAttendance]) -> list[TimeMark]:
        closed = {record.begins: record.ends for record in near if record.ends != FOREVER and self._without_check_out(record)}
        marks = []
        for history in mine:
            if history.counts:
                at = int(history.counts.occurred_at)
                side = side_of(history.counts, near)
                marks.append(TimeMark(at, side, history.key, closed.get(at)))
        return marks

    def _of_odoo(self, free: Sequence[OdooAttendance]) -> list[TimeMark]:
        marks = []
        for record in free:
            closed = record.ends != FOREVER and self._without_check_out(record)
            if (record.begins, "check_in") not in self._claimed:
                marks.append(TimeMark(record.begins, "check_in", None, record.ends if closed else None))
            if record.ends != FOREVER and not closed and (record.ends, "check_out") not in self._claimed:
                marks.append(TimeMark(record.ends, "check_out"))
        return marks

    def _paired(self, marks: Sequence[TimeMark]) -> tuple[list[WantedAttendance], list[TimeMark]]:
        """Attendances and the check-outs without a check-in, from marks in order of time."""
        stays: list[WantedAttendance] = []
        unpaired: list[TimeMark] = []
        begin: TimeMark | None = None
        for mark in marks:
            within = begin is not None and mark.at - begin.at <= self.missed.longest
            if (mark.side or ("check_out" if within else "check_in")) == "check_in":
                if begin:
                    stays.append(self._closed(begin, mark.at))
                begin = replace(mark, side="check_in")
            elif begin and within:
                stays.append(WantedAttendance(begin, mark, mark.at))
                begin = None
            else:
                unpaired.append(mark)
        if begin:
            later = min((record.begins for record in self.records if record.begins > begin.at), default=None)
            runs = later is None and (begin.key is not None or begin.closed_at is None)
            stays.append(WantedAttendance(begin, None, FOREVER) if runs else self._closed(begin, FOREVER if later is None else later))
        return stays, unpaired

    def _closed(self, begin: TimeMark, before: int) -> WantedAttendance:
        """An attendance whose check-out was missed: closed where it already was, else as the settings say, never after the next check-in."""
        if begin.closed_at is not None:
            return WantedAttendance(begin, None, min(begin.closed_at, before))
        if self.missed.policy == "refuse":
            return WantedAttendance(begin, None, FOREVER, refused=True)
        return WantedAttendance(begin, None, min(begin.at + (self.missed.after if self.missed.policy == "after_hours" else 0), before))


def reach(history: PunchHistory, longest: int) -> tuple[int, int]:
    """The times that one punch can affect: an attendance long before and after every time it ever had."""
    times = [int(state.occurred_at) for state in history.states if state]
    return min(times) - longest, max(times) + longest


def marks_of(state: LastPunch) -> list[tuple[int, Side]]:
    at = int(state.occurred_at)
    sides: tuple[Side, ...] = ("check_in", "check_out") if state.direction == "auto" else ("check_in" if begins_stay(state) else "check_out",)
    return [(at, side) for side in sides]


def side_of(state: LastPunch, near: Sequence[OdooAttendance]) -> Side | None:
    """Which side a punch is; of one without a direction, the one that Odoo already has."""
    if state.direction != "auto":
        return "check_in" if begins_stay(state) else "check_out"
    at = int(state.occurred_at)
    return "check_in" if has_mark(near, {(at, "check_in")}) else "check_out" if has_mark(near, {(at, "check_out")}) else None


def begins_stay(state: LastPunch) -> bool:
    """Whether this begins an attendance record; a break ends one."""
    return state.direction in ("in", "break_end")


def has_mark(records: Sequence[OdooAttendance], marks: set[tuple[int, Side]]) -> bool:
    return any((record.begins, "check_in") in marks or (record.ends, "check_out") in marks for record in records)


def number_in(reference: str | None) -> int | None:
    """The record of a stored reference, "41:check_in"."""
    number = (reference or "").partition(":")[0]
    return int(number) if number.isdecimal() else None


def joined(records: Sequence[OdooAttendance], ours: set[tuple[int, Side]]) -> list[OdooAttendance]:
    """Records in order of time, those that the server split as one: they touch where nobody punched."""
    whole: list[OdooAttendance] = []
    for record in records:
        last = whole[-1] if whole else None
        seam = last is not None and 0 <= record.begins - last.ends <= SEAM_SECONDS
        if last and seam and (last.begins, "check_in") in ours and (last.ends, "check_out") not in ours and (record.begins, "check_in") not in ours:
            whole[-1] = OdooAttendance(last.ids + record.ids, last.begins, record.ends, record.automatic)
        else:
            whole.append(record)
    return whole


def matched(
    records: Sequence[OdooAttendance], wanted: Sequence[WantedAttendance]
) -> tuple[list[tuple[OdooAttendance | None, WantedAttendance]], list[OdooAttendance]]:
    """Which record becomes which attendance: the one with the same begin, else with the same end, else one that overlaps."""
    left, partner = list(records), dict[int, OdooAttendance]()
    tests: tuple[Callable[[OdooAttendance, WantedAttendance], bool], ...] = (
        lambda record, stay: record.begins == stay.begins,
        lambda record, stay: record.ends == stay.ends,
        lambda record, stay: max(record.begins, stay.begins) <= min(record.ends, stay.ends),
    )
    for test in tests:
        for number, stay in enumerate(wanted):
            if number not in partner and (found := next((record for record in left if test(record, stay)), None)):
                partner[number] = found
                left.remove(found)
    return [(partner.get(number), stay) for number, stay in enumerate(wanted)], left


def names(plan: AttendancePlan, ids: Mapping[int, tuple[int, ...]]) -> dict[Key, str]:
    """Odoo's name of each punch, "41:check_in"; '' of one that has no place. `ids`: of each wanted attendance by its number."""
    found: dict[Key, str] = {key: "" for key in plan.unpaired}
    for number, (_, stay) in enumerate(plan.pairs):
        if stay.begin.key:
            found[stay.begin.key] = f"{ids[number][0]}:check_in"
        if stay.end and stay.end.key:
            found[stay.end.key] = f"{ids[number][-1]}:check_out"
    return found
