"""A refusal that hits everybody, names that targets give, and targets that were renamed or removed: the courier with a scripted target."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from device.delivery.outcomes import Delivered, Failed, Refused
from device.storage.records import LastPunch
from device.storage.store import Store
from tests.device.delivery.scripted import Rule, Scripted, Stage, failing
from tests.device.fakes.terminal import START, courier, punch
from tests.refused import refused


@pytest.fixture(params=[1, 4], ids=["one lane", "four lanes"])
def stage(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Stage]:
    with ExitStack() as stack:
        yield Stage(tmp_path / "clockface.db", stack, request.param)


def test_what_is_sent_again_keeps_the_name_that_the_target_gave_it(stage: Stage) -> None:
    stage.target.rule = lambda event: Delivered("ok", reference=f"{event.kind}-{event.id}")
    [number] = stage.punches(0)
    stage.courier.drain()
    stage.store.correct(stage.people[0], number, LastPunch(START - 60, "out"), "wrong way round", "Bob")
    stage.courier.drain()
    stage.sent()
    assert stage.store.outbox.fill("payroll", START, again=True) == 2
    stage.target.rule = failing(number)
    stage.courier.drain()  # its attempt fails: the name is still known
    stage.clock.now += 100
    stage.target.rule = failing()
    stage.courier.drain()
    assert [event.reference for event in stage.target.sent] == ["correction-1"] * 3


def test_a_target_that_was_renamed_keeps_its_events_and_names(stage: Stage) -> None:
    store, ann = stage.store, stage.people[0]
    stage.target.rule = lambda event: Delivered("ok", reference=f"{event.kind}-{event.id}")
    first, second = stage.punches(0, 1)
    stage.courier.drain()
    third = stage.punches(2)[0]
    with refused("store.target_in_use", "[connectors.payroll]"):
        store.outbox.move("payroll", "hr")
    store.outbox.set_targets(["hr"])
    store.correct(ann, first, None, "was not her", "Bob")
    with refused("store.no_target"):
        store.outbox.move("payroll", "door")
    assert store.outbox.move("payroll", "hr") == 1
    assert [(target.connector, target.waiting) for target in store.outbox.summary()] == [("hr", 2)]
    renamed = Scripted("hr")
    with courier(stage.path, renamed, stage.settings, stage.clock) as made:
        made.drain()
    assert sorted((event.kind, event.id, event.reference) for event in renamed.sent) == [("correction", 1, "punch-1"), ("punch", third, None)]


def test_a_target_that_was_removed_can_be_forgotten(stage: Stage) -> None:
    stage.punches(0, 1)
    stage.target.rule = failing(1, 2, outcome=Failed("no network", whole_target=True))
    stage.courier.drain()
    with refused("store.target_in_use", "payroll is still configured"):
        stage.store.outbox.forget("payroll")
    stage.store.outbox.set_targets([])
    assert stage.store.outbox.forget("payroll") == 2
    assert stage.store.outbox.summary() == []


# the same refusal for everybody


def refusing(cause: str | None, *people: str) -> Rule:
    return lambda event: Refused(f"no {event.code}", cause) if not people or event.code in people else Delivered("ok")


def crowd(stage: Stage, count: int) -> list[int]:
    with Store.open(stage.path) as store:
        return [punch(store, store.add_person(f"P{number}", f"P{number}").id, START + number).id for number in range(count)]


def test_the_same_refusal_for_several_people_makes_the_target_wait_and_is_told_once(stage: Stage) -> None:
    numbers = crowd(stage, 40)
    stage.target.rule = refusing("417")
    for _ in range(6):
        stage.courier.drain()
        stage.clock.now += 5000
    assert stage.store.outbox.dead_letters() == []
    assert len(stage.courier.said) == 1 and "it refuses several people in a row alike (417): no P" in stage.courier.said[0]  # type: ignore[attr-defined]
    assert len(stage.sent()) < 40  # it is not asked for everybody
    stage.target.rule = failing()
    for _ in range(3):
        stage.courier.drain()
        stage.clock.now += 10_000
    assert sorted(stage.sent()) == numbers and stage.store.outbox.dead_letters() == []
    assert stage.store.outbox.summary()[0].failures == 0


def test_refusals_that_came_one_by_one_are_taken_back(stage: Stage) -> None:
    stage.target.rule = refusing("417")
    for person in range(3):
        punch(stage.store, stage.people[person], START + person)
        stage.courier.drain()
        stage.clock.now += 60
    assert stage.store.outbox.dead_letters() == [] and stage.store.outbox.summary()[0].waiting == 3


@pytest.mark.parametrize("cause", ["417", None])
def test_refusals_of_some_do_not_hold_up_the_others(stage: Stage, cause: str | None) -> None:
    numbers = crowd(stage, 12)
    stage.target.rule = refusing(cause, "P0", "P1", "P2", "P3")
    for _ in range(4):
        stage.courier.drain()
        stage.clock.now += 10_000
    assert sorted(set(stage.sent())) == numbers
    assert [letter.code for letter in stage.store.outbox.dead_letters()] == ["P0", "P1", "P2", "P3"]
    assert stage.store.outbox.summary()[0].waiting == 0
