"""MQTT with a real broker: QoS 1, discovery, last will, TLS, permissions, a broker that stops and starts again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from device.config import OutboxSettings
from device.delivery.connectors import build, read_settings
from device.delivery.connectors.mqtt import Target
from device.delivery.outcomes import Failed
from device.storage.records import LastPunch
from device.storage.store import Store
from tests.device.fakes.broker import PASSWORD, USER, Broker, broker, listening, until
from tests.device.fakes.terminal import START, Clock, courier, punch, sample_event, states
from tests.refused import refused

ROOT = Path(__file__).resolve().parents[3]
paho_leaves_socket = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # to the garbage collector, after a failed handshake


@pytest.fixture(scope="module")
def shared_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with broker(tmp_path_factory.mktemp("broker")) as made:
        yield made


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("MQTT_PASSWORD", PASSWORD)
    with Store.open(tmp_path / "clockface.db") as opened:
        opened.outbox.set_targets(["home"])
        opened.add_person("Zoë", "E1")
        opened.add_person("Bob", "E2")
        yield opened


def settings(made: Broker, **more: Any) -> Any:
    table = {"kind": "mqtt", "host": "127.0.0.1", "port": made.port, "tls": False, "user": USER, "password": "env:MQTT_PASSWORD", "node": "door"}
    return read_settings("home", {**table, "timeout_seconds": 3.0, **more})


def restore_interrupts() -> None:
    """A test suite that was started in the background ignores SIGINT, and so would its child processes."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def drained(store: Store, connector: Any, clock: Clock | None = None) -> list[str]:
    with courier(store.path, connector, OutboxSettings(first_retry_seconds=1.0), clock or Clock()) as made:
        made.drain()
        return made.said  # type: ignore[attr-defined,no-any-return]


def test_punches_and_corrections_are_published_once_in_order(shared_broker: Broker, store: Store) -> None:
    for number in range(50):
        punch(store, 1 + number % 2, START + number, "out" if number % 3 else "in")
    store.correct(1, 1, LastPunch(START - 60, "in"), "the clock was slow", "Bob")
    with listening(shared_broker.port, "clockface/door/#") as heard:
        drained(store, build(settings(shared_broker)))
        until(lambda: len([topic for topic, *_ in heard if topic.endswith(("punch", "correction"))]) >= 51)
    events = [json.loads(text) for topic, text, *_ in heard if topic.endswith("/punch")]
    assert [event["punch_id"] for event in events if event["person_id"] == 1] == list(range(1, 51, 2))
    assert len({event["id"] for event in events}) == len(events) == 50
    assert (events[0]["event_type"], events[0]["code"], events[0]["occurred_at"]) == ("in", "E1", "2026-11-18T11:06:40.000Z")
    assert "name" not in events[0]
    [(_, text, retained, qos)] = [message for message in heard if message[0].endswith("/correction")]
    assert (json.loads(text)["event_type"], json.loads(text)["punch_id"], retained, qos) == ("correction", 1, False, 1)
    assert store.outbox.summary()[0].waiting == 0


def test_names_are_sent_only_if_configured(shared_broker: Broker, store: Store) -> None:
    punch(store, 1)
    with listening(shared_broker.port, "clockface/door/punch") as heard:
        drained(store, build(settings(shared_broker, names=True)))
        until(lambda: heard)
    assert json.loads(heard[0][1])["name"] == "Zoë"


def test_refused_attempts_are_an_event_without_a_person(shared_broker: Broker, store: Store) -> None:
    store.outbox.set_targets(["home"], alarms=["home"])
    store.add_refusal_alarm(START, 3, "front door")
    with listening(shared_broker.port, "clockface/door/refused_attempts") as heard:
        drained(store, build(settings(shared_broker, names=True)))
        until(lambda: heard)
    body = json.loads(heard[0][1])
    key = body.pop("id")
    assert key.startswith("refused_attempts-1-")
    assert body == {"event_type": "refused_attempts", "occurred_at": "2026-11-18T11:06:40.000Z", "attempts": 3, "device": "front door", "late": True}


def test_home_assistant_finds_the_terminal(shared_broker: Broker, store: Store) -> None:
    drained_once = build(settings(shared_broker))
    drained_once.tick(0.0, None)  # type: ignore[arg-type]
    with listening(shared_broker.port, "homeassistant/#") as heard:  # subscribes afterwards, so it gets only retained messages
        until(lambda: len(heard) >= 4)
    assert all(retained for *_, retained, _ in heard)
    found = {topic: json.loads(text) for topic, text, *_ in heard}
    punch_event = found["homeassistant/event/clockface_door/punch/config"]
    assert {"event_types", "state_topic", "availability_topic", "unique_id", "device", "name"} <= set(punch_event)
    assert punch_event["event_types"] == ["in", "out", "break_start", "break_end", "auto"]
    assert len({config["unique_id"] for config in found.values()}) == 4
    assert {config["availability_topic"] for config in found.values()} == {"clockface/door/availability"}
    assert {config["device"]["identifiers"][0] for config in found.values()} == {"clockface_door"}
    drained_once.close()


def test_availability_by_last_will(shared_broker: Broker, store: Store, tmp_path: Path) -> None:
    """For a process that is killed the broker publishes "offline"; one that stops publishes it itself."""
    config = tmp_path / "clockface.toml"
    table = {"kind": '"mqtt"', "host": '"127.0.0.1"', "port": shared_broker.port, "tls": "false", "user": f'"{USER}"', "node": '"gate"'}
    lines = [f"{key} = {value}" for key, value in {**table, "password": '"env:MQTT_PASSWORD"'}.items()]
    config.write_text("[connectors.home]\n" + "\n".join(lines) + "\n")
    command = [sys.executable, "-m", "device", "outbox", "drain", "--db", str(store.path), "--config", str(config)]
    with listening(shared_broker.port, "clockface/gate/availability") as heard:
        for stop, count in ((signal.SIGKILL, 2), (signal.SIGINT, 4)):
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=restore_interrupts)
            until(lambda count=count: len(heard) >= count - 1, 60)
            process.send_signal(stop)
            until(lambda count=count: len(heard) >= count, 30)
            process.wait(30)
    assert [text for _, text, *_ in heard] == ["online", "offline"] * 2
    with listening(shared_broker.port, "clockface/gate/availability") as heard:
        until(lambda: heard)
    assert heard[0][1:3] == ("offline", True)


@paho_leaves_socket
def test_tls_checks_the_broker(shared_broker: Broker, store: Store) -> None:
    punch(store, 1)
    said = drained(store, build(settings(shared_broker, tls=True, port=shared_broker.tls_port)))
    assert "no connection to 127.0.0.1" in said[0] and "certificate" in said[0]
    assert (store.outbox.summary()[0].waiting, store.outbox.dead_letters()) == (1, [])
    store.outbox.replay()
    with store.transaction() as db:
        db.execute("UPDATE targets SET next_attempt_at = 0")
    more = {"tls": True, "port": shared_broker.tls_port, "ca_file": str(shared_broker.ca_file), "wait_for_listener": False}
    drained(store, build(settings(shared_broker, **more)))
    assert {state for _, state in states(store)} == {"delivered"}


@paho_leaves_socket
@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"user": "stranger"}, "did not accept the connection: Not authorized"),
        ({"port": 9}, "no connection to 127.0.0.1:9"),
        ({"tls": True}, "no connection to 127.0.0.1"),
    ],
    ids=["wrong user", "no broker there", "TLS to a port without it"],
)
def test_failures_are_reported_without_the_password(shared_broker: Broker, store: Store, more: dict[str, Any], words: str) -> None:
    punch(store, 1)
    said = drained(store, build(settings(shared_broker, timeout_seconds=1.0, **more)))
    assert words in said[0] and PASSWORD not in str(said)
    assert (store.outbox.summary()[0].waiting, store.outbox.dead_letters()) == (1, [])


@paho_leaves_socket
def test_plain_text_to_a_tls_port_of_the_broker(shared_broker: Broker, store: Store) -> None:
    punch(store, 1)
    said = drained(store, build(settings(shared_broker, timeout_seconds=1.0, port=shared_broker.tls_port)))
    assert "did not accept the connection" in said[0] or "no connection" in said[0]
    assert store.outbox.summary()[0].waiting == 1


def test_events_wait_while_the_password_is_wrong(shared_broker: Broker, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MQTT_PASSWORD", "a-wrong-password")
    punch(store, 1)
    said = drained(store, build(settings(shared_broker)))
    assert "Not authorized" in said[0] and "a-wrong-password" not in str(said)


def test_a_broker_that_stops_and_starts_again(tmp_path: Path, store: Store) -> None:
    folder = tmp_path / "broker"
    folder.mkdir()
    with broker(folder) as made:
        connector = build(settings(made, timeout_seconds=1.0))
        clock = Clock()
        with courier(store.path, connector, OutboxSettings(first_retry_seconds=1.0), clock) as delivering, listening(made.port, "clockface/door/punch"):
            punch(store, 1, START)
            delivering.drain()
            made.stop()
            punch(store, 1, START + 60)
            delivering.drain()
            assert store.outbox.summary()[0].waiting == 1
            clock.now += 100
            made.start()
            with listening(made.port, "clockface/#") as heard:
                delivering.drain()
                until(lambda: [topic for topic, *_ in heard if topic.endswith("/punch")])
    assert [json.loads(text)["punch_id"] for topic, text, *_ in heard if topic.endswith("/punch")] == [2]
    assert [text for topic, text, *_ in heard if topic.endswith("/availability")] == ["online"]


def test_a_missing_permission_is_a_failure(tmp_path: Path, store: Store) -> None:
    folder = tmp_path / "broker"
    folder.mkdir()
    with broker(folder) as made:
        made.stop()
        made.forbid("clockface/door/punch")
        made.start()
        punch(store, 1)
        said = drained(store, build(settings(made)))
    assert "did not accept a message: reason 0x87; give the user write access" in said[0]
    assert (store.outbox.summary()[0].waiting, store.outbox.dead_letters()) == (1, [])


def test_events_wait_until_somebody_receives_them(shared_broker: Broker, store: Store) -> None:
    """As while Home Assistant is away: the broker has the message, and it is gone."""
    number = punch(store, 1).id
    store.correct(1, number, LastPunch(START - 60, "in"), "the clock was slow", "Bob")
    connector, clock = build(settings(shared_broker)), Clock()
    with courier(store.path, connector, OutboxSettings(first_retry_seconds=1.0), clock) as made:
        made.drain()
        assert "nobody receives clockface/door/punch; it waits" in made.said[0] and store.outbox.summary()[0].waiting == 2  # type: ignore[attr-defined]
        clock.now += 100
        with listening(shared_broker.port, "clockface/door/punch") as heard:
            made.drain()
            until(lambda: heard)
            clock.now += 100
            made.drain()
        assert store.outbox.summary()[0].waiting == 1  # the correction: nobody receives anything of this terminal but punches
        clock.now += 100
        with listening(shared_broker.port, "clockface/door/#") as heard:
            made.drain()
            until(lambda: [topic for topic, *_ in heard if topic.endswith("/correction")])
    assert store.outbox.summary()[0].waiting == 0


def test_last_punch_never_goes_back_and_old_events_are_marked(shared_broker: Broker, store: Store) -> None:
    with listening(shared_broker.port, "clockface/yard/#") as heard:
        connector = Target(settings(shared_broker, node="yard"), Clock(START + 10))
        for at in (START - 86_400, START, START - 3600, START + 5):
            punch(store, 1, at)
            drained(store, connector)
        until(lambda: len(heard) >= 7)
    assert [text for topic, text, *_ in heard if topic.endswith("/last_punch")] == ["2026-11-18T11:06:40.000Z", "2026-11-18T11:06:45.000Z"]
    assert [json.loads(text)["late"] for topic, text, *_ in heard if topic.endswith("/punch")] == [True, False, True, False]


def test_a_test_does_not_throw_the_running_terminal_off(shared_broker: Broker, store: Store) -> None:
    running = Target(settings(shared_broker, node="roof"))
    assert running.tick(0.0, None) is not None  # type: ignore[arg-type]
    with listening(shared_broker.port, "clockface/roof/availability") as heard:
        until(lambda: heard)
        guest = Target(settings(shared_broker, node="roof"))
        guest.test(sample_event("X"))
        guest.close()
        assert running.tick(0.0, None) is None and [text for _, text, *_ in heard] == ["online"]  # type: ignore[arg-type]
    running.close()


def test_two_terminals_of_one_name_are_told_and_do_not_fight(shared_broker: Broker, store: Store) -> None:
    first, second = (Target(settings(shared_broker, node="twin")) for _ in range(2))
    outcomes = []
    for _ in range(3):
        for one in (first, second):
            outcomes.append(one.tick(0.0, None))  # type: ignore[arg-type]
            time.sleep(0.2)
    failed = next(outcome for outcome in outcomes if isinstance(outcome, Failed))
    assert "give each terminal its own node" in failed.answer and failed.retry_after_seconds == 60.0
    first.close()
    second.close()


def test_the_test_event(shared_broker: Broker, store: Store) -> None:
    connector = build(settings(shared_broker))
    with listening(shared_broker.port, "clockface/door/test") as heard:
        assert connector.test(sample_event("CLOCKFACE-TEST")) == "the broker accepted a message on clockface/door/test"
        until(lambda: heard)
    assert json.loads(heard[0][1])["event_type"] == "test"
    until(lambda: connector.test(sample_event("CLOCKFACE-TEST")).endswith("; nobody receives this topic"))
    connector.close()
    with refused("connector", "no connection"):
        build(settings(shared_broker, port=9, timeout_seconds=0.5)).test(sample_event("X"))


@pytest.mark.parametrize(
    ("more", "code", "word"),
    [
        ({"node": "a/b"}, "name", "node = 'a/b'"),
        ({"base": "#"}, "name", "base = '#'"),
        ({"password": ""}, "together", "user and password"),
        ({"ca_file": "/no/such/file"}, "no_file", "ca_file: /no/such/file"),
        ({"port": 0}, "range", "1 to 65535"),
    ],
)
def test_settings_that_cannot_be_honoured(monkeypatch: pytest.MonkeyPatch, more: dict[str, Any], code: str, word: str) -> None:
    monkeypatch.setenv("MQTT_PASSWORD", PASSWORD)
    table = {"kind": "mqtt", "host": "x", "user": USER, "password": "env:MQTT_PASSWORD", **more}
    with refused(f"config.{code}", word):
        build(read_settings("home", table))


def test_the_node_is_this_machine_unless_named(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Target(read_settings("home", {"kind": "mqtt", "host": "x"}))
    assert made.node and all(character.isalnum() or character in "-_" for character in made.node)
