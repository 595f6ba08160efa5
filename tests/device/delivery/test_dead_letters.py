"""Dead letters: what a target refuses or always fails, what becomes of it, and what an erasure takes out of the outbox."""

from __future__ import annotations

from device.delivery.outcomes import Refused
from tests.device.delivery.scripted import Stage, failing
from tests.device.fakes.terminal import punch


def test_a_punch_that_always_fails_becomes_a_dead_letter_while_others_are_delivered(stage: Stage) -> None:
    failed, *_ = stage.punches(0)
    stage.target.rule = failing(failed)
    for _ in range(20):
        punch(stage.store, stage.people[1])
        stage.courier.drain()
        stage.clock.now += 50
    assert stage.sent().count(failed) == 3
    [letter] = stage.store.outbox.dead_letters()
    assert (letter.event_id, letter.connector, letter.code, letter.answer) == (failed, "payroll", "E1", "HTTP 500")
    follower = punch(stage.store, stage.people[0]).id
    stage.courier.drain()
    assert stage.sent() == [follower]  # a dead letter does not hold back the following events


def test_a_refusal_is_a_dead_letter_at_once_and_can_be_replayed(stage: Stage) -> None:
    first, second = stage.punches(0, 0)
    stage.target.rule = failing(first, outcome=Refused("no such employee"))
    stage.courier.drain()
    assert stage.sent() == [first, second]
    assert [(letter.event_id, letter.answer) for letter in stage.store.outbox.dead_letters()] == [(first, "no such employee")]
    stage.target.rule = failing()
    assert stage.store.outbox.replay("other") == 0
    assert stage.store.outbox.replay("payroll") == 1
    stage.courier.drain()
    assert stage.sent() == [first] and stage.store.outbox.dead_letters() == []


def test_discarded_dead_letters_are_never_sent(stage: Stage) -> None:
    first, second = stage.punches(0, 1)
    stage.target.rule = lambda event: Refused("no")
    stage.courier.drain()
    letter = stage.store.outbox.dead_letters()[0]
    assert stage.store.outbox.discard(ids=[letter.id]) == 1
    assert stage.store.outbox.replay() == 1
    stage.sent()
    stage.courier.drain()
    assert stage.sent() == [second if letter.event_id == first else first]


def test_a_punch_without_a_code_is_a_dead_letter_until_the_person_has_one(stage: Stage) -> None:
    nameless = stage.store.add_person("Dee").id
    number = punch(stage.store, nameless).id
    assert stage.courier.drain() == 1
    assert stage.sent() == []
    assert "has no code; give them one" in str(stage.store.outbox.dead_letters()[0].answer)
    with stage.store.transaction() as db:
        db.execute("UPDATE people SET code = 'E9' WHERE id = ?", [nameless])
    stage.store.outbox.replay()
    stage.courier.drain()
    assert stage.sent() == [number]


def test_erasing_a_person_removes_name_and_answers_from_the_outbox(stage: Stage) -> None:
    first, second = stage.punches(0, 0)
    stage.target.rule = failing(first, outcome=Refused("Ann Annabel is on leave"))
    stage.courier.drain()
    punch(stage.store, stage.people[0])
    stage.store.erase(stage.people[0])
    stage.courier.drain()
    assert b"Annabel" not in b"".join(file.read_bytes() for file in stage.path.parent.glob("clockface.db*"))
    answers = [letter.answer for letter in stage.store.outbox.dead_letters()]
    assert answers == [None, f"person {stage.people[0]} was erased before this was delivered; discard it"]
