"""The schedule: rules of the site, shifts, plans, assignments, holidays, absences, locked periods (docs/timesheets.md).

Shifts and plans are never changed: add new ones and assign them from a day on. REF is an id, a code or an exact name.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Callable
from datetime import date

from device.attendance import calendars, planning
from device.attendance.imports import schedule_import
from device.attendance.planning import Planning
from device.attendance.plans import PlanDay
from device.attendance.review import Desk
from device.attendance.timesheet.absences import ABSENCES, Absence, Employment
from device.attendance.timesheet.accounting import Accounting, from_texts
from device.attendance.timesheet.shifts import Shift
from device.attendance.timesheet.worksite import PAIRINGS, ROUNDED, ROUNDING_MODES, ROUNDINGS, TimesheetError
from device.commands import list_import
from device.commands.database import open_store
from device.commands.options import add_config, add_database, add_json
from device.storage.store import Person, Store, StoreError
from device.system.clock import iso_utc

BY = "schedule"  # the author in the audit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, (summary, add_own) in ACTIONS.items():
        action = actions.add_parser(name, help=summary, description=f"{summary.capitalize()}.")
        add_database(action)
        add_config(action)
        add_own(action)


def _add_nothing(action: argparse.ArgumentParser) -> None:
    """For an action without further options."""


def _add_site(action: argparse.ArgumentParser) -> None:
    action.add_argument("--zone", help="time zone, such as Europe/Berlin")
    action.add_argument("--day-start", metavar="HH:MM", help="when a day begins")
    action.add_argument("--longest-stay-hours", type=int, metavar="H", help="punches that are further apart belong to different stays")
    action.add_argument("--repeat-minutes", type=int, metavar="M", help="the same direction again within this time counts as one punch")
    action.add_argument("--rounding-minutes", type=int, choices=ROUNDINGS, help="round to a multiple")
    action.add_argument("--rounding", choices=tuple(ROUNDING_MODES), help="; ".join(f"{mode}: {words}" for mode, words in ROUNDING_MODES.items()))
    action.add_argument("--rounding-of", choices=tuple(ROUNDED), help="round each punch, or the total of each day")
    action.add_argument("--check-out", metavar="HH:MM", help="a stay without a departure ends then, and the day is flagged; 'none'")
    action.add_argument("--minimum-breaks", metavar="PAIRS", help="work:break in minutes, 360:30,540:45; 'none'")
    action.add_argument("--minimum-break-part", type=int, metavar="M", help="shorter breaks do not count towards the minimum breaks")
    action.add_argument("--rest-hours", type=int, metavar="H", help="a punch without direction after a longer gap begins a new stay")
    action.add_argument("--pairing", choices=tuple(PAIRINGS), help="every punch counts, or a day's first and last")
    action.add_argument("--four-eyes", action=argparse.BooleanOptionalAction, help="nobody may approve their own request")


def _add_accounting(action: argparse.ArgumentParser) -> None:
    for rule in dataclasses.fields(Accounting):
        choices = rule.metadata["choices"]
        action.add_argument(f"--{rule.name.replace('_', '-')}", metavar=None if choices else "V", choices=tuple(choices) or None, help=rule.metadata["words"])


def _add_shift(action: argparse.ArgumentParser) -> None:
    action.add_argument("name")
    action.add_argument("--from", dest="start", metavar="HH:MM", help="start, or start of the core time")
    action.add_argument("--to", dest="end", metavar="HH:MM", help="end; before the start: on the next day")
    action.add_argument("--break", dest="break_minutes", type=int, default=0, metavar="M", help="its break; what is not taken of it is deducted")
    action.add_argument("--break-from", metavar="HH:MM", help="the break lies between this time ...")
    action.add_argument("--break-to", metavar="HH:MM", help="... and this one (default: at any time)")
    action.add_argument("--break-punched", action="store_true", help="only a break that was punched counts, nothing is deducted")
    action.add_argument("--break-paid", action="store_true", help="the break counts as work")
    action.add_argument("--grace", type=int, default=0, metavar="M", help="minutes that are neither late nor early")
    action.add_argument("--early-grace", type=int, metavar="M", help="another grace for leaving early")
    action.add_argument("--count-before", type=int, default=0, metavar="M", help="who comes at most so long before the start is counted from the start")
    action.add_argument("--count-after", type=int, default=0, metavar="M", help="who leaves at most so long after the end is counted until the end")
    action.add_argument("--check-out", metavar="HH:MM", help="instead of the site's: a stay without a departure ends then, and the day is flagged")
    action.add_argument("--half-day", type=int, default=0, metavar="M", help="less minutes of work are half a day")
    action.add_argument("--absent", type=int, default=0, metavar="M", help="less minutes of work are absence")
    action.add_argument("--flexible", type=int, metavar="M", help="minutes of work at any time: the shift is flexible")


def _add_plan(action: argparse.ArgumentParser) -> None:
    action.add_argument("name")
    action.add_argument("shifts", nargs="+", help="one name of a shift per day; MORNING+EVENING for two on one day, a dot for a free day")
    action.add_argument("--anchor", required=True, metavar="D", help="a day the first entry falls on, a Monday for plans of weeks")
    action.add_argument("--pairing", choices=tuple(PAIRINGS), help="instead of the site's: every punch counts, or a day's first and last")


def _add_assign(action: argparse.ArgumentParser) -> None:
    action.add_argument("ref", metavar="REF")
    action.add_argument("plan", help="name of a plan; a dot for none")
    action.add_argument("--since", required=True, metavar="D")


def _add_absence(action: argparse.ArgumentParser) -> None:
    action.add_argument("ref", metavar="REF")
    action.add_argument("first", metavar="FIRST")
    action.add_argument("last", metavar="LAST")
    action.add_argument("kind", choices=tuple(ABSENCES))
    action.add_argument("--half", choices=("first", "second"), help="half of what is due on one day")
    action.add_argument("--from", dest="since", metavar="HH:MM", help="only from this time of one day ...")
    action.add_argument("--to", dest="until", metavar="HH:MM", help="... to this one")


def _add_shorten(action: argparse.ArgumentParser) -> None:
    _add_id(action)
    action.add_argument("last", metavar="LAST", help="its new last day")


def _add_employment(action: argparse.ArgumentParser) -> None:
    action.add_argument("ref", metavar="REF")
    action.add_argument("--first", metavar="D", help="first day of employment; a dot for none")
    action.add_argument("--last", metavar="D", help="last day; a dot for none")


def _add_holiday(action: argparse.ArgumentParser) -> None:
    _add_day(action)
    action.add_argument("name")


def _add_day(action: argparse.ArgumentParser) -> None:
    action.add_argument("day", metavar="D")
    action.add_argument("--calendar", default="", metavar="NAME", help="of this calendar (default: the site's own)")


def _add_period(action: argparse.ArgumentParser) -> None:
    action.add_argument("period", metavar="PERIOD", help="2026-11, a day of a pay period, or 2026-10-26..2026-11-25")


def _add_calendar(action: argparse.ArgumentParser) -> None:
    action.add_argument("name", help="the calendar; a dot for the one that counts without this")
    whose = action.add_mutually_exclusive_group(required=True)
    whose.add_argument("--person", metavar="REF")
    whose.add_argument("--plan", metavar="NAME")


def _add_list(action: argparse.ArgumentParser) -> None:
    action.add_argument("kind", choices=tuple(schedule_import.COLUMNS), help="what the list holds")
    list_import.add_file(action, "columns code, plan, since; code, first, last, kind; or day, name; holidays also as a calendar (.ics)")
    action.add_argument("--calendar", default="", metavar="NAME", help="of holidays: into this calendar (default: the site's own)")
    action.add_argument("--region", default="", metavar="NAME", help="of a calendar that has days of single regions: take those of this one, too")
    add_json(action)


def _add_id(action: argparse.ArgumentParser) -> None:
    action.add_argument("id", type=int)


ACTIONS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None]]] = {  # name -> one line, what adds its own options
    "show": ("print everything as JSON", _add_nothing),
    "site": ("change the rules of the site", _add_site),
    "accounting": ("change the pay period and the rules for sums", _add_accounting),
    "shift": ("add a shift", _add_shift),
    "plan": ("add a plan: shifts that follow each other, day by day", _add_plan),
    "assign": ("let somebody work a plan from a day on", _add_assign),
    "absence": ("enter an absence", _add_absence),
    "cancel-absence": ("cancel an absence, or what lies after a locked period", _add_id),
    "shorten-absence": ("let an absence end earlier", _add_shorten),
    "employment": ("state somebody's first and last day", _add_employment),
    "holiday": ("name a holiday", _add_holiday),
    "remove-holiday": ("remove a holiday", _add_day),
    "calendar": ("let a calendar of holidays count for a person or the people of a plan", _add_calendar),
    "import": ("enter many assignments, absences or holidays from a list, all or none", _add_list),
    "lock": ("lock a period: no correction changes it any more", _add_period),
    "unlock": ("lift a lock", _add_id),
}


def run(args: argparse.Namespace) -> int:
    with open_store(args, BY, must_exist=args.action != "site") as store:
        if args.action == "import":
            return _import(store, args)
        print(_act(store, Planning(store), args))
    return 0


def _import(store: Store, args: argparse.Namespace) -> int:
    listed = schedule_import.read(args.kind, args.file, Planning(store).site().day_of(int(time.time() // 60)), args.region)
    return list_import.say(schedule_import.carry_out_list(store, listed, BY, check=args.check, order=args.order, calendar=args.calendar), listed.told, args)


def _act(store: Store, planned: Planning, args: argparse.Namespace) -> str:
    """Carry out the action; returns the message."""
    day = planning.day
    if args.action == "show":
        return _shown(store, planned)
    if args.action == "site":
        return _set_site(planned, args)
    if args.action == "accounting":
        return _set_accounting(planned, args)
    if args.action == "shift":
        return f"shift {planned.add_shift(_shift(args), BY)} added"
    if args.action == "plan":
        numbers = {shift.name: number for number, shift in planned.shifts().items()}
        cycle = [_plan_day(numbers, text) for text in args.shifts]
        return f"plan {planned.add_plan(args.name, cycle, day(args.anchor), BY, args.pairing)} added"
    if args.action == "assign":
        numbers = {plan.name: number for number, plan in planned.plans().items()}
        person = store.person(args.ref)
        planned.assign(person.id, None if args.plan == "." else _named(numbers, args.plan, "plan"), day(args.since), BY)
        return f"{person.name} works {args.plan} from {args.since} on"
    if args.action == "absence":
        since, until = (planning.clock(text) if text else None for text in (args.since, args.until))
        number = planned.add_absence(store.person(args.ref).id, Absence(day(args.first), day(args.last), args.kind, args.half, since, until), BY)
        return f"absence {number} entered"
    if args.action == "cancel-absence":
        stays = planned.cancel_absence(args.id, BY)
        return f"absence {args.id} ends on {stays}, with the locked period" if stays else f"absence {args.id} cancelled"
    if args.action == "shorten-absence":
        planned.shorten_absence(args.id, day(args.last), BY)
        return f"absence {args.id} ends on {args.last}"
    if args.action == "employment":
        return _set_employment(planned, store.person(args.ref), args)
    if args.action == "holiday":
        calendars.set_day(store, day(args.day), args.name, args.calendar, BY)
        return f"{args.day} is a holiday"
    if args.action == "remove-holiday":
        calendars.remove_day(store, day(args.day), args.calendar, BY)
        return f"{args.day} is no holiday any more"
    if args.action == "calendar":
        return _choose_calendar(store, planned, args)
    if args.action == "lock":
        days = planned.site().accounting.days(args.period)
        return f"locked; lift it by `unlock {Desk(store).lock(days[0], days[-1], BY).id}`"
    Desk(store).lift(args.id, BY)
    return f"lock {args.id} lifted"


def _plan_day(numbers: dict[str, int], text: str) -> PlanDay:
    """ "." -> a free day, "early" -> its shift, "morning+evening" -> both."""
    if text in numbers or "+" not in text:
        return None if text == "." else _named(numbers, text, "shift")
    return tuple(_named(numbers, name, "shift") for name in text.split("+"))


def _named(numbers: dict[str, int], name: str, what: str) -> int:
    if name not in numbers:
        raise StoreError(f"there is no {what} named {name[:80]!r}; there are: {', '.join(numbers) or 'none'}", code="store.no_such")
    return numbers[name]


def _shift(args: argparse.Namespace) -> Shift:
    names = ("start", "end", "break_from", "break_to", "check_out")
    times = {name: planning.clock(text) if (text := getattr(args, name)) else None for name in names}
    return Shift(
        args.name, break_minutes=args.break_minutes, minutes=args.flexible, grace_minutes=args.grace, break_automatic=not args.break_punched,
        break_paid=args.break_paid, early_grace_minutes=args.early_grace, before_minutes=args.count_before, after_minutes=args.count_after,
        half_day_minutes=args.half_day, absent_minutes=args.absent, **times,
    )  # fmt: skip


def _choose_calendar(store: Store, planned: Planning, args: argparse.Namespace) -> str:
    name = "" if args.name == "." else args.name
    if args.person:
        calendars.choose(store, name, BY, person_id=store.person(args.person).id)
    else:
        numbers = {plan.name: number for number, plan in planned.plans().items()}
        calendars.choose(store, name, BY, plan_id=_named(numbers, args.plan, "plan"))
    return f"{args.person or args.plan}: {name or 'no calendar of their own'}"


def _set_employment(planned: Planning, person: Person, args: argparse.Namespace) -> str:
    before = planned.employment(person.id)
    given = [(args.first, before.first), (args.last, before.last)]
    first, last = (known if text is None else None if text == "." else planning.day(text) for text, known in given)
    planned.set_employment(person.id, Employment(first, last), BY)
    return f"{person.name} is employed from {first or 'the beginning'} to {last or 'further notice'}"


def _set_site(planned: Planning, args: argparse.Namespace) -> str:
    keys = (
        "zone", "longest_stay_hours", "repeat_minutes", "rounding_minutes", "four_eyes", "rest_hours", "pairing", "minimum_break_part", "rounding",
        "rounding_of",
    )  # fmt: skip
    given = {key: value for key in keys if (value := getattr(args, key)) is not None}
    if args.day_start is not None:
        given["day_start"] = planning.clock(args.day_start)
    if args.check_out is not None:
        given["check_out"] = None if args.check_out == "none" else planning.clock(args.check_out)
    if args.minimum_breaks is not None:
        given["minimum_breaks"] = planning.breaks(args.minimum_breaks)
    if not given:
        raise TimesheetError("nothing to change; `schedule site --help` lists what can be")
    planned.set_site(dataclasses.replace(planned.site(), **given), BY)
    return f"changed: {', '.join(given)}"


def _set_accounting(planned: Planning, args: argparse.Namespace) -> str:
    given = {rule.name: text for rule in dataclasses.fields(Accounting) if (text := getattr(args, rule.name)) is not None}
    if not given:
        raise TimesheetError("nothing to change; `schedule accounting --help` lists what can be")
    site = planned.site()
    planned.set_site(dataclasses.replace(site, accounting=from_texts(site.accounting, given)), BY)
    return f"changed: {', '.join(given)}"


def _late(store: Store, lock_id: int) -> list[dict[str, object]]:
    return [{**dataclasses.asdict(punch), "occurred_at": iso_utc(punch.occurred_at)} for punch in Desk(store).late_punches(lock_id)]


def _shown(store: Store, planned: Planning) -> str:
    people = {person.id: planned.schedules(person.id)[person.id] for person in store.people(active_only=True)}
    absences = [{"id": row.id, "person_id": row.person_id, **dataclasses.asdict(row.absence)} for row in planned.absences(date.min, date.max)]
    late = Desk(store).came_later()
    state = {
        "site": dataclasses.asdict(planned.site()),
        "shifts": {number: dataclasses.asdict(shift) for number, shift in planned.shifts().items()},
        "plans": [dataclasses.asdict(plan) for plan in planned.plans().values()],
        "planned_since": {number: [a.since for a in schedule.assignments] for number, schedule in people.items() if schedule.assignments},
        "holidays": {day.isoformat(): name for day, name in planned.holidays().items()},
        "calendars": {name: {day.isoformat(): words for day, words in days.items()} for name, days in planned.calendars().further.items()},
        "employments": {number: [dataclasses.asdict(e) for e in schedule.employments] for number, schedule in people.items() if schedule.employments},
        "absences": absences,
        "locks": [
            {**dataclasses.asdict(lock), "people_with_late_punches": late.get(lock.id, 0), "late_punches": _late(store, lock.id) if lock.id in late else []}
            for lock in Desk(store).locks()
        ],
    }
    return json.dumps(state, ensure_ascii=False, indent=1, default=str)
