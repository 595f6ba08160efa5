"""The company's desk on a real PostgreSQL: every log in one place, what is decided there reaches the doors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from device.attendance.review import Desk as Reviews
from device.fleet import desk as fleet_desk
from device.fleet import membership, owner, server
from device.fleet.courier import UNSET, exchanging
from device.fleet.membership import set_value
from device.storage import corrections, findings
from device.storage.corrections import CorrectionDraft
from device.storage.fleet_state import DeviceState, accept_faults, devices, fleet_state
from device.storage.keys import OWN
from device.storage.records import LastPunch, PunchDraft
from device.storage.store import Store
from device.system.clock import ClockState
from device.terminal.capture_session import Booth
from device.terminal.twins import Twins
from tests.device.fleet.test_exchange import MODEL, NOW, Door
from tests.refused import refused


@pytest.fixture
def door(company: str, tmp_path: Path) -> Callable[..., Door]:
    return lambda name, site="North", kind="terminal": Door(company, tmp_path, name, site, kind)


def log(store: Store) -> list[tuple[str, str, float]]:
    names = {person.id: person.name for person in store.people()}
    return [(punch.device, names[punch.person_id], punch.occurred_at) for punch in store.punches()]


def test_a_desk_has_every_log_and_no_face(door: Callable[..., Door]) -> None:
    a, b, desk = door("A"), door("B", "South"), door("Desk", "", "desk")
    ada, bob = a.enrol("Ada", "E1", 1), b.enrol("Bob", "E2", 2)
    a.punch(ada, NOW - 60)
    b.punch(bob, NOW - 50)
    for one in (a, b, desk):
        one.exchange()
    a.punch(ada, NOW - 40)
    a.exchange()
    desk.exchange()
    desk.exchange()
    assert log(desk.store) == [("A", "Ada", NOW - 60), ("B", "Bob", NOW - 50), ("A", "Ada", NOW - 40)]
    assert desk.store.verify_chain().ok and len(desk.store.templates(MODEL).ids) == 0
    assert {person.name: desk.store.template_counts_by_person()[person.id] for person in desk.store.people()} == {"Ada": {MODEL: 1}, "Bob": {MODEL: 1}}
    assert desk.store.keys.everyone().keys() == {OWN}  # its login's, and nobody's face


def counting(store: Store, person: str) -> list[tuple[float, str]]:
    """What counts for a person, by time, as worksheets read it."""
    with store.reading() as db:
        return [(entry.occurred_at, entry.direction) for entry in corrections.entries(db, 0, NOW + 1e6).get(store.person(person).id, [])]


def test_corrections_of_a_door_and_of_the_desk_count_at_the_desk(company: str, door: Callable[..., Door]) -> None:
    a, desk = door("A"), door("Desk", "", "desk")
    ada = a.enrol("Ada", "E1", 1)
    for at in (60, 50, 40):
        a.punch(ada, NOW - at)
    a.store.correct(ada, 2, None, "pressed twice", "hr at A")
    a.store.correct(ada, None, LastPunch(NOW - 30, "out"), "forgotten", "hr at A")
    a.exchange()
    desk.exchange()
    there = desk.store.person("E1").id
    assert counting(desk.store, "E1") == [(NOW - 60, "in"), (NOW - 40, "in"), (NOW - 30, "out")]
    desk.store.correct(there, 3, LastPunch(NOW - 41, "break_start"), "a break", "hr at the desk")
    added = desk.store.correct(there, None, LastPunch(NOW - 20, "in"), "door was out of order", "hr at the desk")
    with desk.store.transaction() as db:
        corrections.append(db, CorrectionDraft(there, None, added, LastPunch(NOW - 21, "in"), "a second earlier"), "hr at the desk")
        corrections.append(db, CorrectionDraft(there, None, 2, None, "was no exit"), "hr at the desk")
    desk.exchange()
    assert counting(desk.store, "E1") == [(NOW - 60, "in"), (NOW - 41, "break_start"), (NOW - 21, "in")]
    with server.connected(company) as connection:
        assert [proof.fault for proof in owner.verify(connection)] == ["", "", ""]
        rows = connection.execute("SELECT c.content::jsonb AS c FROM corrections c JOIN devices d ON d.id = device_id WHERE d.kind = 'desk' ORDER BY c.id")
        told = [[row["c"].get(name) for name in ("punch_id", "device", "amends", "amends_device")] for row in rows]
    assert told == [[3, a.member.device, None, None], [None] * 4, [None, None, 2, desk.member.device], [None, None, 2, a.member.device]]
    second = door("Second desk", "", "desk")
    second.exchange()
    assert counting(second.store, "E1") == counting(desk.store, "E1") and second.store.verify_chain("corrections").ok


def test_a_request_made_at_a_door_is_approved_at_the_desk(door: Callable[..., Door]) -> None:
    a, b, desk = door("A"), door("B"), door("Desk", "", "desk")
    b.punch(b.enrol("Bob", "E2", 2), NOW - 70)  # so that the row numbers differ
    ada = a.enrol("Ada", "E1", 1)
    a.punch(ada, NOW - 60)
    a.punch(ada, NOW - 50)
    for one in (b, desk, a, desk):
        one.exchange()
    Reviews(a.store, NOW).request(CorrectionDraft(ada, 2, None, LastPunch(NOW - 50, "out"), "it was the end"), "Ada")
    for one in (a, desk):
        one.exchange()
    (request,) = Reviews(desk.store, NOW).requests("open")
    assert desk.store.person(request.draft.person_id).name == "Ada" and request.before == LastPunch(NOW - 50, "in")
    Reviews(desk.store, NOW).decide(request.id, True, "hr")
    for one in (desk, a, b):
        one.exchange()
    for one in (desk, a, b):
        assert counting(one.store, "E1") == [(NOW - 60, "in"), (NOW - 50, "out")], one.name
    assert [one.state for one in Reviews(a.store, NOW).requests()] == ["approved"]


def test_a_correction_waits_for_its_punch(door: Callable[..., Door]) -> None:
    a, desk = door("A"), door("Desk", "", "desk")
    ada = a.enrol("Ada", "E1", 1)
    for number in range(700):  # more than go up in one round
        a.punch(ada, NOW - 1000 + number)
    a.store.correct(ada, 699, None, "pressed twice", "hr")
    a.exchange(1, rests=False)
    desk.exchange()
    assert len(desk.store.punches()) == 500 and len(counting(desk.store, "E1")) == 500
    a.exchange()
    desk.exchange()
    assert len(desk.store.punches()) == 700 and len(counting(desk.store, "E1")) == 699


def test_a_desk_sends_a_correction_once_although_the_answer_is_lost(company: str, door: Callable[..., Door]) -> None:
    a, desk = door("A"), door("Desk", "", "desk")
    ada = a.enrol("Ada", "E1", 1)
    a.exchange()
    desk.exchange()
    for number in range(3):
        desk.store.correct(desk.store.person("E1").id, None, LastPunch(NOW - number, "in"), f"forgotten {number}", "hr")
        desk.exchange()
        if number == 1:
            with desk.store.transaction() as db:
                db.execute("DELETE FROM copies WHERE chain = 'corrections' AND number = 2")  # as if killed before it was noted
                set_value(db, "at.copies.corrections", "0:0")
    with server.connected(company) as connection:
        assert connection.execute("SELECT count(*) AS n FROM corrections").fetchone()["n"] == 3
    assert ada and len(counting(desk.store, "E1")) == 3


def test_what_the_desk_decides_about_people_reaches_the_doors(company: str, door: Callable[..., Door]) -> None:
    a, b, desk = door("A"), door("B", "South"), door("Desk", "", "desk")
    for name, code, seed in (("Ada", "E1", 1), ("Bob", "E2", 2), ("Cyd", "E3", 3)):
        a.enrol(name, code, seed)
    a.exchange()
    desk.exchange()
    here = {person.name: person.id for person in desk.store.people()}
    desk.store.rename(here["Ada"], "Ada Lind")
    desk.store.deactivate(here["Ada"])
    desk.store.withdraw_consent(here["Bob"])
    desk.store.erase(here["Cyd"])
    desk.store.add_person("Dan", "E4")
    for one in (desk, a, b):
        one.exchange()
    assert [(person.name, person.active) for person in a.store.people() if not person.erased] == [("Ada Lind", False), ("Bob", True), ("Dan", True)]
    assert a.store.template_counts() == {} and b.names() == ["Dan"]  # somebody new at a desk of all sites may enter everywhere, the others where they could
    with server.connected(company) as connection:
        assert {row["name"]: row["erasures_open"] for row in owner.overview(connection)} == {"A": 0, "B": 0, "Desk": 0}


def test_a_desk_of_one_site_sees_that_site(company: str, door: Callable[..., Door]) -> None:
    a, b, desk = door("A"), door("B", "South"), door("Desk north", "North", "desk")
    a.punch(a.enrol("Ada", "E1", 1), NOW)
    b.punch(b.enrol("Bob", "E2", 2), NOW)
    for one in (a, b, desk):
        one.exchange()
    assert desk.names() == ["Ada"] and [row[0] for row in log(desk.store)] == ["A"]
    with membership.opened(desk.store, desk.member) as connection:
        assert {row["told"]["name"] for row in connection.execute("SELECT told FROM devices_of_desk()")} == {"A", "Desk north"}
        for table in ("punches", "corrections", "chain_faults", "aliases", "overview"):
            with refused("fleet.not_allowed"), server.explained():
                connection.execute(f"SELECT * FROM {table}")
    with membership.opened(b.store, b.member) as connection:
        for asked in ("copies('punches', '0', 0, 10)", "devices_of_desk()", f"accept_faults('{b.member.device}')"):
            with refused("fleet.not_allowed"), server.explained():
                connection.execute(f"SELECT * FROM {asked}")


def test_rows_of_an_identity_that_was_given_up_count_for_the_person(door: Callable[..., Door]) -> None:
    a, b, desk = door("A"), door("B"), door("Desk", "", "desk")
    a.enrol("Ada", "E1", 1)
    a.exchange()
    b.punch(b.enrol("Ada", "e1", 2), NOW)  # the same code, while apart
    b.exchange()
    b.exchange()
    desk.exchange()
    assert log(desk.store) == [("B", "Ada", NOW)] and desk.names() == ["Ada"]


def test_the_punches_of_somebody_erased_before_the_desk_joined(door: Callable[..., Door]) -> None:
    a = door("A")
    ada = a.enrol("Ada", "E1", 1)
    a.punch(ada, NOW)
    a.exchange()
    a.store.erase(ada)
    a.exchange()
    desk = door("Desk", "", "desk")
    desk.exchange()
    (person,) = desk.store.people()
    assert person.erased and log(desk.store) == [("A", f"erased-{person.id}", NOW)]


def test_a_terminal_does_not_become_a_desk(company: str, door: Callable[..., Door], tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db") as store:
        store.record_punch(PunchDraft(store.add_person("Ada").id, NOW, "in", "A", "pin", ClockState(True, "boot", 1)))
        with refused("fleet.desk"):
            membership.join(store, owner.invite(company, "Desk", "", "desk"))


def test_switched_off_at_the_desk_refused_at_a_door_within_five_seconds(door: Callable[..., Door]) -> None:
    a, desk = door("A"), door("Desk", "", "desk")
    a.enrol("Ada", "E1", 1)
    a.exchange()
    desk.exchange()
    with running(a), running(desk):
        begin = time.monotonic()
        desk.store.deactivate(desk.store.person("E1").id)
        until_true(lambda: not a.names())
        assert time.monotonic() - begin < 5
        begin = time.monotonic()
        a.store.activate(1)
        a.punch(1, time.time())
        until_true(lambda: len(desk.store.punches()) == 1)
        assert time.monotonic() - begin < 5


def test_a_restored_back_up_goes_on_after_somebody_has_looked(company: str, door: Callable[..., Door]) -> None:
    a, b, desk = door("A"), door("B"), door("Desk", "", "desk")
    ada = a.enrol("Ada", "E1", 1)
    for number in range(4):
        a.punch(ada, NOW - 100 + number)
    a.store.correct(ada, 1, LastPunch(NOW - 99.5, "out"), "before", "hr")
    for one in (a, b, desk, a, b):
        one.exchange()
    restored(a.store, 2)
    for number in range(3):
        a.punch(ada, NOW + number)
    a.exchange()
    look(desk)
    (fault,) = state_of(desk, "A").faults
    assert (fault["chain"], fault["id"], fault["fault"]) == ("punches", 5, "fork") and state_of(desk, "A").level == "bad"
    with server.connected(company) as connection, refused("fleet.no_fault"):
        owner.accept_faults(connection, "B")
    accept_faults(desk.store, state_of(desk, "A"))
    desk.exchange()
    a.store.correct(ada, 3, None, "pressed twice", "hr")
    for one in (a, a, desk):
        one.exchange()
    assert [at - NOW for _, _, at in log(desk.store)] == [-100, -99, -98, -97, 0, 1, 2]
    assert counting(desk.store, "E1") == [(NOW - 99.5, "out"), (NOW - 99, "in"), (NOW - 98, "in"), (NOW - 97, "in"), (NOW + 1, "in"), (NOW + 2, "in")]
    look(desk)
    assert not state_of(desk, "A").problems and {one.ended for one in states(desk) if one.name.startswith("A until")} == {CONTINUED}
    with server.connected(company) as connection:
        assert {proof.fault for proof in owner.verify(connection)} == {""}
    b.enrol("Bob", "E2", 2)  # the keys went along
    b.exchange()
    a.exchange()
    assert len(a.store.templates(MODEL).ids) == 2


def test_a_changed_row_is_left_out_and_the_rest_goes_on(company: str, door: Callable[..., Door]) -> None:
    a = door("A")
    ada = a.enrol("Ada", "E1", 1)
    for number in range(4):
        a.punch(ada, NOW + number)
    with a.store.transaction() as db:
        db.execute("DROP TRIGGER punches_no_update")
        db.execute("UPDATE punches SET occurred_at = 5 WHERE id = 2")
    a.exchange()
    with server.connected(company) as connection:
        assert [row["fault"] for row in owner.accept_faults(connection, "A")] == ["changed"]
    a.exchange()
    with server.connected(company) as connection:
        assert [row["id"] for row in connection.execute("SELECT id FROM punches ORDER BY id")] == [1, 3, 4]
        assert [proof.fault for proof in owner.verify(connection)] == ["", ""]


def test_a_continuation_whose_answer_is_lost(company: str, door: Callable[..., Door]) -> None:
    a = door("A")
    ada = a.enrol("Ada", "E1", 1)
    for number in range(4):
        a.punch(ada, NOW + number)
    a.exchange()
    restored(a.store, 2)
    for number in range(3):
        a.punch(ada, NOW + 10 + number)
    a.exchange()
    with server.connected(company) as connection:
        owner.accept_faults(connection, "A")
    with membership.opened(a.store, a.member) as connection:
        assert connection.execute("SELECT continue_chain('punches', 3, (SELECT hash FROM known_rows('punches', 9) WHERE id = 2))").fetchone()
        with refused("fleet.not_allowed"), server.explained():
            connection.execute("SELECT continue_chain('punches', 3, NULL)")
    a.exchange()
    with server.connected(company) as connection:
        assert connection.execute("SELECT count(*) AS n FROM punches").fetchone()["n"] == 7
        assert [proof.fault for proof in owner.verify(connection)] == ["", ""]


def test_one_face_under_two_names_is_told_to_hr_and_never_merged(company: str, door: Callable[..., Door]) -> None:
    a, b, desk = door("A"), door("B"), door("Desk", "", "desk")
    a.enrol("Ada Kern", "E17", 1)
    b.enrol("A. Kern", "E99", 1)  # the same face while apart
    b.enrol("Bob Lind", "E2", 2)
    for one in (a, b, a, b):
        one.exchange()
    assert [twins(one).look(one.store) for one in (a, a, b)] == [1, 0, 1]
    for one in (a, b, desk, a, b):
        one.exchange()
    for one in (a, b, desk):
        with one.store.reading() as db:
            (found,) = findings.open_findings(db)
        assert {person.name for person in found.people} == {"Ada Kern", "A. Kern"} and found.score == pytest.approx(1)
        assert len(one.names()) == 3
    assert found.device == "A"
    findings.decide_two(desk.store, found.key, "user:1")
    with refused("store.decided"):
        findings.decide_two(desk.store, found.key, "user:1")
    for one in (desk, a, b):
        one.exchange()
    assert twins(b).look(b.store) == 0  # also after a restart
    for one in (a, b, desk):
        with one.store.reading() as db:
            assert findings.open_findings(db) == [] and fleet_state(db).twins == 0


def twins(door: Door) -> Twins:
    """The search of a terminal whose model takes scores of 0.9 for one person."""
    card = SimpleNamespace(model_id=MODEL, embedding_size=8)
    using = SimpleNamespace(embedder=SimpleNamespace(card=card, cohort=None), capacity=100, threshold=lambda people: 0.9)
    return Twins(Booth(time.monotonic, using), door.name)


CONTINUED = "its chain ended in a fault that was accepted"


def restored(store: Store, newest: int) -> None:
    """As an older back-up of the database has it."""
    with store.transaction() as db:
        for trigger in ("punches_no_delete", "corrections_no_delete"):
            db.execute(f"DROP TRIGGER IF EXISTS {trigger}")
        db.execute("DELETE FROM outbox")
        db.execute("DELETE FROM punches WHERE id > ?", [newest])
        db.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'punches'", [newest])


def look(desk: Door) -> None:
    with membership.opened(desk.store, desk.member) as connection:
        fleet_desk.look(desk.store, connection)


def states(desk: Door) -> list[DeviceState]:
    with desk.store.reading() as db:
        return devices(db, time.time())


def state_of(desk: Door, name: str) -> DeviceState:
    return next(one for one in states(desk) if one.name == name)


@contextmanager
def running(door: Door) -> Iterator[None]:
    """Its courier, on a thread, as beside a running terminal."""
    with door.own(), exchanging(door.store.path, UNSET, print):
        until_true(lambda: membership.value(door.store, "heard") != "")  # it is connected
        yield


def until_true(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)
