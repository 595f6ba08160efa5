"""The company's database: what is refused, what is told, and which rights a terminal's login has; on a real PostgreSQL."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from device.fleet import owner, server
from device.fleet.owner import Invitation
from device.fleet.server import Connection
from device.storage.hash_chain import GENESIS
from tests.device.fleet.cluster import Cluster
from tests.refused import refused

KEY = bytes(range(32))


def login(invitation: Invitation) -> Connection:
    parts = {"host": invitation.host, "port": invitation.port, "dbname": invitation.database, "user": invitation.role, "password": invitation.password}
    return server.connect("", **parts, sslmode="disable")


def joined(url: str, name: str, site: str = "North", kind: str = "terminal") -> Connection:
    connection = login(owner.invite(url, name, site, kind))
    connection.execute('SELECT * FROM "join"(%s)', [KEY])
    return connection


def chain(count: int, previous: str = GENESIS, first: int = 1, at: int = 1_790_000_000_000) -> list[dict[str, Any]]:
    """Punches as a terminal sends them, hashed here independently of it."""
    rows = []
    for number in range(first, first + count):
        fields = {"id": number, "person_id": 7, "occurred_at": at + number, "direction": "in", "method": "pin", "previous_hash": previous}
        content = json.dumps(fields, sort_keys=True, separators=(",", ":"))
        previous = hashlib.sha256(content.encode()).hexdigest()
        rows.append({"content": content, "hash": previous, "person": str(PERSON)})
    return rows


PERSON = uuid4()


def push(connection: Connection, rows: list[dict[str, Any]], name: str = "punches") -> tuple[int, str | None]:
    row = connection.execute("SELECT * FROM push(%s, %s)", [name, Jsonb(rows)]).fetchone()
    assert row is not None
    return row["head"], row["fault"]


def test_an_invitation_is_good_once(company: str) -> None:
    invitation = owner.invite(company, "Gate A", "North")
    with login(invitation) as first:
        row = first.execute('SELECT * FROM "join"(%s)', [KEY]).fetchone()
        assert row is not None and (row["name"], row["kind"], row["site_name"], row["schema"]) == ("Gate A", "terminal", "North", server.NEWEST)
        with refused("fleet.invitation"), server.explained():
            first.execute('SELECT * FROM "join"(%s)', [KEY])
    with refused("fleet.name_taken"):
        owner.invite(company, "Gate A", "North")


def test_an_invitation_expires(company: str) -> None:
    invitation = owner.invite(company, "Gate A", "North", valid=timedelta(seconds=-1))
    with refused("fleet.login"), server.explained():
        login(invitation)
    assert owner.invite(company, "Gate A", "North").role != invitation.role  # the unused one made room


def test_an_unknown_site_is_named(company: str) -> None:
    with refused("fleet.site"):
        owner.invite(company, "Gate A", "West")


def test_migrating_again_does_nothing(company: str) -> None:
    assert server.migrate(company) == []


def test_rows_arrive_once_and_in_order(company: str) -> None:
    rows = chain(10)
    with joined(company, "Gate A") as gate:
        assert push(gate, rows[:4]) == (4, None)
        assert push(gate, rows[2:7]) == (7, None)  # sent again after a lost answer
        assert push(gate, rows[8:]) == (7, "gap")
        assert push(gate, rows[7:]) == (10, None)
    with server.connected(company) as connection:
        assert [proof.fault for proof in owner.verify(connection)] == [""]
        found = connection.execute("SELECT id, occurred_at FROM punches ORDER BY id").fetchall()
        assert [(row["id"], row["occurred_at"]) for row in found] == [(n, 1_790_000_000_000 + n) for n in range(1, 11)]


def test_a_changed_or_forked_row_is_refused_and_told(company: str) -> None:
    rows = chain(3)
    changed = [*rows[:1], {**rows[1], "content": rows[1]["content"].replace('"in"', '"out"')}]
    with joined(company, "Gate A") as gate:
        assert push(gate, changed) == (1, "changed")
        assert push(gate, rows) == (3, None)
        assert push(gate, chain(1, previous=rows[0]["hash"], first=2, at=5)) == (3, "fork")  # a restored back-up that went on elsewhere
        assert push(gate, chain(1, previous="f" * 64, first=4)) == (3, "fork")
    with server.connected(company) as connection:
        (row,) = owner.overview(connection)
        assert [(one["id"], one["fault"]) for one in row["faults"]] == [(2, "changed"), (2, "fork"), (4, "fork")]


def test_a_chain_may_begin_late_but_not_skip(company: str) -> None:
    with joined(company, "Gate A") as gate:  # rows before 50 were removed by policy
        assert push(gate, chain(2, previous="a" * 64, first=50)) == (51, None)
        assert push(gate, chain(1, previous="a" * 64, first=53)) == (51, "gap")


def test_clocks_that_are_far_off_are_taken(company: str) -> None:
    with joined(company, "Gate A") as gate:
        rows = chain(1, at=0) + []
        rows += chain(1, previous=rows[-1]["hash"], first=2, at=4_000_000_000_000)
        assert push(gate, rows) == (2, None)
    with server.connected(company) as connection:
        assert len(connection.execute("SELECT * FROM punches_elsewhen").fetchall()) == 2


def test_a_terminal_sees_people_of_its_site_alone(company: str) -> None:
    north, south, desk = joined(company, "Gate A"), joined(company, "Gate B", "South"), joined(company, "Desk", "", "desk")
    ada, ben = str(uuid4()), str(uuid4())
    with north, south, desk:
        for gate, key, name in ((north, ada, "Ada"), (south, ben, "Ben")):
            gate.execute("SELECT put('person', %s, NULL, %s)", [key, Jsonb({"name": name, "code": name})])
            gate.execute("SELECT put('template', %s, NULL, %s, '\\x01')", [str(uuid4()), Jsonb({"person": key})])
        for gate, seen in ((north, {ada}), (south, {ben}), (desk, {ada, ben})):
            rows = gate.execute("SELECT key, body FROM state").fetchall()
            assert {row["key"] if "name" in row["body"] else row["body"]["person"] for row in rows} == seen
        for statement in ("SELECT put('person', %s, NULL, '{\"name\": \"Eve\"}')", "SELECT erase(%s::uuid)", "SELECT wrap(%s::uuid, (me()).id, '\\x00')"):
            with pytest.raises(psycopg.Error) as error:
                north.execute(statement, [ben])
            assert error.value.sqlstate in ("CF002", "CF003")


def test_a_code_belongs_to_one_person(company: str) -> None:
    north, ada, twin = joined(company, "Gate A"), str(uuid4()), str(uuid4())
    with north:
        north.execute("SELECT put('person', %s, NULL, %s)", [ada, Jsonb({"name": "Ada", "code": "E17"})])
        row = north.execute("SELECT put('person', %s, NULL, %s) AS stored", [twin, Jsonb({"name": "Ada K.", "code": "e17"})]).fetchone()
        assert row is not None and row["stored"] == ada
        assert len(north.execute("SELECT 1 FROM state").fetchall()) == 1


def test_an_erasure_leaves_nothing_and_is_confirmed(company: str) -> None:
    north, ada = joined(company, "Gate A"), str(uuid4())
    with north:
        north.execute("SELECT put('person', %s, NULL, %s)", [ada, Jsonb({"name": "Ada Kern", "code": "E17"})])
        north.execute("SELECT put('template', %s, NULL, %s, '\\x01', '\\x02')", [str(uuid4()), Jsonb({"person": ada, "source": "ada.jpg"})])
        north.execute("SELECT wrap(%s::uuid, (me()).id, '\\x03')", [ada])
        north.execute("SELECT erase(%s::uuid)", [ada])
        with pytest.raises(psycopg.Error) as error:
            north.execute("SELECT put('person', %s, NULL, %s)", [ada, Jsonb({"name": "Ada Kern", "code": "E17"})])
        assert error.value.sqlstate == "CF003"
        with server.connected(company) as connection:
            everything = json.dumps([connection.execute(f"SELECT * FROM {table}").fetchall() for table in ("state", "wrapped_keys")], default=str)
            assert "Kern" not in everything and "ada.jpg" not in everything and "E17" not in everything
            assert owner.overview(connection)[0]["erasures_open"] == 1
        north.execute("SELECT confirm(%s::uuid)", [ada])
        with server.connected(company) as connection:
            assert owner.overview(connection)[0]["erasures_open"] == 0


def test_a_revoked_device_is_locked_out(company: str) -> None:
    invitation = owner.invite(company, "Gate A", "North")
    gate, ada = login(invitation), str(uuid4())
    gate.execute('SELECT * FROM "join"(%s)', [KEY])
    gate.execute("SELECT put('person', %s, NULL, %s)", [ada, Jsonb({"name": "Ada"})])
    gate.execute("SELECT wrap(%s::uuid, (me()).id, '\\x03')", [ada])
    assert owner.revoke(company, "Gate A") == 1
    with pytest.raises(psycopg.OperationalError):  # its connection has ended
        for _ in range(50):
            gate.execute("SELECT pg_sleep(0.1)")
    with refused("fleet.login"), server.explained():
        login(invitation)
    with refused("fleet.unknown"):
        owner.revoke(company, "Gate A")


WRITES = (
    "INSERT INTO {} DEFAULT VALUES", "UPDATE {} SET {} = {}", "DELETE FROM {}",
    "TRUNCATE {}", "DROP TABLE {}", "ALTER TABLE {} DISABLE TRIGGER ALL",
)  # fmt: skip
MAY_READ = {"fleet", "migrations", "state", "wrapped_keys", "devices", "sites"}


def test_a_stolen_login_tries_every_table(company: str) -> None:
    with joined(company, "Gate A") as gate, joined(company, "Gate B") as other:
        push(other, chain(2))
        other.execute("SELECT put('person', %s, NULL, %s)", [str(uuid4()), Jsonb({"name": "Ben"})])
        with server.connected(company) as connection:
            tables = "SELECT relname FROM pg_class WHERE relnamespace = 'clockface'::regnamespace AND relkind IN ('r', 'p')"
            names = [row["relname"] for row in connection.execute(tables)]
        assert len(names) > 12
        for name in names:
            for statement in WRITES:
                with pytest.raises(psycopg.Error) as error:
                    gate.execute(statement.replace("{} = {}", "xid = xid").replace("{}", name))
                assert error.value.sqlstate in ("42501", "42703"), (name, statement)  # not allowed, or no such column
            if name not in MAY_READ:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    gate.execute(f"SELECT * FROM {name}")
        assert [row["name"] for row in gate.execute("SELECT name FROM devices")] == ["Gate A"]
        assert gate.execute("SELECT * FROM wrapped_keys").fetchall() == []
        for statement in ("CREATE TABLE clockface.mine ()", "CREATE ROLE friend", "ALTER ROLE owner PASSWORD 'x'", "SELECT put('setting', 'x', NULL, '{}')"):
            with pytest.raises(psycopg.Error) as error:
                gate.execute(statement)
            assert error.value.sqlstate in ("42501", "CF002")


def test_even_the_owner_does_not_change_a_punch(company: str) -> None:
    with joined(company, "Gate A") as gate:
        push(gate, chain(2))
    for statement in ("UPDATE punches SET direction = 'out'", "DELETE FROM punches", "TRUNCATE punches"):
        with refused("fleet.append_only"), server.connected(company) as connection:
            connection.execute(statement)


def test_other_doors_punches_come_down_once_and_none_is_missed(company: str) -> None:
    a, b = joined(company, "Gate A"), joined(company, "Gate B")
    with a, b:
        a.execute("SELECT put('person', %s, NULL, %s)", [str(PERSON), Jsonb({"name": "Ada"})])
        push(b, chain(1))  # makes the month's partition, for which the first transaction of a month makes the others wait
        late = joined(company, "Gate C")
        late.execute("BEGIN")
        push(late, chain(1))  # its numbers are drawn now and its rows seen later
        push(a, chain(3))
        cursor, seen = ("0", 0), []

        def read() -> None:
            nonlocal cursor
            for row in b.execute("SELECT * FROM doors(%s::xid8, %s, 0, 100)", cursor).fetchall():
                cursor = (str(row["xid"]), row["seq"])
                seen.append((row["device"], row["id"]))

        read()
        late.execute("COMMIT")
        late.close()
        read()
        read()
        assert sorted(seen) == [("Gate A", 1), ("Gate A", 2), ("Gate A", 3), ("Gate C", 1)]


def test_a_server_that_is_away_is_said(postgres: Cluster) -> None:
    with refused("fleet.away"), server.connected(f"postgresql://owner:owner@127.0.0.1:{postgres.port + 1}/x"):
        pass
    with refused("fleet.login"), server.connected(postgres.url(password="wrong", database="postgres")):
        pass
