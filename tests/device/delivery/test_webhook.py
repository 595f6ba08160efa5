"""The signed webhook with a receiver that checks signatures as the standard says, through every kind of fault."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from device.config import OutboxSettings
from device.delivery.connectors import Connector, build, read_settings
from device.storage.store import Store
from tests.device.fakes import site
from tests.device.fakes.site import serving
from tests.device.fakes.terminal import START, Clock, courier, punch, sample_event
from tests.device.fakes.webhook import Receiver
from tests.refused import refused

KEY, OLD_KEY = bytes(range(32)), bytes(range(100, 132))


def sealed(key: bytes) -> str:
    return "whsec_" + base64.b64encode(key).decode()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with serving(Receiver()) as made:
        yield made


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_KEY", sealed(KEY))
    monkeypatch.setenv("HOOK_OLD_KEY", sealed(OLD_KEY))


def webhook(url: str, **more: Any) -> Connector:
    return build(read_settings("payroll", {"kind": "webhook", "url": url, "secret": "env:HOOK_KEY", "timeout_seconds": 0.4, **more}))


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "clockface.db"
    with Store.open(path) as store:
        store.outbox.set_targets(["payroll"])
        for number in range(6):
            punch(store, store.add_person(f"P{number}", f"E{number}").id, START + number)
    return path


def test_signature_over_id_time_and_body(receiver: Receiver, database: Path) -> None:
    with courier(database, webhook(receiver.url + "/hooks/in?site=1", previous_secret="env:HOOK_OLD_KEY")) as made:
        assert made.drain() == 6
    for request in receiver.requests:
        assert (request.method, request.path, request.query) == ("POST", "/hooks/in", {"site": "1"})
        headers = request.headers
        assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + request.body
        expected = ["v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in (KEY, OLD_KEY)]
        assert headers["webhook-signature"].split() == expected
        assert request.json["id"] == headers["webhook-id"]
    first = next(request.json for request in receiver.requests if request.json["punch_id"] == 1)
    assert first == {
        "event": "punch",
        "id": first["id"],
        "punch_id": 1,
        "person_id": 1,
        "name": "P0",
        "code": "E0",
        "occurred_at": "2026-11-18T11:06:40.000Z",
        "direction": "in",
        "method": "face",
        "score": 0.61,
        "lead": 0.33,
        "threshold": 0.42,
        "clock_synchronised": True,
        "device": "front door",
    }


def test_the_standards_own_example() -> None:
    """Test vector of the Standard Webhooks specification's reference libraries."""
    from device.delivery.connectors.webhook import signature

    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}') == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    "fault",
    [
        site.status(500),
        site.status(503, Retry_After="1"),
        site.status(429, Retry_After="1"),
        site.busy_until_date(1.0, skew=-86_400.0),
        site.status(401),
        site.status(404),
        site.status(302, Location="http://127.0.0.1:1/"),
        site.hang(0.6),
        site.half_closed,
        site.taken_but_unanswered,
        site.cut_short,
        site.garbage,
    ],
    ids=["500", "503", "429", "429 by a wrong clock", "401", "404", "redirect", "timeout", "half-closed", "answer lost", "cut short", "garbage"],
)
def test_after_each_fault_everything_arrives_once(receiver: Receiver, database: Path, fault: site.Fault) -> None:
    receiver.faults.extend([fault, fault])
    clock = Clock(time.time())
    with courier(database, webhook(receiver.url), OutboxSettings(first_retry_seconds=0.5), clock) as made:
        for _ in range(10):
            made.drain()
            clock.now += 2
        assert made.store.outbox.dead_letters() == []
    assert sorted(event["punch_id"] for event in receiver.events.values()) == [1, 2, 3, 4, 5, 6]  # type: ignore[type-var]


@pytest.mark.parametrize("code", [400, 413, 422])
def test_a_refusal_is_kept_with_its_answer(receiver: Receiver, database: Path, code: int) -> None:
    receiver.faults.append(site.status(code, b"<html><b>no such</b> employee"))
    with courier(database, webhook(receiver.url, parallel=1)) as made:
        made.drain()
        [letter] = made.store.outbox.dead_letters()
    assert (letter.event_id, letter.answer) == (1, f"HTTP {code}: no such employee")
    assert len(receiver.events) == 5


@pytest.mark.parametrize(
    ("more", "answer"),
    [
        ({}, site.status(200, b"<!DOCTYPE html><title>Sign in</title>")),
        ({}, site.status(200, b"welcome", Content_Type="text/html")),
        ({"confirmed": True}, None),
    ],
    ids=["a page", "a page by its type", "no confirmation"],
)
def test_an_answer_that_is_not_the_receivers_is_no_delivery(receiver: Receiver, database: Path, more: dict[str, Any], answer: site.Fault | None) -> None:
    receiver.always = answer
    clock = Clock(time.time())
    with courier(database, webhook(receiver.url, **more), OutboxSettings(first_retry_seconds=0.5), clock) as made:
        made.drain()
        assert (made.store.outbox.summary()[0].waiting, made.store.outbox.dead_letters()) == (6, [])
        with refused("connector"):
            made.connector.test(sample_event("X"))
        receiver.always = lambda handler: handler.reply(site.Reply(200, b"stored " + handler.headers["webhook-id"].encode()))
        clock.now += 10
        made.drain()
        assert made.store.outbox.summary()[0].waiting == 0


def test_a_receiver_that_does_not_know_alarms_is_not_asked_again(receiver: Receiver, database: Path) -> None:
    receiver.always = site.status(422, b"unknown event refused_attempts")
    with courier(database, webhook(receiver.url)) as made:
        with made.store.transaction() as db:
            db.execute("DELETE FROM outbox")
        made.store.add_refusal_alarm(START, 3, "front door")
        made.drain()
        assert (made.store.outbox.dead_letters(), made.store.outbox.summary()[0].waiting) == ([], 0)


def test_events_wait_while_no_receiver_listens(database: Path) -> None:
    with courier(database, webhook("http://127.0.0.1:9")) as made:
        made.drain()
        health = made.store.outbox.summary()[0]
    assert (health.waiting, health.failures) == (6, 1)
    assert health.error == "no connection to 127.0.0.1:9: [Errno 111] Connection refused"


def test_a_target_that_sends_single_bytes_slowly_does_not_block_a_lane(receiver: Receiver, database: Path) -> None:
    def drip(handler: site.Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        for _ in range(30):
            handler.wfile.write(b".")
            handler.wfile.flush()
            time.sleep(0.1)

    receiver.faults.append(drip)
    with courier(database, webhook(receiver.url, parallel=1)) as made:
        begin = time.monotonic()
        made.round()
        assert time.monotonic() - begin < 2.5
        with made.store.reading() as db:
            assert (1, "waiting") in [(row[0], row[1]) for row in db.execute("SELECT punch_id, state FROM outbox").fetchall()]


@pytest.mark.parametrize("code", [400, 401, 500])
def test_secrets_stay_out_of_answers_and_logs(receiver: Receiver, database: Path, code: int) -> None:
    key = sealed(KEY)
    receiver.always = site.status(code, f"you sent {key} and {key.removeprefix('whsec_')}".encode())
    with courier(database, webhook(receiver.url)) as made:
        made.drain()
        with made.store.reading() as db:
            stored = str([list(row) for table in ("outbox", "targets", "audit") for row in db.execute(f"SELECT * FROM {table}")])
        said = str(made.said)  # type: ignore[attr-defined]
        shown = repr(made.connector.secrets) + str(vars(made.connector.secrets[0]).keys())
    assert "you sent *** and ***" in stored + said
    assert base64.b64encode(KEY).decode() not in stored + said + shown


@pytest.mark.parametrize(
    ("table", "code", "word"),
    [
        ({"url": "http://x", "secret": "env:NO_SUCH"}, "secret", "[connectors.payroll] secret: the environment has no 'NO_SUCH'"),
        ({"url": "http://x", "secret": "file:/no/such/file"}, "secret", "secret: /no/such/file cannot be read (FileNotFoundError)"),
        ({"url": "http://x", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, "secret", "secret: expected file:PATH or env:NAME"),
        ({"url": "http://x", "secret": 12345678}, "secret", "secret: expected file:PATH or env:NAME"),
        ({"url": "http://x", "secret": "env:SHORT"}, "secret", "at least 24 bytes"),
        ({"url": "http://x", "secret": "env:LONG"}, "secret", "at most 64"),
        ({"url": "https://x", "secret": "env:HOOK_KEY", "ca_file": "/no/such/ca.pem"}, "no_file", "[connectors.payroll] ca_file: /no/such/ca.pem"),
        ({"url": "http://x"}, "missing", "[connectors.payroll] secret"),
        ({"secret": "env:HOOK_KEY"}, "missing", "[connectors.payroll] url"),
        ({"url": "ftp://x", "secret": "env:HOOK_KEY"}, "address", "url"),
        ({"url": "http://me:pass@x", "secret": "env:HOOK_KEY"}, "secret", "url: user and password"),
        (
            {"url": "http://x", "secret": "env:HOOK_KEY", "paralel": 4},
            "unknown",
            "paralel: unknown setting; known: timeout_seconds, url, secret, previous_secret, confirmed, parallel",
        ),
        ({"url": "http://x", "secret": "env:HOOK_KEY", "parallel": 99}, "range", "parallel = 99: allowed range 1 to 16"),
        ({"url": "http://x", "secret": "env:HOOK_KEY", "timeout_seconds": "10"}, "type", "expected float, got str"),
        ({"url": "http://x", "secret": "env:HOOK_KEY", "kind": "fax"}, "choice", "kind = 'fax': expected one of webhook, erpnext"),
    ],
)
def test_settings_that_cannot_be_honoured_are_named(monkeypatch: pytest.MonkeyPatch, table: dict[str, Any], code: str, word: str) -> None:
    monkeypatch.setenv("SHORT", "whsec_" + base64.b64encode(b"short").decode())
    monkeypatch.setenv("LONG", "whsec_" + base64.b64encode(bytes(65)).decode())
    with refused(f"config.{code}", word) as caught:
        build(read_settings("payroll", {"kind": "webhook", **table}))
    assert "MfKQ9r8" not in str(caught.value) and "12345678" not in str(caught.value) and "pass@" not in str(caught.value)


@pytest.mark.parametrize("name", ["Payroll", "", "-x", "a b", "x" * 33, "../x"])
def test_invalid_connector_names_are_refused(name: str) -> None:
    with refused("config.name"):
        read_settings(name, {"kind": "webhook", "url": "http://x", "secret": "env:HOOK_KEY"})


def test_a_correction_is_delivered(receiver: Receiver, database: Path) -> None:
    with Store.open(database) as store:
        store.correct(1, 1, None, "was not her", "Bob")
    with courier(database, webhook(receiver.url)) as made:
        made.drain()
    event = next(event for event in receiver.events.values() if event["event"] == "correction")
    assert (event["punch_id"], event["correction_id"], event["direction"], event["occurred_at"], event["reason"]) == (1, 1, None, None, "was not her")
    assert json.dumps(event)
