"""The company's database in PostgreSQL: its schema and migrations, and what its owner does there.

Logins, roles, row-level security and TLS are PostgreSQL's; `schema/` says which rights a terminal has. psycopg is imported here and in the room's
other modules alone, so that a terminal without a fleet does not load it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from device.contract import ClockfaceError

Connection = psycopg.Connection[dict[str, Any]]

OLDEST_SERVER = 150000  # PostgreSQL 15
SCHEMA = Path(__file__).with_name("schema")
GROUPS = ("clockface_terminal", "clockface_desk")  # roles that the logins of devices belong to
CONNECT_SECONDS = 10


class FleetError(ClockfaceError):
    """The company's database cannot be reached or refuses; the message says what to do."""

    code = "fleet"


REFUSALS = {  # by the SQLSTATE of our functions
    "CF000": partial(FleetError, code="fleet.revoked"),
    "CF001": partial(FleetError, code="fleet.invitation"),
    "CF002": partial(FleetError, code="fleet.not_allowed"),
    "CF003": partial(FleetError, code="fleet.person"),
    "CF004": partial(FleetError, code="fleet.key"),
    "CF010": partial(FleetError, code="fleet.append_only"),
}


@contextmanager
def connected(url: str, **more: Any) -> Iterator[Connection]:
    """A connection, in one transaction; a plain error says what went wrong, never with the password in it.

    Args:
        url: of PostgreSQL, such as postgresql://owner@db.example/clockface?sslmode=verify-full
        more: further parameters of the connection.

    Raises:
        FleetError: not reachable, not allowed, or refused by one of our functions.
    """
    with explained(), connect(url, **more) as connection, connection.transaction():
        yield connection


def connect(url: str, **more: Any) -> Connection:
    """A connection without a transaction, whose names are those of our schema."""
    options = {"connect_timeout": CONNECT_SECONDS, "options": "-c search_path=clockface", "application_name": "clockface", **more}
    connection: Connection = psycopg.connect(url, row_factory=dict_row, autocommit=True, **options)
    if connection.info.server_version < OLDEST_SERVER:
        found = connection.info.server_version // 10000
        connection.close()
        raise FleetError(f"the server is PostgreSQL {found}; a fleet needs 15 or later", code="fleet.server")
    return connection


def check_tls(host: str, sslmode: str) -> None:
    """Beyond this machine a server must prove its name with a certificate: otherwise another machine could take its place.

    Raises:
        FleetError: the connection would not insist on that.
    """
    local = host.startswith(("/", "@")) or host in ("", "localhost") or _is_loopback(host)
    if not local and sslmode != "verify-full":
        message = f"the connection to {host} must prove who the server is: sslmode=verify-full in the owner's address, not {sslmode or 'nothing'}"
        raise FleetError(f"{message}, with --ca where the terminals' systems do not know its certificate", code="fleet.tls")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextmanager
def explained() -> Iterator[None]:
    """Turn errors of psycopg into those of the fleet."""
    try:
        yield
    except psycopg.errors.Error as error:
        raise in_words(error) from error


def in_words(error: psycopg.Error) -> FleetError:
    """The error as a person can act on it; PostgreSQL's own words never contain a password."""
    first = " ".join((str(error).splitlines() or ["no reason given"])[0].split())[:300]
    if error.sqlstate in REFUSALS:
        return REFUSALS[error.sqlstate](first)
    if isinstance(error, psycopg.OperationalError) and error.sqlstate is None:
        refused = re.search("authentication failed|no pg_hba|certificate|SSL|does not exist", str(error))
        check = "check user, password and certificate" if refused else "check the address, the network and that PostgreSQL runs there"
        return FleetError(f"the database cannot be reached: {first}; {check}", code="fleet.login" if refused else "fleet.away")
    if isinstance(error, psycopg.ProgrammingError) and error.sqlstate is None:
        return FleetError(f"this is no address of a database ({first}); give postgresql://USER@HOST/DATABASE")
    if isinstance(error, psycopg.errors.DiskFull):
        message = f"the disk of the company's database is full ({first}): free space there; what was recorded waits here until then"
        return FleetError(message, code="fleet.full")
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return FleetError(f"the database refuses: {first}", code="fleet.not_allowed")
    return FleetError(f"the database says: {first}")


def migrations() -> dict[int, str]:
    """Number -> SQL, in order."""
    return {int(file.name[:4]): file.read_text(encoding="utf-8") for file in sorted(SCHEMA.glob("[0-9][0-9][0-9][0-9]_*.sql"))}


NEWEST = max(migrations())


def prepare(connection: Connection) -> None:
    """Make the schema, the groups of roles and the list of migrations, where they are missing."""
    for group in GROUPS:
        if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [group]).fetchone():
            connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(group)))
    connection.execute("CREATE SCHEMA IF NOT EXISTS clockface")
    connection.execute("REVOKE ALL ON SCHEMA clockface FROM PUBLIC")
    connection.execute("CREATE TABLE IF NOT EXISTS migrations (number int PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())")


def migrate(url: str) -> list[int]:
    """Apply what is missing, each migration in a transaction of its own; returns their numbers."""
    done = []
    with explained(), connect(url) as connection:
        with connection.transaction():
            prepare(connection)
        for number, text in migrations().items():
            with connection.transaction():
                connection.execute("LOCK TABLE migrations")
                if not connection.execute("SELECT 1 FROM migrations WHERE number = %s", [number]).fetchone():
                    connection.execute(text)
                    connection.execute("INSERT INTO migrations (number) VALUES (%s)", [number])
                    done.append(number)
    return done
