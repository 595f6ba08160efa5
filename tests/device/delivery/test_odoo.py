"""Odoo: one record per stay, never two open, never an overlap, even if events arrive late, twice or not at all."""

from __future__ import annotations

import random
from datetime import datetime
from typing import Any

import pytest

from device.config import OutboxSettings
from device.delivery.connectors import build, read_settings
from device.storage.records import LastPunch
from device.storage.store import Store
from tests.device.fakes import site
from tests.device.fakes.odoo import API_KEY, DATABASE, LOGIN, Odoo
from tests.device.fakes.site import serving
from tests.device.fakes.terminal import Clock, courier, punch, sample_event
from tests.refused import refused


def utc(text: str) -> float:
    return datetime.fromisoformat(text + "+00:00").timestamp()


IN1, OUT1, IN2, OUT2 = (utc(f"2026-11-{day}T{hour}:00") for day, hour in ((23, "07:00"), (23, "16:00"), (24, "07:00"), (24, "16:00")))


def settings(url: str, **more: Any) -> Any:
    table = {"kind": "odoo", "url": url, "database": DATABASE, "login": LOGIN, "api_key": "env:ODOO_KEY", "timeout_seconds": 0.5}
    return read_settings("hr", {**table, **more})


def drained(store: Store, odoo: Odoo, rounds: int = 1, **more: Any) -> list[str]:
    """What the courier reported in so many rounds, or fewer if nothing waits any more."""
    clock = Clock(utc("2026-11-25T12:00:00"))
    with courier(store.path, build(settings(odoo.url, **more)), OutboxSettings(first_retry_seconds=1.0), clock) as made:
        for _ in range(rounds):
            made.drain()
            clock.now += 60
            if store.outbox.summary()[0].waiting == 0:
                break
        return made.said  # type: ignore[attr-defined,no-any-return]


def test_two_days_of_two_people(store: Store, any_odoo: Odoo) -> None:
    for at, direction in ((IN1, "in"), (IN1 + 10_800, "break_start"), (IN1 + 12_600, "break_end"), (OUT1, "out"), (IN2, "in")):
        punch(store, 1, at, direction)
    punch(store, 2, IN1 + 60.789, "auto")
    punch(store, 2, OUT1, "auto")
    drained(store, any_odoo)
    assert any_odoo.stays() == [
        (7, "2026-11-23 07:00:00", "2026-11-23 10:00:00"),
        (7, "2026-11-23 10:30:00", "2026-11-23 16:00:00"),
        (7, "2026-11-24 07:00:00", False),
        (8, "2026-11-23 07:01:00", "2026-11-23 16:00:00"),
    ]
    modes = {(row.get("in_mode"), row.get("out_mode")) for row in any_odoo.attendances.values()}
    assert modes == ({("kiosk", "kiosk"), ("kiosk", None)} if any_odoo.modes else {(None, None)})


@pytest.mark.parametrize(
    "fault",
    [site.status(500), site.status(429, Retry_After="2"), site.hang(0.7), site.half_closed, site.taken_but_unanswered, site.status(200, b"<html>login")],
    ids=["500", "429", "timeout", "half-closed", "answer lost", "a page"],
)
def test_after_each_fault_there_is_one_record(store: Store, odoo: Odoo, fault: site.Fault) -> None:
    punch(store, 1, IN1, "in")
    punch(store, 1, OUT1, "out")
    for skipped in range(9):  # the fault affects each call of the sequence once
        odoo.faults.extend([lambda handler: site.GO_ON] * skipped + [fault])
        drained(store, odoo, rounds=20)  # as many as a slow machine needs
        odoo.faults.clear()
        assert odoo.stays() == [(7, "2026-11-23 07:00:00", "2026-11-23 16:00:00")]
        assert store.outbox.dead_letters() == []
        if skipped % 2:
            odoo.attendances.clear()
        store.outbox.fill("hr", 0.0, again=True)
    assert store.outbox.summary()[0].waiting == 2


@pytest.mark.parametrize(
    ("more", "closed"),
    [
        ({}, "2026-11-23 07:00:00"),
        ({"missed_check_out": "after_hours", "missed_hours": 8}, "2026-11-23 15:00:00"),
        ({"missed_check_out": "after_hours", "missed_hours": 24}, "2026-11-24 07:00:00"),
    ],
)
def test_a_missed_check_out_is_closed_by_policy_and_can_be_added_later(store: Store, any_odoo: Odoo, more: dict[str, Any], closed: str) -> None:
    punch(store, 1, IN1, "in")
    punch(store, 1, IN2, "in")
    drained(store, any_odoo, **more)
    assert any_odoo.stays() == [(7, "2026-11-23 07:00:00", closed), (7, "2026-11-24 07:00:00", False)]
    store.correct(1, None, LastPunch(OUT1, "out"), "forgot to check out", "Bob")
    drained(store, any_odoo, **more)
    assert any_odoo.stays() == [(7, "2026-11-23 07:00:00", "2026-11-23 16:00:00"), (7, "2026-11-24 07:00:00", False)]
    assert store.outbox.dead_letters() == []


def test_a_missed_check_out_may_be_refused(store: Store, odoo: Odoo) -> None:
    punch(store, 1, IN1, "in")
    punch(store, 1, IN2, "in")
    drained(store, odoo, missed_check_out="refuse")
    assert "the attendance since 2026-11-23T07:00:00.000Z has no check-out; close it in Odoo" in str(store.outbox.dead_letters()[0].answer)
    odoo.attendances[41]["check_out"] = "2026-11-23 17:00:00"
    store.outbox.replay()
    drained(store, odoo, missed_check_out="refuse")
    assert odoo.stays()[1] == (7, "2026-11-24 07:00:00", False)


def test_a_punch_that_fits_no_record_is_a_dead_letter(store: Store, odoo: Odoo) -> None:
    punch(store, 1, OUT1, "out")  # no check-in before
    punch(store, 3, IN1, "in")  # no such employee
    odoo.employees.append({"id": 9, "name": "Bob's twin", "barcode": "E2"})
    punch(store, 2, IN1, "in")
    drained(store, odoo)
    answers = {letter.person_id: str(letter.answer) for letter in store.outbox.dead_letters()}
    assert "no attendance is open at 2026-11-23 16:00:00 UTC" in answers[1]
    assert answers[3].startswith("no employees in Odoo have the barcode E3")
    assert answers[2].startswith("2 employees in Odoo have the barcode E2")
    assert odoo.stays() == []


def test_the_message_of_a_refusal_by_odoo_is_kept(store: Store, odoo: Odoo) -> None:
    odoo.attendances[1] = {"id": 1, "employee_id": 7, "check_in": "2026-11-23 06:00:00", "check_out": "2026-11-23 18:00:00"}
    punch(store, 1, IN1, "in")
    drained(store, odoo)
    assert str(store.outbox.dead_letters()[0].answer).startswith("ValidationError: Cannot create new attendance record for Ann")


def test_a_check_in_that_arrives_late_is_completed_by_its_check_out(store: Store, odoo: Odoo) -> None:
    punch(store, 1, IN2, "in")
    drained(store, odoo)
    punch(store, 1, IN1, "in")
    punch(store, 1, OUT1, "out")
    drained(store, odoo)
    assert odoo.stays() == [(7, "2026-11-23 07:00:00", "2026-11-23 16:00:00"), (7, "2026-11-24 07:00:00", False)]


# corrections


def test_a_corrected_time_is_changed_in_place(store: Store, odoo: Odoo) -> None:
    first, second = punch(store, 1, IN1, "in").id, punch(store, 1, OUT1, "out").id
    drained(store, odoo)
    store.correct(1, first, LastPunch(IN1 - 600, "in"), "the clock was slow", "Bob")
    store.correct(1, second, LastPunch(OUT1 - 600, "out"), "the clock was fast", "Bob")
    drained(store, odoo)
    assert odoo.stays() == [(7, "2026-11-23 06:50:00", "2026-11-23 15:50:00")]


def test_a_check_out_that_does_not_count_leaves_the_stay_to_be_completed(store: Store, odoo: Odoo) -> None:
    punch(store, 1, IN1, "in")
    wrong = punch(store, 1, IN1 + 600, "out").id
    drained(store, odoo)
    store.correct(1, wrong, None, "was not her", "Bob")
    punch(store, 1, OUT1, "out")
    drained(store, odoo)
    assert odoo.stays() == [(7, "2026-11-23 07:00:00", "2026-11-23 16:00:00")]


def test_a_check_in_that_does_not_count_is_removed_and_may_count_again(store: Store, odoo: Odoo) -> None:
    number = punch(store, 1, IN1, "in").id
    store.correct(1, number, None, "was not her", "Bob")
    drained(store, odoo)
    assert odoo.stays() == []
    store.correct(1, number, None, "still not her", "Bob")
    store.correct(1, number, LastPunch(IN1, "in"), "it was her", "Bob")
    drained(store, odoo)
    assert odoo.stays() == [(7, "2026-11-23 07:00:00", False)] and store.outbox.dead_letters() == []


def test_a_punch_of_the_wrong_direction_is_corrected(store: Store, odoo: Odoo) -> None:
    punch(store, 1, IN1, "in")
    number = punch(store, 1, OUT1, "in").id  # should have been "out": closed the first by policy, opened a second
    drained(store, odoo)
    store.correct(1, number, LastPunch(OUT1, "out"), "wrong way round", "Bob")
    drained(store, odoo)
    assert odoo.stays() == [(7, "2026-11-23 07:00:00", "2026-11-23 16:00:00")]


def test_any_sequence_of_punches_keeps_odoos_rules(store: Store, odoo: Odoo) -> None:
    """Random punches, some of them late, and corrections: what Odoo does not accept is a dead letter, and nothing else fails."""
    chance = random.Random(5)
    numbers = []
    for _ in range(60):
        at = IN1 + chance.randrange(0, 48) * 3600 + chance.randrange(60)
        numbers.append(punch(store, 1, at, chance.choice(["in", "out", "break_start", "break_end", "auto"])).id)
        if chance.random() < 0.3:
            replacement = LastPunch(at + chance.randrange(-7200, 7200), chance.choice(["in", "out"])) if chance.random() < 0.6 else None
            store.correct(1, chance.choice(numbers), replacement, "wrong", "Bob")
    drained(store, odoo, rounds=3)
    health = store.outbox.summary()[0]
    assert health.waiting == 0 and health.failures == 0
    assert len(odoo.attendances) > 5
    stays = sorted((row["check_in"], row["check_out"]) for row in odoo.attendances.values())
    assert sum(check_out is False for _, check_out in stays) <= 1
    for (_, early_out), (late_in, _) in zip(stays, stays[1:], strict=False):
        assert early_out is False or early_out <= late_in


# credentials, test, settings


def test_wrong_credentials_lose_nothing(store: Store, odoo: Odoo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ODOO_KEY", "a-wrong-key")
    punch(store, 1, IN1)
    said = drained(store, odoo)
    assert f"Odoo does not accept {LOGIN} with this API key in database {DATABASE}" in said[0] and "a-wrong-key" not in str(said)
    assert (store.outbox.summary()[0].waiting, store.outbox.dead_letters()) == (1, [])


@pytest.mark.parametrize("code", [400, 401, 500])
def test_secrets_stay_out_of_answers(store: Store, odoo: Odoo, code: int) -> None:
    punch(store, 1, IN1)
    odoo.always = site.echo_body(code)
    said = drained(store, odoo)
    with store.reading() as db:
        kept = str(said) + str([list(row) for table in ("outbox", "targets") for row in db.execute(f"SELECT * FROM {table}").fetchall()])
    assert "***" in kept and API_KEY not in kept


def test_the_test_event_leaves_nothing_and_says_what_it_could_not_try(any_odoo: Odoo) -> None:
    any_odoo.key_ends = "2027-02-01 00:00:00"
    said = build(settings(any_odoo.url)).test(sample_event("E1"))
    ends = "; an API key of this user ends on 2027-02-01" if any_odoo.version >= 18 else ""
    assert said == f"logged in as user 2, attendances may be created; one was added and removed; the clocks agree{ends}"
    assert any_odoo.stays() == []
    assert "no attendance was tried, since no employees have the barcode X" in build(settings(any_odoo.url)).test(sample_event("X"))
    any_odoo.attendances[1] = {"id": 1, "employee_id": 7, "check_in": "2000-01-01 00:00:00", "check_out": "2100-01-01 00:00:00"}
    assert "no attendance could be tried: ValidationError" in build(settings(any_odoo.url)).test(sample_event("E1"))
    any_odoo.attendances.clear()
    if any_odoo.version > 16:
        any_odoo.officer = False
        with refused("connector.rights", "Employees: Officer"):
            build(settings(any_odoo.url)).test(sample_event("E1"))
        any_odoo.officer = True
    any_odoo.may_create = False
    with refused("connector.rights"):
        build(settings(any_odoo.url)).test(sample_event("E1"))
    with refused("connector", "does not accept"):
        build(settings(any_odoo.url, database="other")).test(sample_event("E1"))


@pytest.mark.parametrize(("version", "unfit"), [(16, ""), (17, ""), (18, "2 codes"), (19, "1 codes")])
def test_codes_that_this_version_does_not_take_as_a_badge(monkeypatch: pytest.MonkeyPatch, version: int, unfit: str) -> None:
    monkeypatch.setenv("ODOO_KEY", API_KEY)
    with serving(Odoo(version)) as made:
        said = build(settings(made.url)).unfit_codes(["17", "E17", "Ü-17"])
    assert said.startswith(unfit) if unfit else said == ""


def test_settings_that_cannot_be_honoured(odoo: Odoo) -> None:
    with refused("config.choice", "missed_check_out = 'guess'", "zero, after_hours, refuse"):
        settings(odoo.url, missed_check_out="guess")
    with refused("config.missing", "[connectors.hr] database"):
        settings(odoo.url, database="")
