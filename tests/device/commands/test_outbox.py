"""`outbox`, `connectors` and `doctor` as people run them, with their typical mistakes."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from device.__main__ import main
from device.config.loader import load
from device.maintenance import doctor
from device.storage.store import Store
from tests.device.fakes import site
from tests.device.fakes.site import serving
from tests.device.fakes.terminal import START, punch
from tests.device.fakes.webhook import Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with serving(Receiver()) as made:
        yield made


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Three punches of two people, recorded before any target was there."""
    path = tmp_path / "clockface.db"
    with Store.open(path) as store:
        for name, code in (("Ann", "E1"), ("Bob", None)):
            store.add_person(name, code)
        for number, person in enumerate((1, 2, 1)):
            punch(store, person, START + number * 86_400)
    return path


@pytest.fixture
def settings(receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "key").write_text("whsec_" + base64.b64encode(bytes(32)).decode() + "\n")
    path = tmp_path / "clockface.toml"
    path.write_text(f'[connectors.payroll]\nkind = "webhook"\nurl = "{receiver.url}/in"\nsecret = "file:{tmp_path}/key"\n')
    return path


def outbox(database: Path, settings: Path, *arguments: str) -> int:
    return main(["outbox", *arguments, "--db", str(database), "--config", str(settings)])


def test_fill_drain_dead_replay(database: Path, settings: Path, receiver: Receiver, capsys: pytest.CaptureFixture[str]) -> None:
    assert outbox(database, settings) == 0
    assert "configured, but not started yet: payroll" in capsys.readouterr().out
    assert outbox(database, settings, "fill", "payroll", "--from", "2026-11-19") == 0
    assert capsys.readouterr().out == "2 events queued for payroll\n"
    assert outbox(database, settings, "drain", "--once") == 0
    assert capsys.readouterr().out == "payroll: 2 events done, 0 waiting, 1 dead letters\n"
    assert [event["punch_id"] for event in receiver.events.values()] == [3]
    assert outbox(database, settings, "dead", "--json") == 0
    [letter] = json.loads(capsys.readouterr().out)
    assert (letter["event_id"], letter["person_id"], letter["occurred_at"]) == (2, 2, "2026-11-19T11:06:40.000Z")
    assert letter["answer"].startswith("person 2 has no code")
    assert outbox(database, settings, "dead") == 0
    assert "person 2 has no code" in capsys.readouterr().out
    assert outbox(database, settings, "replay", "payroll", "--id", str(letter["id"])) == 0
    assert capsys.readouterr().out == "1 dead letters replayed\n"
    assert outbox(database, settings, "drain", "--once") == 0
    assert outbox(database, settings, "discard", "--all") == 0
    assert outbox(database, settings, "list", "--json") == 0
    said = capsys.readouterr().out
    [target] = json.loads(said[said.index("[") :])
    assert (target["connector"], target["waiting"], target["dead"], target["active"]) == ("payroll", 0, 0, True)


def test_an_alarm_that_a_target_refuses_is_a_dead_letter_of_nobody(
    database: Path, settings: Path, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    assert outbox(database, settings, "drain", "--once") == 0  # from now on the target is told
    with Store.open(database) as store:
        store.add_refusal_alarm(START, 3, "front door")
    receiver.faults.append(lambda handler: handler.reply(site.Reply(413, b"too large")))
    assert outbox(database, settings, "drain", "--once") == 0
    capsys.readouterr()
    assert outbox(database, settings, "dead") == 0
    shown = capsys.readouterr().out
    assert "refused_attempts 1" in shown and "None" not in shown and "does not count" not in shown
    assert outbox(database, settings, "dead", "--json") == 0
    [letter] = json.loads(capsys.readouterr().out)
    assert (letter["kind"], letter["person_id"], letter["occurred_at"]) == ("refused_attempts", None, "2026-11-18T11:06:40.000Z")
    assert outbox(database, settings, "replay") == 0 and outbox(database, settings, "drain", "--once") == 0
    assert [event["event"] for event in receiver.events.values()] == ["refused_attempts"]


def test_drain_once_says_what_is_left(database: Path, settings: Path, receiver: Receiver, capsys: pytest.CaptureFixture[str]) -> None:
    receiver.always = site.status(503, b"closed on Sundays")
    outbox(database, settings, "fill", "payroll", "--from", "2026-11-18")
    assert outbox(database, settings, "drain", "--once") == 1
    said = capsys.readouterr()
    assert "payroll: 0 events done, 3 waiting" in said.out or "payroll: 1 events done, 2 waiting" in said.out
    assert "outbox payroll: HTTP 503: closed on Sundays; next attempt in" in said.err
    assert outbox(database, settings) == 0
    assert "closed on Sundays" in " ".join(capsys.readouterr().out.split())


def test_a_table_that_was_renamed_or_removed(database: Path, settings: Path, receiver: Receiver, capsys: pytest.CaptureFixture[str]) -> None:
    outbox(database, settings, "fill", "payroll", "--from", "2026-11-18")
    settings.write_text(settings.read_text().replace("connectors.payroll", "connectors.wages"))
    assert outbox(database, settings, "move", "payroll", "wages") == 0
    assert "3 events that waited for payroll wait for wages now" in capsys.readouterr().out
    assert outbox(database, settings, "drain", "--once") == 0
    assert sorted(str(event["punch_id"]) for event in receiver.events.values()) == ["1", "3"]
    whole = settings.read_text()
    settings.write_text("")
    assert "outbox move wages NEW" in doctor.check_outbox(load(settings), database, START).words.replace("`", "")
    assert outbox(database, settings, "discard", "wages", "--all") == 0
    assert "1 events discarded" in capsys.readouterr().out
    assert outbox(database, settings, "list", "--json") == 0 and json.loads(capsys.readouterr().out) == []
    settings.write_text(whole)
    assert outbox(database, settings, "move", "payroll", "wages") == 1
    assert "no target 'payroll'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["move", "payroll"], "outbox move OLD NEW"),
        (["replay", "payroll", "wages"], "outbox move OLD NEW"),
        (["fill", "payroll"], "fill needs the target and a day"),
        (["fill", "--from", "2026-11-19"], "fill needs the target and a day"),
        (["fill", "payroll", "--from", "2026-11-19", "--to", "2026-11-18"], "--from lies after --to"),
        (["fill", "payroll", "--from", "yesterday"], "neither a day"),
        (["discard"], "discard needs --id N or --all"),
        (["list", "--once"], "--once goes with drain"),
        (["drain", "--from", "2026-11-19"], "--from goes with fill"),
        (["shred"], "invalid choice: 'shred'"),
    ],
)
def test_wrong_usage(database: Path, settings: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        outbox(database, settings, *arguments)
    assert caught.value.code == 2 and words in capsys.readouterr().err


def test_unknown_targets_are_named(database: Path, settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert outbox(database, settings, "fill", "payrol", "--from", "2026-11-19") == 1
    assert "no target 'payrol'; known: payroll" in capsys.readouterr().err
    assert main(["outbox", "drain", "--once", "--db", str(database)]) == 1
    assert "no connector is configured" in capsys.readouterr().err


def test_two_processes_do_not_deliver_the_same(database: Path, settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from device.storage.database import CourierLock

    lock = CourierLock(database)
    try:
        assert outbox(database, settings, "drain", "--once") == 1
    finally:
        lock.release()
    assert "in use by a process that delivers its punches" in capsys.readouterr().err


def test_a_missing_secret_stops_the_start_by_name(database: Path, settings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "key").unlink()
    assert outbox(database, settings, "drain", "--once") == 1
    assert main(["run", "--source", str(tmp_path), "--db", str(database), "--config", str(settings), "--once", "--headless"]) == 1
    said = capsys.readouterr().err
    assert said.count("[connectors.payroll] secret") == 2 and "cannot be read" in said


def test_connectors_list_and_test(settings: Path, receiver: Receiver, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["connectors", "list", "--config", str(settings)]) == 0
    assert capsys.readouterr().out.split() == ["payroll", "webhook", f"{receiver.url}/in"]
    assert main(["connectors", "test", "payroll", "--config", str(settings)]) == 0
    assert capsys.readouterr().out == "payroll: works: HTTP 200: ok\n"
    [event] = receiver.events.values()
    assert (event["event"], event["code"], event["punch_id"]) == ("test", "CLOCKFACE-TEST", None)
    receiver.always = site.status(401, b"bad signature")
    assert main(["connectors", "test", "payroll", "--config", str(settings), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["answer"].startswith("HTTP 401: bad signature (check the credentials")
    assert main(["connectors", "test", "payrol", "--config", str(settings)]) == 1
    assert "no connector 'payrol'; configured: payroll" in capsys.readouterr().err
    assert main(["connectors", "list"]) == 0
    assert "no connector is configured" in capsys.readouterr().out


def test_doctor_tells_what_is_stuck(database: Path, settings: Path, receiver: Receiver, tmp_path: Path) -> None:
    loaded = load(settings)
    assert doctor.check_outbox(loaded, database, START).words == "payroll: nothing stuck"
    receiver.always = site.status(401)
    outbox(database, settings, "fill", "payroll", "--from", "2026-11-18")
    outbox(database, settings, "drain", "--once")
    with Store.open(database) as store:
        queued = store.outbox.summary()[0].oldest_waiting_at
    assert queued is not None
    finding = doctor.check_outbox(loaded, database, queued + 7200)
    assert finding.state == "warning" and "events wait for payroll, the oldest since" in finding.words and "HTTP 401" in finding.words
    assert "which is not configured" in doctor.check_outbox(load(None), database, queued).words
    (tmp_path / "key").unlink()
    assert doctor.guarded("outbox", lambda: doctor.check_outbox(loaded, database, queued)).state == "FAULT"
