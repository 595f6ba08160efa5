"""Odoo's attendances follow from the punches that count: in any order of corrections, after kills, beside what somebody did in Odoo."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from device.storage.records import LastPunch
from device.storage.store import Store
from tests.device.delivery.test_odoo import IN1, OUT1, drained
from tests.device.fakes import site
from tests.device.fakes.odoo import Odoo
from tests.device.fakes.site import serving
from tests.device.fakes.terminal import punch


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "clockface.db") as opened:
        opened.outbox.set_targets(["hr"])
        for name, code in (("Ann", "E1"), ("Bob", "E2")):
            opened.add_person(name, code)
        yield opened


def at(*hours: float) -> list[float]:
    return [IN1 + (hour - 7) * 3600 for hour in hours]


def attendances(*pairs: tuple[str, Any]) -> list[tuple[int, str, Any]]:
    return [(7, f"2026-11-23 {begin}:00", end and f"2026-11-23 {end}:00") for begin, end in pairs]


@pytest.mark.parametrize("order", list(itertools.permutations(range(2))))
def test_the_middle_pair_is_taken_back_in_any_order_and_comes_back(store: Store, any_odoo: Odoo, order: tuple[int, ...]) -> None:
    """8-12 and 13-17 become 8-17, and again 8-12 and 13-17."""
    numbers = [punch(store, 1, moment, way).id for moment, way in zip(at(8, 12, 13, 17), ["in", "out"] * 2, strict=True)]
    drained(store, any_odoo)
    for one in order:
        store.correct(1, numbers[1 + one], None, "was not her", "Bob")
        drained(store, any_odoo)
    assert any_odoo.stays() == attendances(("08:00", "17:00"))
    for one in order:
        store.correct(1, numbers[1 + one], LastPunch(*[at(12, 13)[one], ["out", "in"][one]]), "it was her", "Bob")  # type: ignore[arg-type]
        drained(store, any_odoo)
    assert any_odoo.stays() == attendances(("08:00", "12:00"), ("13:00", "17:00"))
    assert store.outbox.dead_letters() == []


@pytest.mark.parametrize("seed", range(8))
def test_the_end_is_that_of_a_fresh_start(store: Store, odoo: Odoo, seed: int) -> None:
    """Four working days, corrected at random and delivered in between, against an Odoo that is given everything at the end."""
    chance = random.Random(seed)
    numbers = []
    for moment in [at(hour + 24 * day)[0] for day in range(4) for hour in (8, 12, 13, 17)]:
        way = ("in", "out")[len(numbers) % 2]
        numbers.append((punch(store, 1, moment + chance.randrange(1200), way).id, moment))
        if chance.random() < 0.5:
            number, of = chance.choice(numbers)
            instead = None if chance.random() < 0.5 else LastPunch(of + chance.randrange(-5400, 5400), chance.choice(["in", "out"]))  # type: ignore[arg-type]
            store.correct(1, number, instead, "wrong", "Bob")
        if chance.random() < 0.5:
            drained(store, odoo, rounds=9)
    drained(store, odoo, rounds=9)
    with serving(Odoo()) as fresh:
        with store.transaction() as db:
            db.execute("UPDATE outbox SET state = 'waiting', reference = NULL, tried_at = NULL, delivered_at = NULL")
        drained(store, fresh, rounds=9)
        assert odoo.stays() == fresh.stays() and len(fresh.stays()) > 3


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_corrections_end_the_same_in_any_order(store: Store, odoo: Odoo, order: tuple[int, ...]) -> None:
    """A stay taken back, its punches moved to other times and sides: one result, however the corrections arrive."""
    first, second, third, fourth = (punch(store, 1, moment, way).id for moment, way in zip(at(8, 12, 13, 17), ["in", "out"] * 2, strict=True))
    drained(store, odoo)
    changes = [(first, LastPunch(at(7.5)[0], "in")), (second, None), (third, LastPunch(at(16)[0], "out"))]
    for one in order:
        store.correct(1, changes[one][0], changes[one][1], "wrong", "Bob")
        drained(store, odoo)
    store.correct(1, fourth, None, "was not her", "Bob")
    drained(store, odoo)
    assert odoo.stays() == attendances(("07:30", "16:00"))


def test_a_wrong_stay_is_taken_back_in_before_out(store: Store, odoo: Odoo) -> None:
    numbers = [punch(store, 1, IN1, "in").id, punch(store, 1, OUT1, "out").id]
    drained(store, odoo)
    for number in numbers:
        store.correct(1, number, None, "was not her", "Bob")
        drained(store, odoo)
    assert (odoo.stays(), store.outbox.dead_letters()) == ([], [])


def test_a_check_out_long_after_the_check_in_does_not_belong_to_it(store: Store, odoo: Odoo) -> None:
    punch(store, 1, IN1, "in")
    punch(store, 1, IN1 + 17 * 3600, "out")
    punch(store, 1, IN1 + 40 * 3600, "in")
    drained(store, odoo)
    assert odoo.stays() == [(7, "2026-11-23 07:00:00", "2026-11-23 07:00:00"), (7, "2026-11-24 23:00:00", False)]
    assert "no attendance is open at 2026-11-24 00:00:00 UTC" in str(store.outbox.dead_letters()[0].answer)
    store.outbox.fill("hr", 0.0, again=True)
    store.outbox.replay()
    drained(store, odoo, longest_hours=20)
    assert odoo.stays()[0] == (7, "2026-11-23 07:00:00", "2026-11-24 00:00:00")


def test_what_somebody_did_in_odoo_is_left_alone(store: Store, odoo: Odoo) -> None:
    numbers = [punch(store, 1, moment, way).id for moment, way in zip(at(8, 12), ["in", "out"], strict=True)]
    odoo.attendances[7] = {"id": 7, "employee_id": 7, "check_in": "2026-11-23 13:00:00", "check_out": "2026-11-23 14:00:00"}
    drained(store, odoo)
    odoo.attendances[41]["check_in"] = "2026-11-23 07:45:00"  # by hand
    store.correct(1, numbers[0], None, "was not her", "Bob")
    store.correct(1, numbers[1], LastPunch(at(12.5)[0], "out"), "the clock was slow", "Bob")
    drained(store, odoo, rounds=2)
    assert odoo.stays() == attendances(("07:45", "12:30"), ("13:00", "14:00"))
    assert [str(letter.answer).partition(";")[0] for letter in store.outbox.dead_letters()] == ["attendance 41 was changed in Odoo since it was sent"]


def test_a_record_removed_in_odoo_is_not_made_again_by_a_neighbour(store: Store, odoo: Odoo) -> None:
    for moment, way in zip(at(8, 12), ["in", "out"], strict=True):
        punch(store, 1, moment, way)
    drained(store, odoo)
    del odoo.attendances[41]
    punch(store, 1, at(13)[0], "in")
    drained(store, odoo)
    assert odoo.stays() == attendances(("13:00", False))
    store.outbox.fill("hr", 0.0, again=True)  # this asks for it
    drained(store, odoo)
    assert odoo.stays() == attendances(("08:00", "12:00"), ("13:00", False))


def test_a_stay_that_the_server_splits_at_midnight(store: Store, odoo: Odoo) -> None:
    odoo.splits = True
    night = [punch(store, 1, moment, way).id for moment, way in zip(at(22, 30), ["in", "out"], strict=True)]
    drained(store, odoo)
    split = [(7, "2026-11-23 22:00:00", "2026-11-23 23:59:59"), (7, "2026-11-24 00:00:00", "2026-11-24 06:00:00")]
    assert odoo.stays() == split
    store.outbox.fill("hr", 0.0, again=True)
    punch(store, 1, at(31)[0], "in")
    drained(store, odoo)
    assert odoo.stays() == [*split, (7, "2026-11-24 07:00:00", False)]
    store.correct(1, night[1], LastPunch(at(29)[0], "out"), "the clock was fast", "Bob")
    drained(store, odoo)
    assert odoo.stays()[:2] == [split[0], (7, "2026-11-24 00:00:00", "2026-11-24 05:00:00")]
    for number in night:
        store.correct(1, number, None, "was not her", "Bob")
        drained(store, odoo)
    assert odoo.stays() == [(7, "2026-11-24 07:00:00", False)] and store.outbox.dead_letters() == []


def test_archived_employees_and_those_out_of_reach(store: Store, any_odoo: Odoo) -> None:
    any_odoo.employees[0]["active"] = False
    any_odoo.foreign.add(8)
    punch(store, 2, IN1, "in")
    punch(store, 1, IN1, "in")
    drained(store, any_odoo)
    assert any_odoo.stays() == attendances(("07:00", False))
    assert "AccessError" in str(store.outbox.dead_letters()[0].answer)


def test_a_kill_between_two_calls_is_mended(store: Store, odoo: Odoo) -> None:
    """Answers are lost at each call of a correction that takes three: the end is the same."""
    for lost in range(1, 8):
        numbers = [punch(store, 1, moment + lost * 86_400, way).id for moment, way in zip(at(8, 12, 13, 17), ["in", "out"] * 2, strict=True)]
        drained(store, odoo)
        for number in (numbers[2], numbers[1]):
            store.correct(1, number, None, "was not her", "Bob")
            odoo.faults.extend([lambda handler: site.GO_ON] * lost + [site.taken_but_unanswered])
            drained(store, odoo, rounds=20)
            odoo.faults.clear()
        assert odoo.stays()[lost - 1 :] == [(7, f"2026-11-{23 + lost} 08:00:00", f"2026-11-{23 + lost} 17:00:00")], lost
    assert store.outbox.dead_letters() == []
