"""A device that is reset or leaves tells its fleet, which locks it out; nothing waits for a fleet that does not answer. What was done with devices is kept."""

from __future__ import annotations

import json
import platform
import threading
import time
from pathlib import Path

import psycopg
import pytest

from device.__main__ import main
from device.fleet import farewell as leaving
from device.fleet import membership, owner, server
from device.fleet.farewell import farewell
from device.fleet.sealed_box import password_of
from device.maintenance import factory_reset
from device.storage.fleet_state import DeviceState
from device.storage.store import Store
from tests.refused import refused


class Gate:
    """A terminal of a fleet: its database and its membership."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.database = url, folder / "data" / "clockface.db"
        with Store.open(self.database) as store:
            store.add_person("Ann")
            self.member = membership.join(store, owner.invite(url, "Gate A", "North"))
            self.password = password_of(membership.private_key(store), self.member.role)

    def overview(self) -> dict[str, object]:
        with server.connected(self.url) as connection:
            return owner.overview(connection)[0]

    def is_locked_out(self) -> bool:
        try:
            with server.explained(), membership.login(self.database, self.member, self.password):
                return False
        except server.FleetError as error:
            return error.code == "fleet.login"


@pytest.fixture
def gate(company: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gate:
    monkeypatch.setenv("CLOCKFACE_KEYS", str(tmp_path / "keys"))
    return Gate(company, tmp_path)


def test_a_reset_tells_the_fleet(gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    with server.connected(gate.url) as connection:
        mine = connection.execute("SELECT id FROM devices").fetchone()
        assert mine is not None
        person = "00000000-0000-4000-8000-000000000001"
        connection.execute("INSERT INTO state (kind, key, body, xid, seq) VALUES ('person', %s, '{}', pg_current_xact_id(), 1)", [person])
        connection.execute("INSERT INTO wrapped_keys (person, device_id, wrapped) VALUES (%s, %s, '\\x00')", [person, mine["id"]])
    assert not gate.is_locked_out()
    name = platform.node() or "terminal"
    with Store.open(gate.database) as store:
        waiting = str(factory_reset.to_erase(store).undelivered)
    assert main(["reset", "--db", str(gate.database), "--yes", name, "--lose", waiting]) == 0
    said = capsys.readouterr().out
    assert "member of a fleet as Gate A, North, which is told if it answers" in said and "the fleet was told" in said
    state = DeviceState(gate.overview(), time.time())
    assert state.ended.startswith("reset to factory at 20") and state.level == "off" and gate.is_locked_out()
    with server.connected(gate.url) as connection:
        assert connection.execute("SELECT count(*) AS n FROM wrapped_keys").fetchone() == {"n": 0}
        assert connection.execute("SELECT body FROM state WHERE kind = 'person' AND key = %s", [person]).fetchone() == {"body": {"rotate": True}}
    with Store.open(gate.database) as store:
        assert not store.people() and membership.read(store) is None


def test_a_reset_does_not_wait_for_a_fleet_that_is_away(gate: Gate, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    over = threading.Event()

    def away(*_: object) -> None:
        over.wait(60)
        raise server.FleetError("it never answered")

    monkeypatch.setattr(membership, "login", away)
    monkeypatch.setattr(leaving, "SECONDS", 0.1)
    name, began = platform.node() or "terminal", time.monotonic()
    with Store.open(gate.database) as store:
        waiting = str(factory_reset.to_erase(store).undelivered)
    assert main(["reset", "--db", str(gate.database), "--yes", name, "--lose", waiting]) == 0
    assert "the fleet was not told: revoke it there" in capsys.readouterr().out and time.monotonic() - began < 20
    assert DeviceState(gate.overview(), time.time()).ended == ""
    with Store.open(gate.database) as store:
        assert not store.people()
    over.set()


@pytest.mark.parametrize("error", [psycopg.OperationalError("gone"), OSError("no route"), server.FleetError("refused")])
def test_no_error_of_the_fleet_hinders_it(gate: Gate, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(membership, "login", refuse)
    with Store.open(gate.database) as store:
        tell = farewell(store, to_factory=True)
    assert tell is not None and tell() is False


def test_leaving_locks_it_out_without_a_reset(gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fleet", "leave", "--db", str(gate.database)]) == 0
    assert "has locked its login" in capsys.readouterr().out
    assert DeviceState(gate.overview(), time.time()).ended == "revoked" and gate.is_locked_out()
    with Store.open(gate.database) as store:
        assert farewell(store, to_factory=True) is None  # it stands alone


def test_the_history_says_who_did_what_without_a_secret(
    company: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLOCKFACE_FLEET_URL", company)
    monkeypatch.setenv("CLOCKFACE_WIFI_PASSWORD", "secret of the hall")
    more = ["--wifi", "Hall", "--zone", "Europe/Berlin", "--out", str(tmp_path / "code.png")]
    assert main(["fleet", "invite", "Gate B", "--site", "North", "--setup", *more]) == 0
    assert main(["fleet", "invite", "Gate C", "--site", "South", "--out", str(tmp_path / "c.join")]) == 0
    assert main(["fleet", "revoke", "Gate C"]) == 0
    capsys.readouterr()
    assert main(["fleet", "history", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(row["action"], row["device"]) for row in told] == [("invited", "Gate B"), ("invited", "Gate C"), ("revoked", "Gate C")]
    assert told[0]["details"]["set_up_code"] == {"zone": "Europe/Berlin", "network": "Hall"} and "set_up_code" not in told[1]["details"]
    assert all(row["by"] and row["at"] for row in told) and "secret" not in str(told)
    assert main(["fleet", "history"]) == 0 and "invited  Gate B: " in capsys.readouterr().out
    with refused("fleet.append_only"), server.connected(company) as connection:
        connection.execute("DELETE FROM device_history")
