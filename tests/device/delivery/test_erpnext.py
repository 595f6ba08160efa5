"""ERPNext: check-ins once and in local time, faults, the night the clocks go back, settings and secrets."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from device.delivery.connectors import build
from device.delivery.outcomes import LONGEST_ANSWER, shortened
from device.storage.records import LastPunch
from device.storage.store import Store
from tests.device.delivery.erpnext_terminal import EVENING, MORNING, SECRETS, drained, logs, settings, utc
from tests.device.fakes import site
from tests.device.fakes.erpnext import ErpNext
from tests.device.fakes.terminal import Clock, punch, sample_event
from tests.refused import refused


def test_punches_become_checkins_in_local_time(store: Store, erpnext: ErpNext) -> None:
    for person, at, direction in (
        (1, MORNING, "in"),
        (1, MORNING + 3600, "break_start"),
        (1, MORNING + 5400, "break_end"),
        (1, EVENING, "out"),
        (2, EVENING, "auto"),
    ):
        punch(store, person, at, direction)
    drained(store, erpnext)
    assert logs(erpnext) == [
        ("HR-EMP-00001", "2026-11-24 08:01:02", "IN"),
        ("HR-EMP-00001", "2026-11-24 09:01:02", "OUT"),
        ("HR-EMP-00001", "2026-11-24 09:31:02", "IN"),
        ("HR-EMP-00001", "2026-11-24 17:30:00", "OUT"),
        ("HR-EMP-00002", "2026-11-24 17:30:00", ""),
    ]
    assert {row["device_id"] for row in erpnext.checkins.values()} == {"front door"}


@pytest.mark.parametrize(
    "fault",
    [
        site.status(500),
        site.status(429, Retry_After="2"),
        site.hang(0.7),
        site.half_closed,
        site.taken_but_unanswered,
        site.cut_short,
        site.status(200, b"<html><title>Sign in</title>"),
        site.status(200, b'{"ok": true}'),
    ],
    ids=["500", "429", "timeout", "half-closed", "answer lost", "cut short", "sign-in page", "another program"],
)
@pytest.mark.parametrize("call", [0, 1], ids=["look-up", "check-in"])
def test_after_each_fault_there_is_one_checkin(store: Store, erpnext: ErpNext, fault: site.Fault, call: int) -> None:
    punch(store, 1, MORNING)
    erpnext.faults.extend([lambda handler: site.GO_ON] * call + [fault])
    drained(store, erpnext, rounds=3)
    assert logs(erpnext) == [("HR-EMP-00001", "2026-11-24 08:01:02", "IN")]
    assert store.outbox.dead_letters() == [] and store.outbox.summary()[0].waiting == 0


@pytest.mark.parametrize("code", ["E2", "E3"])
def test_an_employee_that_erpnext_does_not_accept_is_a_dead_letter(store: Store, erpnext: ErpNext, code: str) -> None:
    erpnext.inactive.add("E2")
    punch(store, int(code[1]), MORNING)
    punch(store, 1, MORNING)
    drained(store, erpnext)
    [letter] = store.outbox.dead_letters()
    assert letter.code == code and ("no employees in ERPNext have the attendance_device_id E3" if code == "E3" else "Inactive Employee") in str(letter.answer)
    assert "Traceback" not in str(letter.answer)
    erpnext.inactive.clear()
    erpnext.employees["E3"] = "HR-EMP-00003"
    store.outbox.replay()
    drained(store, erpnext)
    assert len(erpnext.checkins) == 2


def test_wrong_credentials_lose_nothing(store: Store, erpnext: ErpNext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERP_SECRET", "a-wrong-secret")
    punch(store, 1, MORNING)
    said = drained(store, erpnext)
    assert "HTTP 401: Invalid API key" in said[0] and "a-wrong-secret" not in said[0]
    assert (store.outbox.summary()[0].waiting, store.outbox.dead_letters()) == (1, [])


def test_a_checkin_with_a_replaced_time_is_removed_and_the_punch_waits(store: Store, erpnext: ErpNext) -> None:
    number = punch(store, 1, MORNING).id
    erpnext.writes_time = False
    said = drained(store, erpnext)
    assert "Write on Employee Checkin at Level 1" in said[0]
    assert (logs(erpnext), store.outbox.dead_letters(), store.outbox.summary()[0].waiting) == ([], [], 1)
    erpnext.writes_time = True
    drained(store, erpnext, clock=Clock(utc("2026-11-25T20:00:00")))
    assert logs(erpnext) == [("HR-EMP-00001", "2026-11-24 08:01:02", "IN")]
    erpnext.writes_time = False
    store.correct(1, number, LastPunch(MORNING - 600, "in"), "the clock was slow", "Bob")
    assert "Level 1" in drained(store, erpnext)[0]
    assert store.outbox.summary()[0].waiting == 1


def test_coordinates_where_erpnext_wants_them(store: Store, erpnext: ErpNext) -> None:
    erpnext.geolocation = True
    with store.transaction() as db:
        db.execute("UPDATE people SET code = 'E4' WHERE id = 3")
    erpnext.employees["E4"] = "HR-EMP-00004"
    for person in (1, 2, 3):
        punch(store, person, MORNING + person)
    said = drained(store, erpnext, rounds=3)
    assert len(said) == 1 and "417 ValidationError" in said[0]
    assert (erpnext.checkins, store.outbox.dead_letters(), store.outbox.summary()[0].waiting) == ({}, [], 3)
    drained(store, erpnext, clock=Clock(utc("2026-11-25T20:00:00")), latitude=52.52, longitude=-13.4)
    assert {(row["latitude"], row["longitude"]) for row in erpnext.checkins.values()} == {(52.52, -13.4)} and len(erpnext.checkins) == 3


def test_one_employee_out_of_reach_does_not_stop_the_others(store: Store, erpnext: ErpNext) -> None:
    erpnext.foreign_people.add("HR-EMP-00002")
    punch(store, 2, MORNING)
    punch(store, 1, MORNING)
    drained(store, erpnext)
    assert [row["employee"] for row in erpnext.checkins.values()] == ["HR-EMP-00001"]
    assert "HTTP 403: Fehler" not in str(store.outbox.dead_letters()[0].answer)  # English was asked for
    assert "You need permission for Employee HR-EMP-00002" in str(store.outbox.dead_letters()[0].answer)


# the night the clocks go back


def test_the_repeated_hour(store: Store, erpnext: ErpNext) -> None:
    first = utc("2026-10-25T00:30:00")  # 02:30 summer time; an hour later it is 02:30 again
    punch(store, 1, first, "in")
    punch(store, 1, first + 3600, "out")
    punch(store, 2, first, "in")
    punch(store, 2, first + 3600, "in")
    drained(store, erpnext)
    assert logs(erpnext) == [
        ("HR-EMP-00001", "2026-10-25 02:30:00", "IN"),
        ("HR-EMP-00001", "2026-10-25 02:30:00", "OUT"),
        ("HR-EMP-00002", "2026-10-25 02:30:00", "IN"),
    ]
    [letter] = store.outbox.dead_letters()  # not counted as delivered: it may be another punch
    assert (letter.person_id, "occurred twice that night" in str(letter.answer)) == (2, True)


# test, settings, secrets


def test_the_test_event_leaves_no_checkin_and_says_what_it_could_not_try(erpnext: ErpNext) -> None:
    connector = build(settings(erpnext.url, shift_types=["Day Shift"]))
    assert "no check-in was tried, since no employee has the attendance_device_id CLOCKFACE-TEST" in connector.test(sample_event(connector.test_code))
    erpnext.employees["TEST"] = "HR-EMP-09999"
    assert connector.test(sample_event("TEST")).startswith("a check-in of TEST was added and removed")
    assert erpnext.requests[-2].json["skip_auto_attendance"] == 1 and erpnext.checkins == {}
    with refused("connector", "Shift Type 'Nigth': ERPNext has none of this name"):
        build(settings(erpnext.url, shift_types=["Nigth"])).test(sample_event("TEST", EVENING))
    for words, change in (
        ("ERPNext's time zone is Asia/Kolkata", {"zone": "Asia/Kolkata"}),
        ("no check-in can be added: HTTP 417: Latitude", {"geolocation": True}),
        ("HTTP 403", {"role": False}),
        ("Write on Employee Checkin at Level 1", {"writes_time": False}),
        ("s off this terminal's", {"slow_by": 600.0}),
    ):
        before = {key: getattr(erpnext, key) for key in change}
        vars(erpnext).update(change)
        with refused("connector", words):
            connector.test(sample_event("TEST"))
        vars(erpnext).update(before)
        assert erpnext.checkins == {}
    erpnext.always = site.status(200, b"<html>Sign in")
    with refused("connector", "sign-in page"):
        connector.test(sample_event("TEST"))
    erpnext.always = site.status(503)
    with refused("connector", "HTTP 503"):
        connector.test(sample_event("TEST"))


@pytest.mark.parametrize("code", [401, 417, 500])
def test_secrets_stay_out_of_answers(store: Store, erpnext: ErpNext, code: int) -> None:
    punch(store, 1, MORNING)
    erpnext.always = site.echo_headers(code)
    said = drained(store, erpnext)
    with store.reading() as db:
        kept = said + [str(row) for table in ("outbox", "targets") for row in db.execute(f"SELECT * FROM {table}").fetchall()]
    assert "token ***" in str(kept)
    assert not any(secret in text for secret, text in itertools.product(SECRETS, kept))


def test_a_secret_at_the_length_limit_is_not_stored_in_part(erpnext: ErpNext) -> None:
    """The target's page is cut where it is stored; wherever the cut falls, no beginning or end of a secret is left."""
    connector = build(settings(erpnext.url))
    parts = [part for secret in SECRETS for part in (secret[:8], secret[-8:])]
    for before in range(100, 500, 7):
        erpnext.always = site.echo_headers(500, before)
        [outcome] = list(connector.deliver([sample_event("TEST")]))
        kept = shortened(connector.scrubbed(outcome.answer))
        assert len(kept) <= LONGEST_ANSWER and not any(part in kept for part in parts), before


@pytest.mark.parametrize(
    ("more", "code", "word"),
    [
        ({"timezone": "Berlin"}, "time_zone", "[connectors.hr] timezone = 'Berlin'"),
        ({"timezone": ""}, "missing", "timezone"),
        ({"shift_types": "Day Shift"}, "type", "shift_types = 'Day Shift'"),
        ({"api_secret": "env:NOT_THERE"}, "secret", "api_secret: the environment has no 'NOT_THERE'"),
        ({"dead_letters_hold_back": "yes"}, "type", "expected bool, got str"),
    ],
)
def test_settings_that_cannot_be_honoured(erpnext: ErpNext, more: dict[str, Any], code: str, word: str) -> None:
    with refused(f"config.{code}", word):
        build(settings(erpnext.url, **more))
