"""The same trials for every kind of target: what it has at the end is what counts, once, whatever happened on the way."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from device.config import OutboxSettings
from device.delivery.outcomes import ConnectorError
from device.storage.records import LastPunch
from device.storage.store import Store
from tests.device.fakes import site
from tests.device.fakes.broker import until
from tests.device.fakes.odoo import API_KEY
from tests.device.fakes.places import CODES, HTTP, KINDS, SECRETS, Had, Place, place
from tests.device.fakes.terminal import Clock, courier, punch, sample_event
from tests.refused import refused

DAY = datetime.fromisoformat("2026-11-24T00:00:00+00:00").timestamp()
CORRECTING = tuple(kind for kind in KINDS if kind != "zkteco")  # the ZKTeco protocol has no corrections
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # sockets of interrupted exchanges

Enter = Callable[..., Place]


@pytest.fixture
def enter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Enter]:
    with ExitStack() as stack:

        def opened(kind: str, zone: str = "UTC") -> Place:
            folder = tmp_path / "place"
            folder.mkdir()
            return stack.enter_context(place(kind, folder, monkeypatch, zone))

        yield opened


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "clockface.db") as opened:
        opened.outbox.set_targets(["target"])
        for number, code in enumerate(CODES):
            opened.add_person(f"P{number}", code)
        yield opened


def at(hour: float) -> float:
    return DAY + hour * 3600


def expected(*punches: tuple[int, str, float]) -> Had:
    return sorted((CODES[person - 1], way, datetime.fromtimestamp(at(hour), timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")) for person, way, hour in punches)


def drained(store: Store, target: Place, rounds: int = 12, clock: Clock | None = None, **more: Any) -> list[str]:
    """Deliver until nothing waits, with a pause after each round; returns what the courier said."""
    clock = clock or Clock(at(40))
    with courier(store.path, target.connector(**more), OutboxSettings(first_retry_seconds=1.0), clock) as made:
        for _ in range(rounds):
            made.drain()
            made.tick()
            clock.now += 40
            if store.outbox.summary()[0].waiting == 0:
                break
        return made.said  # type: ignore[attr-defined,no-any-return]


def ends(store: Store, target: Place, punches: Had) -> None:
    """Nothing waits, nothing was given up, and the target has exactly these."""
    assert (store.outbox.summary()[0].waiting, store.outbox.dead_letters()) == (0, [])
    if target.kind == "mqtt":
        until(lambda: target.has() == punches)
    assert target.has() == punches


def two_days(store: Store) -> Had:
    """In and out of two people on two days."""
    punches = [(person, way, hour) for person in (1, 2) for day in (0, 24) for way, hour in (("in", 8.0 + day), ("out", 17.0 + day))]
    for person, way, hour in sorted(punches, key=lambda one: one[2]):
        punch(store, person, at(hour), way)
    return expected(*punches)


@pytest.mark.parametrize("kind", KINDS)
def test_killed_before_the_outcomes_are_stored(kind: str, store: Store, enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    target, punches = enter(kind), two_days(store)

    def killed(*_: object) -> None:
        raise MemoryError

    for _ in range(3):
        with courier(store.path, target.connector(), OutboxSettings(), Clock(at(40))) as made, pytest.raises(MemoryError):
            monkeypatch.setattr(made.store.outbox, "conclude", killed)
            made.drain()
    drained(store, target)
    ends(store, target, punches)


@pytest.mark.parametrize("lost", range(5))
@pytest.mark.parametrize("kind", HTTP)
def test_an_answer_is_lost(kind: str, lost: int, store: Store, enter: Enter) -> None:
    target, punches = enter(kind), two_days(store)
    target.stand_in.faults.extend([lambda handler: site.GO_ON] * lost + [site.taken_but_unanswered] * 2)
    drained(store, target)
    ends(store, target, punches)


@pytest.mark.parametrize("kind", HTTP)
def test_a_sign_in_page_answers(kind: str, store: Store, enter: Enter) -> None:
    target, punches = enter(kind), two_days(store)
    target.stand_in.always = site.status(200, b"<!doctype html><title>Sign in</title>", Content_Type="text/html")
    drained(store, target, rounds=3)
    assert (store.outbox.summary()[0].waiting, store.outbox.dead_letters()) == (8, [])
    with refused("connector"):
        target.connector().test(sample_event("101"))
    target.stand_in.always = None
    target.stand_in.requests.clear()
    drained(store, target, clock=Clock(at(80)))
    ends(store, target, punches)


ODD = [
    b"", b"null", b"0", b'"OK"', b"[]", b"[[]]", b"{}", b'{"data": null}', b'{"data": 3}', b'{"data": [3]}', b'{"data": [{}]}', b'{"data": [{"name": null}]}',
    b'{"data": {"name": 7}}', b'{"data": {"name": "X", "employee": 3, "time": {}}}', b'{"message": []}', b'{"jsonrpc": "2.0"}',
    b'{"jsonrpc": "2.0", "result": null}', b'{"jsonrpc": "2.0", "result": {"in_mode": 3}}', b'{"jsonrpc": "2.0", "result": [{"id": "x", "active": 1}]}',
    b'{"jsonrpc": "2.0", "result": 5}', b'{"jsonrpc": "2.0", "error": 5}', b'{"jsonrpc": "2.0", "error": {"data": {"name": 3, "message": []}}}',
    b'{"exc_type": 5, "_server_messages": "[3]"}', b"\xff\xfe\x00", b"OK: x", b"OKAY", b"GET OPTION FROM: somebody",
    b"GET OPTION FROM: CLKF0001\nDelay=\xb2\nTimeZone=x",
    b"[" * 3000, b'{"data": ' + b"9" * 5000 + b"}",
]  # fmt: skip


@pytest.mark.parametrize("status", [200, 404, 417, 500])
@pytest.mark.parametrize("kind", ["erpnext", "odoo", "zkteco"])
def test_whatever_a_server_says_is_input(kind: str, status: int, store: Store, enter: Enter) -> None:
    """No answer ends a round with an error of ours, and none of these is a delivery."""
    target, clock = enter(kind), Clock(at(40))
    more: dict[str, Any] = {"shift_types": ["Day Shift"], "sync_minutes": 0.01} if kind == "erpnext" else {}
    number = punch(store, 1, at(8)).id
    store.correct(1, number, LastPunch(at(9), "in"), "the clock was slow", "Bob")
    for body in ODD:
        for skipped in range(3):
            target.stand_in.faults.extend([*[lambda handler: site.GO_ON] * skipped, *[site.status(status, body)] * 6])
            with courier(store.path, target.connector(**more), OutboxSettings(first_retry_seconds=1.0), clock) as made:
                made.drain()
                made.tick()
                with suppress(ConnectorError):
                    made.connector.test(sample_event("101"))
            target.stand_in.faults.clear()
            clock.now += 10_000
    assert target.has() == [] or target.has() == expected((1, "in", 9))


def refuse(target: Place, *codes: str) -> None:
    """From now on the server refuses these people and no others."""
    server = target.stand_in
    if target.kind == "erpnext":
        server.inactive = set(codes)
    elif target.kind == "odoo":
        server.foreign = set(map(int, codes))
    elif target.kind == "zkteco":
        server.refused_pins = set(codes)
    else:
        server.always = lambda handler: handler.reply(site.Reply(422)) if any(f'"code": "{code}"'.encode() in handler.body for code in codes) else site.GO_ON


@pytest.mark.parametrize("kind", HTTP)
def test_one_person_is_refused(kind: str, store: Store, enter: Enter) -> None:
    target = enter(kind)
    refuse(target, "102")
    for person in (1, 2, 3, 4):
        punch(store, person, at(8 + person))
    drained(store, target)
    assert [letter.code for letter in store.outbox.dead_letters()] == ["102"]
    refuse(target)
    if kind == "webhook":
        target.stand_in.requests[:] = [request for request in target.stand_in.requests if request.json["code"] != "102"]
    store.outbox.replay()
    drained(store, target)
    ends(store, target, expected(*[(person, "in", 8.0 + person) for person in (1, 2, 3, 4)]))


@pytest.mark.parametrize("kind", HTTP)
def test_everybody_is_refused(kind: str, store: Store, enter: Enter) -> None:
    target = enter(kind)
    refuse(target, *CODES)
    for person in (1, 2, 3, 4):
        punch(store, person, at(8 + person))
    clock = Clock(at(40))
    said = drained(store, target, rounds=4, clock=clock)
    assert (store.outbox.summary()[0].waiting, store.outbox.dead_letters()) == (4, [])
    assert len(said) == 1 and "refuses several people in a row alike" in said[0]
    refuse(target)
    target.stand_in.requests.clear()
    clock.now += 10_000
    drained(store, target, clock=clock)
    ends(store, target, expected(*[(person, "in", 8.0 + person) for person in (1, 2, 3, 4)]))


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
@pytest.mark.parametrize("kind", CORRECTING)
def test_corrections_arrive_in_any_order(kind: str, order: tuple[int, ...], store: Store, enter: Enter) -> None:
    """8-12 and 13-17: the middle pair is taken back, the end is moved; then all is sent again."""
    target = enter(kind)
    numbers = [punch(store, 1, at(hour), way).id for hour, way in ((8, "in"), (12, "out"), (13, "in"), (17, "out"))]
    drained(store, target)
    changes = [(numbers[1], None), (numbers[2], None), (numbers[3], LastPunch(at(16.5), "out"))]
    for one in order:
        store.correct(1, changes[one][0], changes[one][1], "wrong", "Bob")
        drained(store, target)
    ends(store, target, expected((1, "in", 8), (1, "out", 16.5)))
    store.outbox.fill("target", 0.0, again=True)
    drained(store, target)
    ends(store, target, expected((1, "in", 8), (1, "out", 16.5)))


@pytest.mark.parametrize("kind", CORRECTING)
def test_corrections_made_before_anything_was_sent(kind: str, store: Store, enter: Enter) -> None:
    first, second = punch(store, 1, at(8)).id, punch(store, 1, at(9)).id
    store.correct(1, first, LastPunch(at(7), "in"), "the clock was slow", "Bob")
    store.correct(1, second, None, "was not her", "Bob")
    store.correct(1, None, LastPunch(at(17), "out"), "camera was off", "Bob")
    target = enter(kind)
    drained(store, target)
    ends(store, target, expected((1, "in", 7), (1, "out", 17)))


@pytest.mark.parametrize("kind", KINDS)
def test_filled_again(kind: str, store: Store, enter: Enter) -> None:
    target, punches = enter(kind), two_days(store)
    for _ in range(3):
        drained(store, target)
        store.outbox.fill("target", 0.0, again=True)
    drained(store, target)
    ends(store, target, punches)


@pytest.mark.parametrize("zone", ["America/St_Johns", "Asia/Kathmandu", "Pacific/Kiritimati"])
@pytest.mark.parametrize("kind", ["erpnext", "zkteco", "csv"])
def test_another_zone(kind: str, zone: str, store: Store, enter: Enter) -> None:
    target, punches = enter(kind, zone), two_days(store)
    drained(store, target)
    ends(store, target, punches)


@pytest.mark.parametrize("language", ["de", "en", "zh"])
def test_another_language(language: str, store: Store, enter: Enter) -> None:
    """What was sent in a lost attempt is found, corrected and removed, whatever the site's words are."""
    target = enter("erpnext")
    target.stand_in.language = language
    number = punch(store, 1, at(8)).id
    target.stand_in.faults.extend([lambda handler: site.GO_ON, site.taken_but_unanswered])
    drained(store, target)
    ends(store, target, expected((1, "in", 8)))
    store.correct(1, number, LastPunch(at(9), "in"), "the clock was slow", "Bob")
    drained(store, target)
    ends(store, target, expected((1, "in", 9)))


@pytest.mark.parametrize("instead", [None, LastPunch(at(9), "in")], ids=["removed", "changed"])
@pytest.mark.parametrize("kind", ["erpnext", "odoo"])
def test_a_reference_is_used_again_for_somebody_else(kind: str, instead: LastPunch | None, store: Store, enter: Enter) -> None:
    target = enter(kind)
    number = punch(store, 1, at(8)).id
    drained(store, target)
    rows = target.stand_in.checkins if kind == "erpnext" else target.stand_in.attendances
    [(name, row)] = rows.items()
    row["employee" if kind == "erpnext" else "employee_id"] = "HR-EMP-103" if kind == "erpnext" else 103
    store.correct(1, number, instead, "was not her", "Bob")
    drained(store, target)
    ends(store, target, expected((3, "in", 8), *([(1, "in", 9)] if instead else [])))
    assert name in rows


@pytest.mark.parametrize("kind", ["webhook", "erpnext", "odoo"])
def test_the_key_is_renewed_while_the_terminal_runs(kind: str, store: Store, enter: Enter, tmp_path: Path) -> None:
    target = enter(kind)
    file, setting, name = tmp_path / "key", *{"webhook": ("secret", "HOOK"), "erpnext": ("api_secret", "ERP_SECRET"), "odoo": ("api_key", "ODOO_KEY")}[kind]
    file.write_text(SECRETS[name])
    new = "whsec_" + base64.b64encode(bytes(range(40))).decode() if kind == "webhook" else "a-renewed-key"
    clock = Clock(at(40))
    with courier(store.path, target.connector(**{setting: f"file:{file}"}), OutboxSettings(first_retry_seconds=1.0), clock) as made:
        punch(store, 1, at(8))
        made.drain()
        server = target.stand_in
        if kind == "erpnext":
            server.token = server.token.replace("secret-of-the-api", new)
        elif kind == "odoo":
            assert server.key == API_KEY
            server.key = new
        punch(store, 1, at(17), "out")
        if kind != "webhook":
            made.drain()
            assert store.outbox.summary()[0].waiting == 1
        time.sleep(0.01)
        file.write_text(new + "\n")
        clock.now += 100
        made.drain()
        clock.now += 100
        made.drain()
        assert SECRETS[name] not in made.connector.scrubbed(SECRETS[name]) and new not in made.connector.scrubbed(new)
    ends(store, target, expected((1, "in", 8), (1, "out", 17)))
    if kind == "webhook":
        request = server.requests[-1]
        signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
        assert request.headers["webhook-signature"] == "v1," + base64.b64encode(hmac.digest(bytes(range(40)), signed, hashlib.sha256)).decode()
