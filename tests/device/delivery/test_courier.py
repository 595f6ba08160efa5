"""The courier's rules, with a target that answers as the test says: order, waits, outages, corrections."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from device.config import OutboxSettings
from device.delivery.courier import Courier
from device.delivery.outcomes import Delivered, Failed, Outcome, Refused
from device.storage import corrections
from device.storage.corrections import CorrectionDraft
from device.storage.events import Event
from device.storage.records import LastPunch
from device.storage.schema import tables
from device.storage.store import Store
from tests.device.delivery.scripted import Scripted, Stage, failing
from tests.device.fakes.terminal import START, courier, punch, states
from tests.refused import refused

WEEKS = 21 * 86_400


def test_everything_due_is_delivered_once(stage: Stage) -> None:
    numbers = stage.punches(0, 1, 0, 2, 1)
    assert stage.courier.drain() == 5
    assert sorted(stage.sent()) == numbers
    assert stage.courier.drain() == 0 and stage.sent() == []
    assert {state for _, state in states(stage.store)} == {"delivered"}
    health = stage.store.outbox.summary()[0]
    assert (health.waiting, health.dead, health.last_delivered_at, health.failures) == (0, 0, stage.clock.now, 0)


def test_one_person_is_delivered_in_order(stage: Stage) -> None:
    stage.punches(*[number % 3 for number in range(60)])
    stage.courier.drain()
    for person in stage.people:
        numbers = [event.id for event in stage.target.sent if event.person_id == person]
        assert numbers == sorted(numbers) and len(numbers) == 20


def test_a_waiting_punch_holds_back_only_its_own_person(stage: Stage) -> None:
    first, second, third, fourth = stage.punches(0, 0, 1, 0)
    stage.target.rule = failing(first)
    stage.courier.drain()
    assert sorted(stage.sent()) == [first, third]
    stage.clock.now += 4.9  # the wait is 5 to 10 s
    assert stage.courier.drain() == 0 and stage.sent() == []
    stage.clock.now += 5.2
    stage.target.rule = failing()
    assert stage.courier.drain() == 3
    assert stage.sent() == [first, second, fourth]


def test_each_wait_is_twice_the_one_before(stage: Stage) -> None:
    [number] = stage.punches(0)
    stage.target.rule = failing(number)
    begin, tried = stage.clock.now, []
    while stage.clock.now < begin + 400:
        stage.courier.drain()
        if stage.sent():
            tried.append(stage.clock.now - begin)
        stage.clock.now += 1
    waits = [late - early for early, late in zip(tried, tried[1:], strict=False)]
    assert len(waits) >= 4
    assert all(5 * 2**n <= wait <= 10 * 2**n + 1 for n, wait in enumerate(waits))


def test_a_target_may_ask_for_a_longer_wait(stage: Stage) -> None:
    [number] = stage.punches(0)
    stage.target.rule = failing(number, outcome=Failed("HTTP 429", whole_target=True, retry_after_seconds=500.0))
    stage.courier.drain()
    other = stage.punches(1)[0]
    for later in (0, 250, 249):
        stage.clock.now += later
        stage.courier.drain()
        assert stage.sent() == ([number] if later == 0 else [])
    stage.target.rule = failing()
    stage.clock.now += 2
    stage.courier.drain()
    assert sorted(stage.sent()) == [number, other]


def test_an_outage_of_weeks_makes_no_dead_letter(stage: Stage) -> None:
    stage.punches(2)
    stage.courier.drain()  # the target worked before
    numbers = stage.punches(0, 1, 2, 0)
    for rule in (failing(*numbers), failing(*numbers, outcome=Failed("no network", whole_target=True))):
        stage.target.rule = rule
        for _ in range(200):
            stage.clock.now += WEEKS / 400
            stage.courier.drain()
    assert stage.store.outbox.dead_letters() == []
    stage.sent()
    stage.target.rule = failing()
    stage.clock.now += 3601
    stage.courier.drain()
    assert sorted(stage.sent()) == numbers


def test_a_target_that_is_down_is_not_asked_for_every_person(stage: Stage) -> None:
    with Store.open(stage.path) as store:
        people = [store.add_person(f"P{number}", f"P{number}").id for number in range(100)]
        for person in people:
            punch(store, person)
    stage.target.rule = lambda event: Failed("no answer within 10 s")
    stage.courier.drain()
    assert 5 <= len(stage.sent()) <= 8  # five in a row, and those that the other lanes were sending
    health = stage.store.outbox.summary()[0]
    assert (health.failures, health.error, health.waiting) == (1, "no answer within 10 s", 100)
    assert stage.courier.drain() == 0 and stage.sent() == []


def test_corrections_follow_their_punch_with_the_targets_reference(stage: Stage) -> None:
    stage.target.rule = lambda event: Delivered("ok", reference=f"{event.kind}-{event.id}")
    [number] = stage.punches(0)
    ann = stage.people[0]
    stage.store.correct(ann, number, LastPunch(START - 60, "out"), "wrong way round", "Bob")
    stage.store.correct(ann, number, None, "was not her", "Bob")
    stage.store.correct(ann, None, LastPunch(START + 60, "in"), "camera was off", "Bob")
    stage.courier.drain()
    assert [(event.kind, event.id, event.punch_id, event.reference) for event in stage.target.sent] == [
        ("punch", 1, None, None),
        ("correction", 1, 1, "punch-1"),
        ("correction", 2, 1, "correction-1"),
        ("correction", 3, None, None),
    ]
    assert [(event.occurred_at, event.direction) for event in stage.target.sent[1:]] == [(START - 60, "out"), (None, None), (START + 60, "in")]
    columns = stage.target.sent[1].columns()
    assert (columns["punch_id"], columns["correction_id"], columns["code"], columns["reason"]) == (1, 1, "E1", "wrong way round")
    assert len({event.key for event in stage.target.sent}) == 4


def test_a_killed_courier_sends_the_round_again_under_the_same_keys(stage: Stage) -> None:
    stage.punches(0, 1)

    def power_cut(*_: object) -> None:
        raise MemoryError

    stage.store.outbox.conclude = power_cut  # type: ignore[method-assign]
    with pytest.raises(MemoryError):
        stage.courier.drain()
    first = {event.id: event.key for event in stage.target.sent}
    stage.sent()
    del stage.store.outbox.conclude
    assert stage.courier.drain() == 2
    assert {event.id: event.key for event in stage.target.sent} == first


def test_an_error_in_a_connector_is_reported_and_loses_nothing(stage: Stage) -> None:
    numbers = stage.punches(0, 1)

    def broken(event: Event) -> Outcome:
        if event.id == numbers[0]:
            raise KeyError("secret-in-an-exception")
        return Delivered()

    stage.target.rule = broken
    stage.courier.settings = OutboxSettings(poll_seconds=0.05)
    stage.courier.stop.wait = lambda seconds=None: stage.courier.stop.set() or True  # type: ignore[method-assign,func-returns-value]
    stage.courier.run()
    assert len(stage.courier.said) == 1 and stage.courier.said[0].startswith("outbox payroll: KeyError at test_courier.py:")  # type: ignore[attr-defined]
    assert "secret" not in str(stage.courier.said)  # type: ignore[attr-defined]
    assert (numbers[0], "waiting") in states(stage.store)


def test_a_target_that_was_added_later_is_filled_in_order(stage: Stage) -> None:
    store = stage.store
    for number in range(4):
        punch(store, stage.people[0], START + number, connectors=[])
    store.correct(stage.people[0], 2, LastPunch(START, "out"), "wrong way round", "Bob", connectors=[])
    punch(store, stage.people[0], START + 10)  # queued already when the target is filled
    assert store.outbox.fill("payroll", START + 1, START + 3) == 3  # punches 2 and 3, the correction
    assert store.outbox.fill("payroll", START + 1, START + 3) == 0
    stage.courier.drain()
    assert [(event.kind, event.id) for event in stage.target.sent] == [("punch", 2), ("punch", 3), ("punch", 5), ("correction", 1)]
    assert store.outbox.fill("payroll", START + 1, START + 3) == 0
    stage.sent()
    assert store.outbox.fill("payroll", START + 1, START + 3, again=True) == 3
    stage.courier.drain()
    assert [(event.kind, event.id) for event in stage.target.sent] == [("punch", 2), ("punch", 3), ("correction", 1)]
    assert [event.counts for event in stage.target.sent] == [LastPunch(START, "out"), LastPunch(START + 2, "in"), LastPunch(START, "out")]
    with refused("store.no_target", "'door'", "[connectors.door]"):
        store.outbox.fill("door", START)


def test_only_configured_targets_get_new_punches(stage: Stage) -> None:
    store = stage.store
    store.outbox.set_targets(["payroll", "door"])
    stage.punches(0)
    store.outbox.set_targets(["payroll"])
    stage.punches(1)
    assert [(target.connector, target.active, target.waiting) for target in store.outbox.summary()] == [("door", False, 1), ("payroll", True, 2)]


def test_complete_until_is_the_first_punch_that_is_missing(stage: Stage) -> None:
    first, second, third = stage.punches(0, 1, 2)
    stage.target.rule = failing(second)
    stage.courier.drain()
    assert stage.store.outbox.complete_until("payroll") == START + 1
    stage.target.rule = failing(second, outcome=Refused("no"))
    stage.clock.now += 100
    stage.courier.drain()
    assert stage.store.outbox.complete_until("payroll") == START + 1  # a dead letter is not delivered
    stage.store.outbox.discard()
    assert stage.store.outbox.complete_until("payroll") is None
    stage.store.correct(stage.people[0], first, LastPunch(START + 500, "out"), "wrong", "Bob")
    assert stage.store.outbox.complete_until("payroll") == START


def test_a_correction_of_an_added_punch_has_the_targets_reference(stage: Stage) -> None:
    stage.target.rule = lambda event: Delivered("ok", reference=f"{event.kind}-{event.id}")
    store, ann = stage.store, stage.people[0]
    added = store.correct(ann, None, LastPunch(START, "in"), "camera was off", "Bob")
    stage.courier.drain()
    with store.transaction() as db:
        corrections.append(db, CorrectionDraft(ann, None, added, None, "she was not here"), "Bob")
    assert store.outbox.complete_until("payroll") == START
    assert store.outbox.fill("payroll", START, START + 1) == 0
    stage.courier.drain()
    event = stage.target.sent[-1]
    assert (event.amends, event.punch_id, event.reference, event.occurred_at) == (added, None, f"correction-{added}", None)


def test_a_clock_set_back_by_years_holds_nothing_back(stage: Stage) -> None:
    numbers = stage.punches(0, 1)
    stage.clock.now += 4 * 365 * 86_400
    stage.target.rule = lambda event: Failed("HTTP 503", whole_target=event.id == numbers[1])
    stage.courier.drain()
    stage.sent()
    stage.target.rule = failing()
    stage.clock.now -= 4 * 365 * 86_400
    stage.courier.drain()
    assert sorted(stage.sent()) == numbers


def test_a_failed_tick_is_kept_as_an_error_until_it_recovers(stage: Stage) -> None:
    stage.target.ticked = Failed("no broker", whole_target=True)
    stage.courier.tick()
    assert stage.store.outbox.summary()[0].error == "no broker"
    stage.target.ticked = Delivered()
    stage.courier.tick()
    assert stage.store.outbox.summary()[0].failures == 1  # it is not tried before its wait is over
    stage.clock.now += 11
    stage.courier.tick()
    health = stage.store.outbox.summary()[0]
    assert (health.failures, health.error) == (0, None)


def test_an_older_outbox_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with Store.open(path) as store:
        store.add_person("Ann", "E1")
        for number in range(2):
            punch(store, 1, START + number)
    raw = sqlite3.connect(path)
    before = tables.TABLES[tables.TABLES.index("CREATE TABLE outbox") :]
    later = ("outbox", "targets", "refusals", "refusal_alarms", "tellings", "notices", "recipient_rules", "recipients", "matters")
    raw.executescript("".join(f"DROP TABLE {table};" for table in later) + before[: before.index(";") + 1])
    raw.execute("INSERT INTO outbox (punch_id, connector, attempts, delivered_at) VALUES (1, 'payroll', 0, 5000), (2, 'payroll', 3, NULL)")
    names = "'outbox_has_states_and_targets', 'refused_attempts_are_counted', 'tell_of_open_matters'"
    raw.execute(f"DELETE FROM _sqlite_migrations WHERE name IN ({names})")
    raw.execute("PRAGMA user_version = 1")
    raw.commit()
    raw.close()
    target = Scripted()
    with courier(path, target) as made:
        assert states(made.store) == [(1, "delivered"), (2, "waiting")]
        made.drain()
    assert [event.id for event in target.sent] == [2]


def test_a_courier_for_an_unknown_target_is_an_error(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db") as store, refused("store.no_target"):
        Courier(store, Scripted(), OutboxSettings())


def test_a_target_gets_the_same_columns_as_the_log(stage: Stage) -> None:
    stage.punches(0)
    stage.courier.drain()
    row = stage.target.sent[0].columns()
    assert (row["clock_synchronised"], row["occurred_at"], row["name"], row["score"]) == (True, "2026-11-18T11:06:40.000Z", "Ann", 0.61)
