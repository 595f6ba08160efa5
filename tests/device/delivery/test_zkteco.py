"""The terminal as a ZKTeco ADMS terminal: introduction, records, records that the server does not accept, commands."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from device.config import OutboxSettings
from device.delivery.connectors import build, read_settings
from device.storage.records import LastPunch
from device.storage.store import Store
from tests.device.fakes import site
from tests.device.fakes.adms import Adms
from tests.device.fakes.site import serving
from tests.device.fakes.terminal import Clock, courier, punch, sample_event, states
from tests.refused import refused

NOON = datetime.fromisoformat("2026-11-24T12:00:00+00:00").timestamp()


@pytest.fixture
def server() -> Iterator[Adms]:
    with serving(Adms()) as made:
        yield made


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "clockface.db") as opened:
        opened.outbox.set_targets(["adms"])
        for number in range(1, 6):
            opened.add_person(f"P{number}", str(100 + number))
        yield opened


def settings(url: str, **more: Any) -> Any:
    table = {"kind": "zkteco", "url": url, "serial": "CLKF0001", "timezone": "Asia/Shanghai", "timeout_seconds": 0.5, "poll_seconds": 1.0}
    return read_settings("adms", {**table, **more})


def drained(store: Store, server: Adms, rounds: int = 1, clock: Clock | None = None, **more: Any) -> list[str]:
    clock = clock or Clock(NOON + 1000)
    with courier(store.path, build(settings(server.url, **more)), OutboxSettings(first_retry_seconds=1.0, attempts=3), clock) as made:
        for _ in range(rounds):
            made.drain()
            made.tick()
            clock.now += 40
        return made.said  # type: ignore[attr-defined,no-any-return]


def test_records_follow_the_protocol(store: Store, server: Adms) -> None:
    for number, direction in enumerate(("in", "out", "break_start", "break_end", "auto")):
        punch(store, number + 1, NOON + number, direction)
    drained(store, server)
    assert [fields[:5] for fields in server.records.values()] == [
        ["101", "2026-11-24 20:00:00", "0", "15", "0"],
        ["102", "2026-11-24 20:00:01", "1", "15", "0"],
        ["103", "2026-11-24 20:00:02", "2", "15", "0"],
        ["104", "2026-11-24 20:00:03", "3", "15", "0"],
        ["105", "2026-11-24 20:00:04", "255", "15", "0"],
    ]
    assert [(request.method, request.path) for request in server.requests] == [
        ("GET", "/iclock/cdata"),
        ("POST", "/iclock/cdata"),
        ("GET", "/iclock/getrequest"),
    ]


@pytest.mark.parametrize("plain_ok", [True, False])
@pytest.mark.parametrize(
    "fault",
    [site.status(500), site.status(429, Retry_After="2"), site.hang(0.7), site.half_closed, site.taken_but_unanswered, site.status(200, b"<html>login")],
    ids=["500", "429", "timeout", "half-closed", "answer lost", "a page"],
)
def test_after_each_fault_every_record_is_there(store: Store, server: Adms, fault: site.Fault, plain_ok: bool) -> None:
    server.plain_ok = plain_ok
    for number in range(1, 6):
        punch(store, number, NOON + number)
    server.faults.extend([fault] * 3)
    drained(store, server, rounds=8)
    assert len(server.records) == 5
    assert {state for _, state in states(store)} == {"delivered"}


def test_a_record_that_the_server_does_not_accept_is_found_and_kept(store: Store, server: Adms) -> None:
    server.refused_pins.add("103")
    for number in range(1, 6):
        punch(store, number, NOON + number)
    drained(store, server)
    assert len(server.records) == 4
    assert [(letter.code, letter.answer) for letter in store.outbox.dead_letters()] == [("103", "the server accepted 0 of 1 records: HTTP 200: OK: 0")]


def test_a_record_that_makes_the_server_fail_does_not_hold_up_the_others(store: Store, server: Adms) -> None:
    server.poison_pins.add("103")
    for number in range(1, 6):
        punch(store, number, NOON + number)
    clock = Clock(NOON + 1000)
    drained(store, server, rounds=2, clock=clock)
    assert sorted(pin for pin, _ in server.records) == ["101", "102", "104", "105"]
    for later in range(6):
        punch(store, 1, NOON + 100 + later)
        drained(store, server, rounds=2, clock=clock)
    [letter] = store.outbox.dead_letters()
    assert letter.code == "103" and "HTTP 500" in str(letter.answer)


def test_servers_that_count_only_new_records(store: Store, server: Adms) -> None:
    server.counts_only_new = True
    punch(store, 1, NOON)
    punch(store, 2, NOON)
    drained(store, server)
    assert store.outbox.fill("adms", 0.0, again=True) == 2
    drained(store, server, count_checked=False)
    assert store.outbox.dead_letters() == [] and len(server.records) == 2
    assert store.outbox.fill("adms", 0.0, again=True) == 2
    drained(store, server)
    assert len(store.outbox.dead_letters()) == 2


def test_events_wait_while_the_serial_number_is_unknown(store: Store, server: Adms) -> None:
    punch(store, 1, NOON)
    said = drained(store, server, serial="OTHER")
    assert "the server does not know the serial number OTHER: HTTP 200: UNKNOWN DEVICE" in said[0]
    assert store.outbox.summary()[0].waiting == 1 and store.outbox.dead_letters() == []


def test_no_plain_text_is_sent_where_the_server_requires_its_own_encryption(store: Store, server: Adms) -> None:
    server.options = server.options.replace("Encrypt=None", "Encrypt=1")
    punch(store, 1, NOON)
    assert "own encryption, which is not supported" in drained(store, server)[0]
    assert not server.records


def test_commands_are_answered_and_dangerous_ones_refused(store: Store, server: Adms, tmp_path: Path) -> None:
    for later in range(3):
        punch(store, 1, NOON + later * 3600)
    drained(store, server)
    server.records.clear()
    server.commands.append(
        "C:1:DATA QUERY ATTLOG StartTime=2026-11-24 20:30:00\tEndTime=2026-11-24 21:00:00\n"
        f"C:2:SHELL touch {tmp_path}/owned\n"
        "C:ab3:CHECK\nC:4:DATA UPDATE USERINFO PIN=1\tName=x\nC:5:REBOOT\nC:6:DATA QUERY ATTLOG\nnonsense"
    )
    drained(store, server, rounds=2)
    assert server.replies == [
        "ID=1&Return=0&CMD=DATA",
        "ID=2&Return=-1002&CMD=SHELL",
        "ID=ab3&Return=0&CMD=CHECK",
        "ID=4&Return=-1002&CMD=DATA",
        "ID=5&Return=-1002&CMD=REBOOT",
        "ID=6&Return=-1&CMD=DATA",
    ]
    assert [at for _, at in server.records] == ["2026-11-24 21:00:00"]  # asked for, sent again
    assert not (tmp_path / "owned").exists()


ODD = {
    "C:1:": "ID=1&Return=-1&CMD=",
    "C:1: \t ": "ID=1&Return=-1&CMD=",
    "C:1:DATA QUERY ATTLOG StartTime=0000-00-00 00:00:00\tEndTime=2026-11-24 23:00:00": "ID=1&Return=-1&CMD=DATA",
    "C:1:DATA QUERY ATTLOG StartTime=2026-02-30 00:00:00\tEndTime=2026-11-24 23:00:00": "ID=1&Return=-1&CMD=DATA",
    "C:1:DATA QUERY ATTLOG StartTime=2026-99-99": "ID=1&Return=-1&CMD=DATA",
    "C:1:DATA QUERY ATTLOG StartTime=0001-01-01 00:00:00\tEndTime=9999-12-31 23:59:59": "ID=1&Return=0&CMD=DATA",
    "c:1:data query attlog starttime=2026-11-24T00:00:00\tendtime=2026-11-24T23:59:59": "ID=1&Return=0&CMD=DATA",
    "\ufeffC:1:DATA QUERY ATTLOG StartTime=2026-11-24\tEndTime=2026-11-24": "ID=1&Return=0&CMD=DATA",
    "C:1:check": "ID=1&Return=0&CMD=CHECK",
}


@pytest.mark.parametrize("command", ODD)
def test_odd_commands_are_answered_and_the_terminal_goes_on(store: Store, server: Adms, command: str) -> None:
    punch(store, 1, NOON)
    server.commands.append(command)
    assert drained(store, server) == []
    assert server.replies == [ODD[command]]
    server.records.clear()
    punch(store, 2, NOON)
    assert drained(store, server, rounds=2) == []
    assert ("102", "2026-11-24 20:00:00") in server.records
    assert (("101", "2026-11-24 20:00:00") in server.records) == (ODD[command] == "ID=1&Return=0&CMD=DATA")


def test_greetings_and_answers_in_other_spellings(store: Store, server: Adms) -> None:
    server.greeting, server.accepts = "\ufeffget option from: {serial}", "\ufeffok : {taken}"
    server.options = server.options.lower()
    punch(store, 1, NOON)
    assert drained(store, server) == [] and len(server.records) == 1 and store.outbox.summary()[0].waiting == 0


def test_a_negative_answer_is_a_refusal(store: Store, server: Adms) -> None:
    server.accepts = "OK: -1"
    punch(store, 1, NOON)
    drained(store, server, count_checked=False)
    assert str(store.outbox.dead_letters()[0].answer).startswith("the server accepted 0 of 1 records")


def test_a_correction_of_a_punch_that_was_not_sent_yet(store: Store, server: Adms) -> None:
    """What counts is sent; a record that does not count any more is none."""
    first, second = punch(store, 1, NOON).id, punch(store, 2, NOON).id
    store.correct(1, first, LastPunch(NOON + 5, "out"), "wrong way round", "Bob")
    store.correct(2, second, None, "was not her", "Bob")
    drained(store, server, rounds=3)
    assert [(fields[0], fields[1], fields[2]) for fields in server.records.values()] == [("101", "2026-11-24 20:00:05", "1")]
    assert store.outbox.dead_letters() == []


def test_what_is_sent_again_is_what_counts(store: Store, server: Adms) -> None:
    number = punch(store, 1, NOON).id
    drained(store, server)
    store.correct(1, number, LastPunch(NOON + 5, "in"), "the clock was slow", "Bob")
    drained(store, server)
    server.records.clear()  # the server lost its records; somebody asks for all
    store.outbox.fill("adms", 0.0, again=True)
    drained(store, server, rounds=2)
    assert [fields[1] for fields in server.records.values()] == ["2026-11-24 20:00:05"]


def test_the_server_sets_the_interval_between_requests(store: Store, server: Adms) -> None:
    clock = Clock(NOON)
    with courier(store.path, build(settings(server.url)), clock=clock) as made:
        for _ in range(25):
            made.tick()
            clock.now += 1
    assert sum(request.path == "/iclock/getrequest" for request in server.requests) == 3  # at 0, 10 and 20 s


def test_corrections(store: Store, server: Adms) -> None:
    number = punch(store, 1, NOON).id
    drained(store, server)
    store.correct(1, number, LastPunch(NOON + 5, "in"), "the clock was slow", "Bob")
    store.correct(1, None, LastPunch(NOON + 60, "out"), "camera was off", "Bob")
    drained(store, server, rounds=3)
    assert [(fields[1], fields[2], fields[3]) for fields in server.records.values()] == [
        ("2026-11-24 20:00:00", "0", "15"),
        ("2026-11-24 20:01:00", "1", "200"),
    ]
    assert "this protocol only adds records" in str(store.outbox.dead_letters()[0].answer)


def test_the_test_event(server: Adms) -> None:
    connector = build(settings(server.url))
    assert "the server knows CLKF0001 and accepted a record of PIN 999999999: HTTP 200: OK: 1" in connector.test(sample_event(connector.test_code))
    server.always = site.status(401)
    with refused("connector", "HTTP 401"):
        build(settings(server.url)).test(sample_event("1"))


def test_settings_that_cannot_be_honoured() -> None:
    with refused("config.missing", "serial"):
        settings("http://x", serial="")
