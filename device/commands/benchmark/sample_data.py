"""An invented site: people, shifts and weeks of punches, for measuring and for pictures. Nobody in it exists."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, time, timedelta
from pathlib import Path

from sqlite_utils import Database

from device.attendance.planning import Planning
from device.attendance.review import Desk
from device.attendance.timesheet.absences import Absence
from device.attendance.timesheet.shifts import Shift
from device.attendance.timesheet.worksite import Site
from device.storage import hash_chain, refusals
from device.storage.corrections import CorrectionDraft
from device.storage.records import Direction, LastPunch, PunchDraft
from device.storage.refusals import Refusal
from device.storage.store import Store
from device.system.clock import ClockState, to_ms

GIVEN = (
    "Ada", "Alva", "Amos", "Anouk", "Aron", "Bela", "Bente", "Cato", "Cleo", "Dara", "Dilan", "Edda", "Eino", "Elif", "Enno", "Esra", "Fenja", "Finn",
    "Gita", "Hilde", "Ida", "Ilya", "Ines", "Iven", "Jale", "Jona", "Juna", "Kaya", "Kian", "Lale", "Leevi", "Liv", "Luan", "Maja", "Malik", "Mira",
    "Nadim", "Nele", "Noor", "Odin", "Oona", "Pia", "Quirin", "Rana", "Remo", "Runa", "Sami", "Selma", "Sina", "Tamo", "Tilda", "Uma", "Veit",
    "Wanja", "Yara", "Zeno",
)  # fmt: skip
FAMILY = (
    "Adler", "Bakke", "Brand", "Calder", "Cordes", "Dahl", "Dorn", "Ekker", "Falk", "Fenn", "Garde", "Grell", "Haan", "Hasler", "Imker", "Jansa",
    "Jorda", "Kamer", "Kolb", "Korin", "Lenz", "Lind", "Maas", "Marlo", "Nader", "Nolte", "Olden", "Orth", "Pahl", "Penn", "Quell", "Rademar",
    "Reuss", "Rohde", "Sander", "Selke", "Tarn", "Thoma", "Ulmen", "Vahl", "Varga", "Weller", "Wirth", "Yilda", "Zander", "Zobel",
)  # fmt: skip
THRESHOLD = 0.417
MODEL = "0" * 64
HOLIDAY_AGO = 8  # days


@dataclass(frozen=True)
class SamplePunch:
    """A punch to generate."""

    person: int
    at: int  # moment
    direction: Direction


def fill(path: Path, people: int, punches: int, now: float, zone: str = "Europe/Berlin", seed: int = 1) -> None:
    """Make a database with `people` people and about `punches` punches, the last ones shortly before `now` (s since the epoch)."""
    dice, site = random.Random(seed), Site(zone, minimum_breaks=((360, 30), (540, 45)))
    with Store.open(path, actor="invented") as store:
        with store.transaction() as db:
            _people(db, people, dice, now)
        crews = _plans(store, people, site, site.day_of(int(now // 60)))
        stamps = _stamps(crews, punches, site, now, dice)
        with store.transaction() as db:
            living = random.Random(seed)
            for stamp in stamps:
                _record(db, stamp, dice, 1 - min(1.0, living.expovariate(20)))
            for _ in range(max(10, punches // 200)):
                sighted = now - dice.random() * 20 * 86400
                sql = "INSERT INTO sightings (occurred_at, count, best_score) VALUES (?, 1, ?)"
                db.execute(sql, [to_ms(sighted), min(0.41, max(-0.2, dice.gauss(0.19, 0.08)))])
            for _ in range(max(3, punches // 500)):
                refusals.add(db, Refusal(now - living.random() * 20 * 86400, "picture", min(0.45, living.expovariate(30)), living.randint(5, 60)))
        _requests(store, stamps, now, dice)


def _people(db: Database, count: int, dice: random.Random, now: float) -> None:
    names = [f"{given} {family}" for given in GIVEN for family in FAMILY]
    dice.shuffle(names)
    rows = [(names[number % len(names)], f"E{number + 1}", to_ms(now - 400 * 86400)) for number in range(count)]
    db.conn.executemany("INSERT INTO people (name, code, created_at) VALUES (?, ?, ?)", rows)


def _plans(store: Store, people: int, site: Site, today: date) -> dict[int, Shift]:
    """Assign shifts: three of four people work by day or flexibly, the others early, late and at night. Returns person -> shift of a weekday."""
    planning, monday = Planning(store), today - timedelta(days=today.weekday() + 70)
    planning.set_site(site, "invented")
    shifts = [
        Shift("Day", time(8), time(16, 30), 30, None, 5),
        Shift("Office", time(10), time(15), 0, 480, 5),
        Shift("Early", time(6), time(14), 30, None, 5),
        Shift("Late", time(14), time(22), 30, None, 5),
        Shift("Night", time(22), time(6), 30, None, 5),
    ]
    numbers = [planning.add_shift(shift, "invented") for shift in shifts]
    plans = [planning.add_plan(shift.name, [number] * 5 + [None, None], monday, "invented") for shift, number in zip(shifts, numbers, strict=True)]
    kinds = [0, 0, 0, 1, 1, 1, 2, 3, 0, 1, 2, 4]
    crews = {person: kinds[person % len(kinds)] for person in range(1, people + 1)}
    with store.transaction() as db:
        rows = [(person, plans[kind], monday.isoformat()) for person, kind in crews.items()]
        db.conn.executemany("INSERT INTO assignments (person_id, plan_id, since) VALUES (?, ?, ?)", rows)
    for person in range(7, people + 1, 29):
        first, last = today - timedelta(days=person % 3), today + timedelta(days=person % 4)
        planning.add_absence(person, Absence(first, last, ("vacation", "sick")[person % 2]), "invented")
    planning.set_holiday(today - timedelta(days=HOLIDAY_AGO), "Founders' day", "invented")
    return {person: shifts[kind] for person, kind in crews.items()}


def _stamps(crews: dict[int, Shift], count: int, site: Site, now: float, dice: random.Random) -> list[SamplePunch]:
    """Working days from today backwards until there are enough punches; in chronological order."""
    found: list[SamplePunch] = []
    day, latest = site.day_of(int(now // 60)), int(now // 60)
    today, holiday = day, day - timedelta(days=HOLIDAY_AGO)
    while len(found) < count:
        if day.weekday() < 5 and day != holiday:
            for person, shift in crews.items():
                if dice.random() > 0.015 and not (person % 29 == 7 and (today - day).days <= person % 3):
                    found += [stamp for stamp in _one_day(person, shift, day, site, dice) if stamp.at < latest]
        day -= timedelta(days=1)
    return sorted(found, key=lambda stamp: stamp.at)[-count:]


def _one_day(person: int, shift: Shift, day: date, site: Site, dice: random.Random) -> Iterator[SamplePunch]:
    start, end = shift.span(day, site) or (0, 0)
    come = start + round(dice.gauss(-70, 35)) if shift.flexible else start + round(dice.gauss(-4, 5)) + (dice.random() < 0.05) * dice.randint(8, 55)
    leave = come + 510 + round(dice.gauss(8, 25)) if shift.flexible else end + round(abs(dice.gauss(0, 9)))
    yield SamplePunch(person, come, "in")
    if dice.random() < 0.35:
        pause = come + round(dice.gauss(245, 20))
        yield SamplePunch(person, pause, "break_start")
        yield SamplePunch(person, pause + dice.randint(25, 45), "break_end")
    if dice.random() > 0.015:
        yield SamplePunch(person, leave, "out")


def _record(db: Database, stamp: SamplePunch, dice: random.Random, liveness: float) -> None:
    clock = ClockState(dice.random() > 0.002, "invented", stamp.at * 60_000)
    at, device = stamp.at * 60.0 + dice.randrange(60), dice.choices(("Front door", "Workshop", "Gate 2"), (6, 3, 1))[0]
    if dice.random() < 0.02:
        draft = PunchDraft(stamp.person, at, stamp.direction, device, "pin", clock)
    else:
        score = min(0.97, max(THRESHOLD + 0.004, dice.gauss(0.72, 0.085)))
        draft = PunchDraft(stamp.person, at, stamp.direction, device, "face", clock, score, score - 0.25, THRESHOLD, liveness, MODEL)
    hash_chain.append(db, "punches", draft.row())


def _requests(store: Store, stamps: list[SamplePunch], now: float, dice: random.Random) -> None:
    """Requests for corrections, some of them decided."""
    desk = Desk(store, now)
    reasons = ("Forgot to check out", "Worked at the other site", "Left for the doctor at noon", "The terminal was off")
    outs = [(number, stamp) for number, stamp in enumerate(stamps, 1) if stamp.direction == "out"][-400:]
    for count, (number, stamp) in enumerate(dice.sample(outs, min(7, len(outs)))):
        moved = LastPunch((stamp.at - dice.randint(5, 60)) * 60.0, "out")
        request = desk.request(CorrectionDraft(stamp.person, number, None, moved, reasons[count % 4]), "Front office")
        if count < 3:
            desk.decide(request.id, count != 1, "Head of HR", ("", "No, the door log says otherwise", "")[count])
