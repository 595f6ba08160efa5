"""ERPNext: check-ins once and in local time, corrections in place, Shift Types advanced only as far as nothing is missing."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from device.config import OutboxSettings
from device.delivery.connectors import build, read_settings
from device.delivery.connectors.erpnext import Target
from device.delivery.outcomes import LONGEST_ANSWER, shortened
from device.storage.records import LastPunch
from device.storage.store import Store
from device.system.clock import ClockState
from tests.device.fakes import site
from tests.device.fakes.erpnext import ErpNext
from tests.device.fakes.site import serving
from tests.device.fakes.terminal import Clock, courier, punch, sample_event
from tests.refused import refused

SYNCHRONISED, ADRIFT = ClockState(True, "boot", 1), ClockState(False, "boot", 1)
SECRETS = ("key-of-the-api", "secret-of-the-api")


def utc(text: str) -> float:
    return datetime.fromisoformat(text + "+00:00").timestamp()


MORNING, EVENING = utc("2026-11-24T07:01:02.345"), utc("2026-11-24T16:30:00")


@pytest.fixture
def erpnext(monkeypatch: pytest.MonkeyPatch) -> Iterator[ErpNext]:
    monkeypatch.setenv("ERP_KEY", SECRETS[0])
    monkeypatch.setenv("ERP_SECRET", SECRETS[1])
    with serving(ErpNext()) as made:
        yield made


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "clockface.db") as opened:
        opened.outbox.set_targets(["hr"])
        for name, code in (("Ann", "E1"), ("Bob", "E2"), ("Cid", "E3")):
            opened.add_person(name, code)
        yield opened


def settings(url: str, **more: Any) -> Any:
    table = {"kind": "erpnext", "url": url, "api_key": "env:ERP_KEY", "api_secret": "env:ERP_SECRET", "timezone": "Europe/Berlin", "timeout_seconds": 0.5}
    return read_settings("hr", {**table, **more})


def drained(store: Store, erpnext: ErpNext, *, clock: Clock | None = None, state: ClockState = SYNCHRONISED, rounds: int = 1, **more: Any) -> list[str]:
    """Deliver, with a tick after each round; returns what the courier reported."""
    clock = clock or Clock(utc("2026-11-24T20:00:00"))
    with courier(store.path, Target(settings(erpnext.url, **more), lambda: state), OutboxSettings(first_retry_seconds=1.0), clock) as made:
        for _ in range(rounds):
            made.drain()
            made.tick()
            clock.now += 5
        return made.said  # type: ignore[attr-defined,no-any-return]


def logs(erpnext: ErpNext) -> list[tuple[str, str, str]]:
    return sorted((row["employee"], row["time"], row["log_type"]) for row in erpnext.checkins.values())


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
    [site.status(500), site.status(429, Retry_After="2"), site.hang(0.7), site.half_closed, site.taken_but_unanswered, site.cut_short],
    ids=["500", "429", "timeout", "half-closed", "answer lost", "cut short"],
)
def test_after_each_fault_there_is_one_checkin(store: Store, erpnext: ErpNext, fault: site.Fault) -> None:
    punch(store, 1, MORNING)
    erpnext.faults.append(fault)
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
    assert letter.code == code and ("No Employee found" if code == "E3" else "Inactive Employee") in str(letter.answer)
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


# corrections


def test_corrections_change_the_checkin_in_place(store: Store, erpnext: ErpNext) -> None:
    first, second = punch(store, 1, MORNING).id, punch(store, 1, EVENING).id
    drained(store, erpnext)
    store.correct(1, first, LastPunch(MORNING - 600, "in"), "the clock was slow", "Bob")
    store.correct(1, second, LastPunch(EVENING, "out"), "wrong way round", "Bob")
    store.correct(1, None, LastPunch(MORNING + 7200, "out"), "camera was off", "Bob")
    drained(store, erpnext)
    assert logs(erpnext) == [
        ("HR-EMP-00001", "2026-11-24 07:51:02", "IN"),
        ("HR-EMP-00001", "2026-11-24 10:01:02", "OUT"),
        ("HR-EMP-00001", "2026-11-24 17:30:00", "OUT"),
    ]


def test_a_punch_that_does_not_count_is_removed_and_may_count_again(store: Store, erpnext: ErpNext) -> None:
    number = punch(store, 1, MORNING).id
    store.correct(1, number, None, "was not her", "Bob")
    drained(store, erpnext)
    assert logs(erpnext) == []
    store.correct(1, number, None, "still not her", "Bob")
    store.correct(1, number, LastPunch(MORNING, "in"), "it was her", "Bob")
    drained(store, erpnext)
    assert logs(erpnext) == [("HR-EMP-00001", "2026-11-24 08:01:02", "IN")]
    assert store.outbox.dead_letters() == []


def test_a_correction_whose_answer_was_lost(store: Store, erpnext: ErpNext) -> None:
    number = punch(store, 1, MORNING).id
    erpnext.faults.append(site.taken_but_unanswered)  # then the name is found by a search
    drained(store, erpnext, rounds=2)
    store.correct(1, number, None, "was not her", "Bob")
    erpnext.faults.append(site.taken_but_unanswered)
    drained(store, erpnext, rounds=2)
    assert logs(erpnext) == [] and store.outbox.dead_letters() == [] and store.outbox.summary()[0].waiting == 0


def test_a_checkin_that_is_linked_to_an_attendance_is_not_changed(store: Store, erpnext: ErpNext) -> None:
    number = punch(store, 1, MORNING).id
    drained(store, erpnext)
    erpnext.linked.update(erpnext.checkins)
    store.correct(1, number, LastPunch(MORNING + 60, "in"), "the clock was slow", "Bob")
    drained(store, erpnext)
    assert "cancel the attendance before modifying time" in str(store.outbox.dead_letters()[0].answer)


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


# Shift Types


def test_shift_types_advance_only_past_delivered_punches(store: Store, erpnext: ErpNext) -> None:
    clock = Clock(utc("2026-11-24T20:00:00"))
    punch(store, 1, MORNING)
    drained(store, erpnext, clock=clock, shift_types=["Day Shift"])
    assert erpnext.shifts["Day Shift"] == "2026-11-24 20:59:00"  # a minute ago, in Berlin

    clock.now = utc("2026-11-25T20:00:00")
    erpnext.faults.extend([site.status(500)] * 3)
    punch(store, 1, utc("2026-11-25T07:00:00"))
    punch(store, 2, utc("2026-11-25T07:30:00"))
    with courier(store.path, Target(settings(erpnext.url, shift_types=["Day Shift"], parallel=1), lambda: SYNCHRONISED), clock=clock) as made:
        made.round()
        erpnext.faults.clear()
        made.tick()
        assert erpnext.shifts["Day Shift"] == "2026-11-25 07:59:59"  # one second before the punch that waits


def test_dead_letters_hold_shift_types_back_unless_told_otherwise(store: Store, erpnext: ErpNext) -> None:
    punch(store, 3, MORNING)
    drained(store, erpnext, shift_types=["Day Shift"])
    assert erpnext.shifts["Day Shift"] == "2026-11-24 08:01:01"
    drained(store, erpnext, shift_types=["Day Shift"], dead_letters_hold_back=False, sync_lag_minutes=60)
    assert erpnext.shifts["Day Shift"] == "2026-11-24 19:59:00"


@pytest.mark.parametrize(("present", "state"), [("2026-11-24 23:00:00.000000", SYNCHRONISED), (None, ADRIFT)], ids=["never back", "not by a wrong clock"])
def test_shift_types_are_left_alone(store: Store, erpnext: ErpNext, present: str | None, state: ClockState) -> None:
    erpnext.shifts["Day Shift"] = present
    drained(store, erpnext, shift_types=["Day Shift"], state=state)
    assert erpnext.shifts["Day Shift"] == present


def test_a_wrong_shift_type_is_reported_and_holds_no_punch_back(store: Store, erpnext: ErpNext) -> None:
    punch(store, 1, MORNING)
    said = drained(store, erpnext, shift_types=["Night Shift"], rounds=2)
    assert said == ["outbox hr: Shift Type 'Night Shift': HTTP 404: Shift Type Night Shift not found"]
    assert len(erpnext.checkins) == 1


# test, settings, secrets


def test_the_test_event_makes_no_checkin(erpnext: ErpNext) -> None:
    connector = build(settings(erpnext.url, shift_types=["Day Shift"]))
    assert "no employee has the attendance_device_id CLOCKFACE-TEST" in connector.test(sample_event(connector.test_code))
    assert erpnext.checkins == {}
    erpnext.employees["TEST"] = "HR-EMP-09999"
    assert connector.test(sample_event("TEST")).startswith("HTTP 200")
    assert erpnext.requests[-2].json["skip_auto_attendance"] == 1
    with refused("connector", "Shift Type 'Nigth': HTTP 404"):
        build(settings(erpnext.url, shift_types=["Nigth"])).test(sample_event("TEST", EVENING))
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
