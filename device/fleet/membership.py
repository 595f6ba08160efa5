"""What a terminal is in a fleet: which database, which login, which site; and how it joins.

Its only secret is an X25519 private key, kept with the keys of people (wrapped by the device's key, in a TPM where there is one); the password of its
login is derived from it. Everything else stands in the table `fleet` of its own database.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from device.fleet.owner import Invitation
from device.fleet.sealed_box import password_of, public_of
from device.fleet.server import Connection, FleetError, check_tls, connect, explained
from device.storage import company_records
from device.storage.audit import Action
from device.storage.keys import OWN
from device.storage.store import Store
from device.system.files import Disk

MEMBERSHIP = "membership"
JOINED = "joined.changes"  # the last of the changes that the join itself noted
KEEPALIVE: Mapping[str, Any] = {"keepalives_idle": 20, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 20000}  # s, s, -, ms


@dataclass(frozen=True)
class Membership:
    """How the terminal reaches its company's database; no secrets."""

    fleet: str
    name: str  # of this terminal
    site: str
    host: str
    port: int
    database: str
    sslmode: str
    authority: str
    role: str
    device: str = ""  # uuid; "" while joining
    site_id: str = ""
    kind: str = "terminal"  # or "desk": the pages alone, over all devices

    @property
    def desk(self) -> bool:
        return self.kind == "desk"


def read(store: Store) -> Membership | None:
    """The membership of a terminal that has joined; None for one that stands alone."""
    found = value(store, MEMBERSHIP)
    return Membership(**json.loads(found)) if found else None


def as_json(member: Membership) -> str:
    """As it is stored."""
    return json.dumps(asdict(member))


def value(store: Store, key: str, default: str = "") -> str:
    """A value of the table `fleet`."""
    with store.reading() as db:
        row = db.execute("SELECT value FROM fleet WHERE key = ?", [key]).fetchone()
    return str(row[0]) if row else default


def set_value(db: Any, key: str, text: str) -> None:
    """Store a value, inside the caller's transaction."""
    db.execute("INSERT INTO fleet VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", [key, text])


def uuids(store: Store, people: Collection[str | None]) -> dict[str, int]:
    """uuid -> id, of those of these people whom this terminal knows."""
    with store.reading() as db:
        return dict(db.execute("SELECT uuid, id FROM people WHERE uuid IN (SELECT value FROM json_each(?))", [json.dumps(list(people))]).fetchall())


def private_key(store: Store) -> bytes:
    """The terminal's own private key, made where there is none."""
    return store.keys.ensure(OWN)


@contextmanager
def opened(store: Store, member: Membership) -> Iterator[Connection]:
    """A connection with the terminal's own login.

    Raises:
        FleetError: not reachable, or this terminal was revoked.
    """
    with explained(), login(store.path, member, password_of(private_key(store), member.role)) as connection:
        yield connection


def login(database: Path, member: Membership, password: str) -> Connection:
    """A connection with this password."""
    check_tls(member.host, member.sslmode)
    tls: dict[str, Any] = {"sslmode": member.sslmode}
    if member.authority:
        tls["sslrootcert"] = str(_authority(database, member.authority))
    elif member.sslmode == "verify-full":
        tls["sslrootcert"] = "system"
    return connect("", host=member.host, port=member.port, dbname=member.database, user=member.role, password=password, **tls, **KEEPALIVE)


def _authority(database: Path, text: str) -> Path:
    """The certificate that signs the server's, as a file beside the database: libpq reads files alone."""
    file = database.with_name("fleet-ca.pem")
    if not file.is_file() or file.read_text(encoding="utf-8") != text:
        Disk().write(file, text.encode(), 0o600)
    return file


def join(store: Store, invitation: Invitation) -> Membership:
    """Join a fleet; all people, templates and consents of this terminal are then sent, and its log from the beginning.

    A join that was cut off is finished by calling it again with the same file, as long as that was this terminal.

    Raises:
        FleetError: the invitation was used or has expired, the database cannot be reached, or this terminal belongs to a fleet already.
    """
    if known := read(store):
        raise FleetError(f"this terminal belongs to a fleet already, as {known.name!r} in {known.site!r}", code="fleet.joined")
    if invitation.kind == "desk":
        _check_empty(store)
    fields = asdict(invitation)
    password, _ = fields.pop("password"), fields.pop("until")
    member = Membership(**fields)
    with explained():
        done = _joined(store, member, password, invitation.until)
    with store.transaction() as db:
        set_value(db, MEMBERSHIP, as_json(done))
        for table, kind in (("people", "person"), ("consents", "consent"), ("templates", "template")):
            db.execute(f"INSERT INTO fleet_changes (kind, key) SELECT '{kind}', uuid FROM {table} ORDER BY id")
        db.execute("INSERT INTO fleet_changes (kind, key) SELECT 'pin', p.uuid FROM pins JOIN people p ON p.id = person_id")
        company_records.note_all(db)
        set_value(db, JOINED, str(db.execute("SELECT coalesce(max(id), 0) FROM fleet_changes").fetchone()[0]))
        store.note(Action.FLEET_JOINED, fleet=done.fleet, device=done.device)
    return done


def _check_empty(store: Store) -> None:
    """A desk's database holds copies of what others recorded, and no faces.

    Raises:
        FleetError: this one holds punches or templates of its own.
    """
    with store.reading() as db:
        if db.execute("SELECT 1 FROM punches UNION ALL SELECT 1 FROM templates LIMIT 1").fetchone():
            raise FleetError(f"{store.path} is the database of a terminal; a desk begins with one of its own: --db desk.db", code="fleet.desk")


def _joined(store: Store, member: Membership, once: str, until: str) -> Membership:
    """Use the invitation; or where this terminal has used it before and was cut off, take what it got."""
    private = private_key(store)
    own = password_of(private, member.role)
    try:
        connection = login(store.path, member, once)
    except psycopg.OperationalError as first:
        with _spent(first, until), login(store.path, member, own) as connection:
            row = connection.execute("SELECT id AS device, site_id AS site, kind FROM me()").fetchone()
        assert row is not None
        return Membership(**{**asdict(member), "device": str(row["device"]), "site_id": str(row["site"] or ""), "kind": row["kind"]})
    with connection, connection.transaction():
        row = connection.execute('SELECT * FROM "join"(%s)', [public_of(private)]).fetchone()
        assert row is not None
        verifier = connection.pgconn.encrypt_password(own.encode(), member.role.encode(), b"scram-sha-256").decode()
        connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(member.role), sql.Literal(verifier)))
    return Membership(**{**asdict(member), "device": str(row["device"]), "site_id": str(row["site"] or ""), "kind": row["kind"]})


@contextmanager
def _spent(first: psycopg.OperationalError, until: str) -> Iterator[None]:
    """Say what it means that the server takes neither the invitation's password nor this terminal's own."""
    try:
        yield
    except psycopg.OperationalError as error:
        if not (error.pgconn and error.pgconn.used_password):
            raise first from error
        message = f"the invitation was used already or has expired (it was good until {until}); make another with `python -m device fleet invite`"
        raise FleetError(message, code="fleet.invitation") from error


def leave(store: Store) -> None:
    """Forget the fleet on this terminal; people and the log stay. `fleet revoke` locks its login."""
    with store.transaction() as db:
        for table in ("fleet", "fleet_changes", "fleet_records", "fleet_awaited", "door_punches", "door_corrections"):
            db.execute(f"DELETE FROM {table}")


def in_file(path: Path) -> Invitation:
    """The invitation in a file.

    Raises:
        FleetError: it cannot be read, or is none.
    """
    try:
        return Invitation.from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise FleetError(f"{path} cannot be read ({error}); give the file that `fleet invite` wrote", code="fleet.invitation") from error


