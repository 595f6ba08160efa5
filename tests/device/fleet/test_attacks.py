"""What a false server, a stolen login or a careless neighbour tries, and what a terminal makes of it; on a real PostgreSQL."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from device.fleet import courier, membership, owner, server
from device.fleet.owner import Invitation
from device.fleet.server import Connection
from device.storage.store import Store
from tests.device.fleet.authority import Authority, serve
from tests.device.fleet.cluster import Cluster
from tests.device.fleet.test_exchange import MODEL, Door
from tests.device.fleet.test_server import KEY, chain, joined, login, push
from tests.refused import refused

FUNCTIONS = """SELECT p.oid, p.oid::regprocedure::text AS name, p.pronargs, p.prosrc, p.prosecdef, p.proconfig, p.prorettype = 'trigger'::regtype AS trigger
    FROM pg_proc p WHERE pronamespace = 'clockface'::regnamespace"""
HEAD = "me()", "desk()", "sees(", "session_user"  # each function that runs with the owner's rights asks first who is calling


@pytest.fixture
def door(company: str, tmp_path: Path) -> Callable[..., Door]:
    return lambda name, site="North": Door(company, tmp_path, name, site)


def test_a_server_of_another_name_is_refused(postgres: Cluster, company: str, tmp_path: Path) -> None:
    """The certificate is valid and of the company's authority, but another host's; or of the right host and another authority."""
    own = Authority()
    invitation = owner.invite(company, "Gate A", "North", authority=own.pem)
    asked = Invitation(**{**invitation.__dict__, "sslmode": "verify-full"})
    for certificate in (own.sign(["other.example", "127.0.0.2"]), Authority("Another one").sign(["127.0.0.1"])):
        serve(postgres, certificate)
        with Store.open(tmp_path / "a.db") as store, refused("fleet.login", "certificate"):
            membership.join(store, asked)
    serve(postgres, own.sign(["db.example", "127.0.0.1"]))
    with Store.open(tmp_path / "a.db") as store:
        member = membership.join(store, asked)
        with membership.opened(store, member) as connection:
            assert connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone() == {"ssl": True}
        serve(postgres, own.sign(["other.example"]))
        with refused("fleet.login", "127.0.0.1"), membership.opened(store, member):
            pass


@pytest.mark.parametrize("sslmode", ["disable", "allow", "prefer", "require", "verify-ca", ""])
def test_beyond_this_machine_only_a_proven_server_is_spoken_to(sslmode: str, tmp_path: Path) -> None:
    weak = Invitation("f", "Gate A", "North", "db.example", 5432, "clockface", sslmode, "", "clockface_x", "secret", "")
    with Store.open(tmp_path / "a.db") as store, refused("fleet.tls", "db.example", "verify-full"):
        membership.join(store, weak)
    for host in ("127.0.0.1", "::1", "localhost", "/run/postgresql"):
        server.check_tls(host, sslmode)
    server.check_tls("db.example", "verify-full")


def contents(connection: Connection) -> dict[str, Any]:
    """Every table of the schema, but for when somebody was last seen."""
    names = connection.execute("SELECT relname FROM pg_class WHERE relnamespace = 'clockface'::regnamespace AND relkind = 'r'").fetchall()
    rows = {row["relname"]: connection.execute(f'SELECT to_jsonb(t) - \'last_seen\' AS row FROM "{row["relname"]}" t').fetchall() for row in names}
    return {name: sorted(map(str, found)) for name, found in rows.items()}


def test_every_function_asks_who_is_calling(company: str) -> None:
    with joined(company, "Gate A") as gate, joined(company, "Gate B") as other, server.connected(company) as connection:
        push(other, chain(2))
        functions = connection.execute(FUNCTIONS).fetchall()
        assert len(functions) >= 20
        asked = "SELECT has_function_privilege(%s, 'execute') AS may"
        may = {row["name"] for row in functions if gate.execute(asked, [row["oid"]]).fetchone() == {"may": True}}
        for row in functions:
            if row["prosecdef"]:
                assert any("search_path=clockface, pg_temp" in setting for setting in row["proconfig"]), row["name"]
                assert row["name"] not in may or any(head in row["prosrc"] for head in HEAD), row["name"]
        public = connection.execute(f"{FUNCTIONS} AND has_function_privilege('public', p.oid, 'execute')").fetchall()
        assert [row["name"] for row in public] == []


def test_a_login_that_was_revoked_calls_every_function_in_vain(company: str) -> None:
    with joined(company, "Gate A") as gate, joined(company, "Gate B") as other:
        push(other, chain(2))
        other.execute("SELECT put('person', %s, NULL, %s)", [str(uuid4()), Jsonb({"name": "Ben"})])
        with server.connected(company) as connection:
            connection.execute("UPDATE devices SET revoked_at = now() WHERE name = 'Gate A'")
            before, functions = contents(connection), connection.execute(FUNCTIONS).fetchall()
        for row in (row for row in functions if not row["trigger"]):
            name = row["name"].partition("(")[0]
            try:
                found = gate.execute(f"SELECT * FROM {name}({', '.join(['NULL'] * row['pronargs'])})").fetchall()
            except psycopg.Error as error:
                assert error.sqlstate in ("CF000", "CF001", "CF002", "42501", "0A000", "42725", "42846", "22004"), (name, error)
            else:
                assert not any(value for one in found for value in one.values()), (name, found)
        with server.connected(company) as connection:
            assert contents(connection) == before


def test_a_stolen_login_writes_nothing_in_anothers_name(company: str) -> None:
    with joined(company, "Gate A") as gate, joined(company, "Gate B", "South") as other:
        push(other, chain(2))
        key = str(uuid4())
        other.execute("SELECT put('person', %s, NULL, %s)", [key, Jsonb({"name": "Ben"})])
        row = other.execute("SELECT id FROM devices").fetchone()
        assert row is not None
        with server.connected(company) as connection:
            before = contents(connection)
        for statement, values in (
            ("SELECT wrap_all(%s::uuid[], %s::uuid[], ARRAY['\\x00'::bytea], true)", [[key], [row["id"]]]),
            ("SELECT wrap_all(%s::uuid[], %s::uuid[], ARRAY['\\x00'::bytea], false)", [[key], [row["id"]]]),
            ("SELECT wrap(%s::uuid, %s::uuid, '\\x00')", [key, row["id"]]),
            ("SELECT drop_state('person', %s)", [key]),
            ("SELECT claim_rotation(%s::uuid)", [key]),
            ("SELECT erase(%s::uuid)", [key]),
            ("SELECT put('person', %s, ARRAY[%s]::uuid[], '{\"name\": \"Eve\"}')", [key, row["id"]]),
            ('SELECT * FROM "join"(%s)', [KEY]),
        ):
            try:
                gate.execute(statement, values)
            except psycopg.Error as error:
                assert error.sqlstate in ("CF001", "CF002", "CF003", "CF004"), (statement, error)
        with server.connected(company) as connection:
            assert contents(connection) == before


@pytest.mark.parametrize(
    ("kind", "key", "body"),
    [
        ("person", str(uuid4()), {}),
        ("person", str(uuid4()), {"name": None, "created_at": 1}),
        ("person", str(uuid4()), {"name": ["x"], "code": {"a": 1}, "created_at": "now"}),
        ("person", str(uuid4()), {"name": "Eve", "created_at": 10**30}),
        ("template", str(uuid4()), {"model_id": 3}),
        ("consent", str(uuid4()), {"wording": 1}),
        ("pin", "x", {"hash": None, "set_at": []}),
    ],
)
def test_a_row_that_is_nonsense_holds_nobody_up(door: Callable[..., Door], kind: str, key: str, body: dict[str, Any]) -> None:
    a, b = door("A"), door("B")
    with a.own(), membership.opened(a.store, a.member) as connection:
        if kind != "person":
            owner_of = str(uuid4())
            connection.execute("SELECT put('person', %s, NULL, %s)", [owner_of, Jsonb({"name": "Eve", "created_at": 1})])
            body = {**body, "person": owner_of}
        connection.execute("SELECT put(%s, %s, NULL, %s, '\\x01')", [kind, key, Jsonb(body)])
    a.enrol("Ada Kern", "E17", 1)
    a.exchange()
    b.exchange()
    assert "Ada Kern" in b.names() and len(b.store.templates(MODEL).ids) == 1


@pytest.mark.parametrize(("kind", "key", "body"), [("person", "no uuid", "{}"), ("finding", "x", "[1]"), ("finding", "x", '{"much": "' + "x" * 10**6 + '"}')])
def test_a_form_that_nobody_could_bear_is_refused(company: str, kind: str, key: str, body: str) -> None:
    with joined(company, "Gate A") as gate, pytest.raises(psycopg.errors.CheckViolation):
        gate.execute("SELECT put(%s, %s, NULL, %s::jsonb)", [kind, key, body])


def test_a_key_that_does_not_open_holds_nobody_up(company: str, door: Callable[..., Door]) -> None:
    a, b = door("A"), door("B")
    ada = a.enrol("Ada", "E1", 1)
    a.exchange()
    ben = a.enrol("Ben", "E2", 2)
    a.exchange()
    with server.connected(company) as connection:
        for length in (0, 31, 92):
            uuid = a.store._db.execute("SELECT uuid FROM people WHERE id = ?", [ada]).fetchone()[0]
            sql = "UPDATE wrapped_keys SET wrapped = %s, xid = pg_current_xact_id(), seq = nextval('arrivals') WHERE person = %s AND device_id = %s"
            connection.execute(sql, [os.urandom(length), uuid, b.member.device])
    b.exchange()
    assert b.names() == ["Ada", "Ben"] and len(b.store.templates(MODEL).ids) == 1
    assert courier.up.health(b.store)["not_understood"] == 1
    a.store.rename(ben, "Benno")
    a.exchange()
    b.exchange()
    assert "Benno" in b.names()


def test_who_was_erased_meanwhile_is_forgotten_before_anybody_is_recognised(door: Callable[..., Door]) -> None:
    a, c = door("A"), door("C")
    ada = a.enrol("Ada", "E1", 1)
    a.enrol("Ben", "E2", 2)
    a.exchange()
    c.exchange()
    a.store.erase(ada)
    a.exchange()
    assert len(c.store.templates(MODEL).ids) == 2
    lines: list[str] = []
    with c.own():
        courier.catch_up(c.store, lines.append)  # `run` calls it before it loads a gallery
    assert c.names() == ["Ben"] and len(c.store.templates(MODEL).ids) == 1 and lines == []


def test_a_newer_schema_is_told_and_nothing_stops(company: str, door: Callable[..., Door], monkeypatch: pytest.MonkeyPatch) -> None:
    a = door("A")
    ada = a.enrol("Ada", "E1", 1)
    with server.connected(company) as connection:
        connection.execute("INSERT INTO migrations (number) VALUES (9000)")
        connection.execute("ALTER TABLE state ADD COLUMN more text DEFAULT 'unknown'; ALTER TABLE punches ADD COLUMN more text DEFAULT 'unknown'")
    a.punch(ada, 1_790_000_000.0)
    lines: list[str] = []
    with a.own(), membership.opened(a.store, a.member) as connection:
        connection.execute("SELECT put('finding', 'of a later version', NULL, '{}')")
        exchange = courier.FleetCourier(a.store, a.member, lines.append)
        exchange.resume(connection)
        while exchange.round(connection):
            pass
        exchange._report(connection)
    assert any("schema 9000" in line and "update it" in line for line in lines)
    with server.connected(company) as connection:
        (row,) = owner.overview(connection)
        assert row["heads"] == {"punches": 1} and "update it" in row["health"]["schema"]


def test_a_full_disk_at_the_database_loses_nothing(company: str, door: Callable[..., Door]) -> None:
    """PostgreSQL's own error for it, raised where it comes from when rows are written; `docs/fleet.md` names a trial with a disk that is full."""
    a = door("A")
    ada = a.enrol("Ada", "E1", 1)
    full = "RAISE EXCEPTION 'could not extend file \"base/5/1\": No space left on device' USING ERRCODE = 'disk_full';"
    with server.connected(company) as connection:
        connection.execute(f"CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {full} END $$")
        connection.execute("CREATE TRIGGER full_disk BEFORE INSERT ON punches FOR EACH ROW EXECUTE FUNCTION full_disk()")
    for number in range(3):
        a.punch(ada, 1_790_000_000.0 + number)
        with refused("fleet.full", "free space"):
            a.exchange()
    assert len(a.store.punches()) == 3
    with server.connected(company) as connection:
        connection.execute("DROP TRIGGER full_disk ON punches")
    a.exchange()
    with server.connected(company) as connection:
        assert [(proof.rows, proof.fault) for proof in owner.verify(connection)] == [(3, "")]


def test_a_clock_a_day_ahead(company: str, door: Callable[..., Door]) -> None:
    """The punch stands with its own time, the server's stamp says when it came."""
    a = door("A")
    ada = a.enrol("Ada", "E1", 1)
    with server.connected(company) as connection:
        row = connection.execute("SELECT extract(epoch FROM now()) AS now").fetchone()
    assert row is not None
    ahead = float(row["now"]) + 86400
    a.punch(ada, ahead)
    a.exchange()
    with membership.opened(a.store, a.member) as connection:
        courier.FleetCourier(a.store, a.member, clock=lambda: ahead)._report(connection)
    with server.connected(company) as connection:
        found = connection.execute("SELECT occurred_at, extract(epoch FROM received_at) AS received FROM punches").fetchone()
        assert found is not None
        assert abs(found["occurred_at"] / 1000 - ahead) < 0.01 and abs(float(found["received"]) - float(row["now"])) < 60
        (device,) = owner.overview(connection)
        assert abs(device["health"]["clock_ahead"] - 86400) < 60


def test_a_login_that_has_not_joined_reads_nothing(company: str) -> None:
    with joined(company, "Gate B") as other:
        other.execute("SELECT put('person', %s, NULL, %s)", [str(uuid4()), Jsonb({"name": "Ben"})])
    with login(owner.invite(company, "Gate A", "North")) as gate:
        for statement in ("SELECT * FROM state", "SELECT * FROM wrapped_keys", "SELECT push('punches', '[]')", "SELECT * FROM doors('0', 0, 0, 10)"):
            try:
                assert gate.execute(statement).fetchall() == [], statement
            except psycopg.Error as error:
                assert error.sqlstate == "CF000", statement
