"""What the owner of a fleet does: sites, invitations, revocations, an overview, and the proof of every chain."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.json import Jsonb

from device.fleet.server import Connection, FleetError, check_tls, connected

VALID = timedelta(hours=1)


@dataclass(frozen=True)
class Invitation:
    """What a terminal needs to join, once; the password in it ends with the first use or after an hour."""

    fleet: str
    name: str  # of the device
    site: str
    host: str
    port: int
    database: str
    sslmode: str
    authority: str  # PEM text of the certificate that signs the server's; "" where the system knows it
    role: str
    password: str
    until: str  # ISO 8601
    kind: str = "terminal"  # or "desk"

    def to_json(self) -> str:
        return json.dumps({"clockface": "invitation", **self.__dict__}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Invitation:
        try:
            fields = json.loads(text)
            if fields.pop("clockface") != "invitation":
                raise ValueError("another kind of file")
            return cls(**fields)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise FleetError(f"this is no invitation ({error}); make one with `python -m device fleet invite`", code="fleet.invitation") from error


def add_site(connection: Connection, name: str) -> UUID:
    """The site of this name, made if it is new."""
    connection.execute("INSERT INTO sites (name) VALUES (%s) ON CONFLICT DO NOTHING", [name])
    return site(connection, name)


def site(connection: Connection, name: str) -> UUID:
    """The id of a site.

    Raises:
        FleetError: no such site.
    """
    row = connection.execute("SELECT id FROM sites WHERE name = %s", [name]).fetchone()
    if row is None:
        names = ", ".join(found["name"] for found in connection.execute("SELECT name FROM sites ORDER BY 1")) or "none yet"
        raise FleetError(f"there is no site {name!r}; there are: {names}. `python -m device fleet sites --add {name!r}` makes it", code="fleet.site")
    return UUID(str(row["id"]))


def invite(
    url: str, name: str, site_name: str, kind: str = "terminal", authority: str = "", valid: timedelta = VALID, gives: Mapping[str, Any] | None = None
) -> Invitation:
    """Make a login for a new device, which can be used once to join.

    Args:
        gives: what the set-up code gives besides that the invitation is made for, without passwords; for the history.

    Raises:
        FleetError: no such site, the name is taken, or terminals would not notice another server in the place of this one.
    """
    password = secrets.token_urlsafe(24)
    with connected(url) as connection:
        place = site(connection, site_name) if site_name else None
        if connection.execute("SELECT 1 FROM devices WHERE name = %s AND (joined_at IS NOT NULL OR revoked_at IS NOT NULL)", [name]).fetchone():
            raise FleetError(f"there is or was a device {name!r}; choose another name, old rows keep theirs", code="fleet.name_taken")
        _forget_unused(connection, name)
        device = uuid4()
        role = f"clockface_{device.hex[:12]}"
        row = connection.execute("SELECT now() + %s AS until, (SELECT id FROM fleet) AS fleet", [valid]).fetchone()
        assert row is not None
        until: datetime = row["until"]
        verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
        connection.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} VALID UNTIL {} CONNECTION LIMIT 8").format(
                sql.Identifier(role), sql.Literal(verifier), sql.Literal(until.isoformat())
            )
        )
        for limit in ("idle_in_transaction_session_timeout = '30s'", "statement_timeout = '2min'"):  # a stalled device holds nobody up
            connection.execute(sql.SQL("ALTER ROLE {} SET " + limit).format(sql.Identifier(role)))
        connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(f"clockface_{kind}"), sql.Identifier(role)))
        connection.execute(
            "INSERT INTO devices (id, name, kind, site_id, role, invited_until) VALUES (%s, %s, %s, %s, %s, %s)", [device, name, kind, place, role, until]
        )
        code = {} if gives is None else {"set_up_code": dict(gives)}
        _note(connection, "invited", name, {"kind": kind, "site": site_name, "until": until.isoformat()} | code)
        info, asked = connection.info, conninfo_to_dict(url)
        sslmode = str(asked.get("sslmode") or ("prefer" if info.host.startswith("/") else "verify-full"))
        check_tls(info.host, sslmode)
        return Invitation(str(row["fleet"]), name, site_name, info.host, info.port, info.dbname, sslmode, authority, role, password, until.isoformat(), kind)


def _forget_unused(connection: Connection, name: str) -> None:
    """An invitation that nobody used makes room for a new one."""
    for row in connection.execute("DELETE FROM devices WHERE name = %s AND joined_at IS NULL RETURNING role", [name]).fetchall():
        connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(row["role"])))


def revoke(url: str, name: str) -> int:
    """Lock a device's login, end its connections and delete the keys sealed for it; returns the number of people whose keys it had.

    Their keys are marked to be made again by the next terminal that has them, so that templates made later do not open with what the device knew.

    Raises:
        FleetError: no such device, or it is revoked already.
    """
    with connected(url) as connection:
        row = connection.execute("UPDATE devices SET revoked_at = now() WHERE name = %s AND revoked_at IS NULL RETURNING id, role", [name]).fetchone()
        if row is None:
            raise FleetError(f"there is no device {name!r} that could be revoked; `python -m device fleet status` lists them", code="fleet.unknown")
        connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN PASSWORD NULL").format(sql.Identifier(row["role"])))
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [row["role"]])
        _note(connection, "revoked", name, {})
        lost = connection.execute("DELETE FROM wrapped_keys WHERE device_id = %s RETURNING person", [row["id"]]).fetchall()
        people = [str(one["person"]) for one in lost]
        connection.execute(
            "UPDATE state SET body = body || '{\"rotate\": true}', xid = pg_current_xact_id(), seq = nextval('arrivals')"
            " WHERE kind = 'person' AND NOT deleted AND key = ANY (%s)",
            [people],
        )
        connection.execute("SELECT pg_notify('clockface_state', 'person')")
    return len(lost)


def _note(connection: Connection, action: str, device: str, details: Mapping[str, Any]) -> None:
    connection.execute("INSERT INTO device_history (action, device, details) VALUES (%s, %s, %s)", [action, device, Jsonb(details)])


def history(connection: Connection) -> list[dict[str, Any]]:
    """What was done with devices, the oldest first: when, by which login of the database, what, and an invitation's details."""
    return connection.execute("SELECT at, by, action, device, details FROM device_history ORDER BY id").fetchall()


def overview(connection: Connection) -> list[dict[str, Any]]:
    """One row per device: where it is, when it was last seen, what it said of itself, its chains, faults that stop them, and erasures it has not confirmed."""
    return [row["told"] for row in connection.execute("SELECT to_jsonb(o) AS told FROM overview o ORDER BY site, name").fetchall()]


def accept_faults(connection: Connection, name: str) -> list[dict[str, Any]]:
    """Somebody has looked at the faults of a device's chains: it goes on from the first row that is not here. What has arrived stays as it is.

    Raises:
        FleetError: no such device, or it has no fault that nobody has accepted.
    """
    rows = connection.execute(
        "UPDATE chain_faults f SET accepted_at = now(), accepted_by = 'the owner' FROM devices d"
        " WHERE d.id = f.device_id AND d.name = %s AND f.accepted_at IS NULL RETURNING f.chain, f.id, f.fault",
        [name],
    ).fetchall()
    if not rows:
        raise FleetError(f"{name!r} is no device whose chain has a fault; `python -m device fleet status` lists them", code="fleet.no_fault")
    connection.execute("SELECT pg_notify('clockface_state', 'fault')")
    return rows


@dataclass(frozen=True)
class ChainProof:
    """What the rows of one device's chain in the database prove."""

    device: str
    chain: str
    rows: int
    head: str
    fault: str  # "" where the chain is whole


def verify(connection: Connection) -> Iterator[ChainProof]:
    """Compute every chain in the database anew, row by row."""
    heads = connection.execute(
        "SELECT d.name, h.* FROM chain_heads h JOIN devices d ON d.id = h.device_id WHERE h.hash IS NOT NULL ORDER BY d.name, h.chain"
    ).fetchall()
    for head in heads:
        yield _proof(connection, head)


def _proof(connection: Connection, head: dict[str, Any]) -> ChainProof:
    rows, number, previous, fault = 0, head["first_id"], head["follows"], ""
    table = sql.Identifier(head["chain"])
    with connection.transaction(), connection.cursor(name="chain") as cursor:
        cursor.execute(sql.SQL("SELECT id, content, hash FROM {} WHERE device_id = %s ORDER BY id").format(table), [head["device_id"]])
        for row in cursor:
            fields = json.loads(row["content"])
            if row["id"] != number or fields["id"] != number:
                fault = f"row {number} is missing"
            elif hashlib.sha256(row["content"].encode()).hexdigest() != row["hash"]:
                fault = f"row {number} was changed after it arrived"
            elif previous is not None and fields["previous_hash"] != previous:
                fault = f"row {number} does not follow the one before it"
            if fault:
                break
            rows, number, previous = rows + 1, number + 1, row["hash"]
    if not fault and (number - 1, previous) != (head["id"], head["hash"]):
        fault = f"row {number} is missing at the end"
    return ChainProof(head["name"], head["chain"], rows, previous or "", fault)
