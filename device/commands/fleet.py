"""Many terminals around one PostgreSQL (docs/fleet.md). The owner's commands take its address: --url, or CLOCKFACE_FLEET_URL.

python -m device fleet init postgresql://owner@db.example/clockface?sslmode=verify-full
python -m device fleet sites --add "Plant north"
python -m device fleet invite "Gate A" --site "Plant north" --out gate-a.join
python -m device fleet join gate-a.join                                               on the terminal
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import time
from dataclasses import replace
from datetime import timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from device.commands import fleet_groups, run_desk, set_up_code
from device.commands.fleet_groups import FleetUsageError
from device.commands.options import add_config, add_database, add_json, add_out
from device.config import Settings, loader
from device.config.places import database_path
from device.fleet.farewell import farewell
from device.storage.fleet_state import FAULTS, DeviceState
from device.storage.store import Store
from device.system.files import Disk
from device.system.number_of import number_of
from device.vision.camera.source import open_source
from device.vision.images import IMAGE_SUFFIXES, read_image

if TYPE_CHECKING:
    from device.fleet.invitation_code import CodeReader
    from device.fleet.owner import Invitation

TOLD_OF = {
    "status": "every device: last seen, queue, chains, open erasures", "verify": "compute the chains of all devices anew",
    "history": "which device was invited, revoked, left or was reset, when and by whom",
}  # fmt: skip
TOLD = "its fleet was told, and has locked its login"
URL = "CLOCKFACE_FLEET_URL"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    init = actions.add_parser("init", help="make the schema in a database of PostgreSQL 15 or later, as its owner")
    init.add_argument("url", help="such as postgresql://owner@db.example/clockface?sslmode=verify-full")
    _owner(actions.add_parser("migrate", help="bring the schema up to date"))
    sites = _owner(actions.add_parser("sites", help="list sites, or add one"))
    sites.add_argument("--add", metavar="NAME")
    invite = _owner(actions.add_parser("invite", help="make the file that a new terminal joins with: once, and within an hour"))
    invite.add_argument("name", help="of the new device")
    invite.add_argument("--site", default="", help="where it hangs; a desk without a site sees all of them")
    invite.add_argument("--desk", action="store_true", help="not a terminal: the pages alone, without camera and faces")
    invite.add_argument("--ca", type=Path, metavar="PEM", help="certificate that signs the server's, where the terminals' systems do not know it")
    invite.add_argument("--minutes", type=int, default=60, help="how long it can be used (default 60)")
    invite.add_argument("--qr", action="store_true", help="show it as QR codes here instead of writing a file; with --out NAME.png as a picture")
    invite.add_argument("--setup", action="store_true", help="as a set-up code for a terminal that is new, with more in it (docs/first-steps.md)")
    set_up_code.add_arguments(invite)
    add_out(invite, "default: NAME.join")
    join = actions.add_parser("join", help="on the terminal: join with the file that `invite` made")
    join.add_argument("file", type=Path, nargs="?", help="the file, or a picture of the codes")
    join.add_argument("--camera", metavar="SOURCE", help="read the codes with a camera (0)")
    leave = actions.add_parser("leave", help="on the terminal: forget the fleet; people and the log stay")
    for parser_here in (join, leave):
        add_config(parser_here)
        add_database(parser_here)
    for name, words in TOLD_OF.items():
        add_json(_owner(actions.add_parser(name, help=words)))
    accept = _owner(actions.add_parser("accept-fault", help="after you have looked: let a device go on whose chain has a fault"))
    accept.add_argument("name")
    fleet_groups.add_rollout_arguments(_owner(actions.add_parser("rollout", help="a new release by rings: one terminal, a tenth, all")))
    fleet_groups.add_arguments(_owner(actions.add_parser("settings", help="values for groups of devices: list, preview, set")))
    revoke = _owner(actions.add_parser("revoke", help="lock a device out and delete the keys sealed for it"))
    revoke.add_argument("name")


def _owner(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("--url", default=os.environ.get(URL, ""), help=f"of the database, as its owner (default: {URL})")
    return parser


def run(args: argparse.Namespace) -> int:
    if args.action in ("join", "leave"):
        return HERE[args.action](args)
    if not args.url:
        raise FleetUsageError(f"give the address of the database: --url postgresql://owner@HOST/DATABASE, or set {URL}")
    return int(ACTIONS[args.action](args) or 0)


def _init(args: argparse.Namespace) -> None:
    _migrate(args)
    print('next: python -m device fleet sites --add "NAME OF THE SITE"')


def _migrate(args: argparse.Namespace) -> None:
    from device.fleet import server

    done = server.migrate(args.url)
    print(f"schema {server.NEWEST}: {f'migrations {done} applied' if done else 'nothing to do'}")


def _sites(args: argparse.Namespace) -> None:
    from device.fleet import owner, server

    with server.connected(args.url) as connection:
        if args.add:
            owner.add_site(connection, args.add)
        for row in connection.execute("SELECT name FROM sites ORDER BY 1"):
            print(row["name"])


def _invite(args: argparse.Namespace) -> None:
    from device.fleet import invitation_code, owner
    from device.system import qr_codes

    if not args.site and not args.desk:
        raise FleetUsageError("a terminal belongs to a site: give --site; `fleet sites` lists them")
    if args.setup and args.desk:
        raise FleetUsageError("--setup is for a terminal: a desk has no camera")
    authority = args.ca.read_text(encoding="utf-8") if args.ca else ""
    code = set_up_code.asked(args) if args.setup else None
    kind, valid = "desk" if args.desk else "terminal", timedelta(minutes=args.minutes)
    made = owner.invite(args.url, args.name, args.site, kind, authority, valid, code.gives if code else None)
    if code is not None:
        set_up_code.show(replace(code, invitation=invitation_code.as_list(made)), args.out)
        return
    if args.qr and not args.out:
        _show(made)
        return
    out = args.out or Path(f"{args.name}.join")
    Disk().write(out, qr_codes.picture(invitation_code.parts(made)) if args.qr else made.to_json().encode(), 0o600)
    print(f"{out}: for {args.name}, until {made.until}; whoever has this file can join, once.")
    print(f"bring it to the terminal and run there: python -m device fleet join {shlex.quote(str(out))}")


def _show(made: Invitation) -> None:
    """Draw the codes in this window."""
    from device.fleet import invitation_code
    from device.system import qr_codes

    texts = invitation_code.parts(made)
    for number, text in enumerate(texts, 1):
        print(qr_codes.drawn(text))
        print(f"code {number} of {len(texts)} for {made.name}, until {made.until}; whoever has read them all can join, once.")
    print("hold the terminal's camera to them, and run there: python -m device fleet join --camera 0")


def _status(args: argparse.Namespace) -> None:
    from device.fleet import owner, server

    with server.connected(args.url) as connection:
        rows = owner.overview(connection)
    if args.json:
        print(json.dumps(rows, indent=1, default=str))
        return
    for state in sorted((DeviceState(row, time.time()) for row in rows), key=lambda one: (one.site, one.name)):
        print(f"{state.site}: {state.name} ({state.told['kind']}): {_words(state)}")


def _words(state: DeviceState) -> str:
    """One line: what it last said, then what is wrong in capitals, for whoever looks for it at night."""
    if state.ended or state.seen_at is None:
        return state.ended
    seen = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(state.seen_at))  # of devices in several zones
    told = [f"{name} {state.health[name]}" for name in ("camera", "model", "version") if state.health.get(name)]
    parts = [f"seen {seen}", f"{number_of((state.told['heads'] or {}).get('punches', 0), 'punch')}", f"{state.health.get('waiting', 0)} waiting", *told]
    return "; ".join([", ".join(parts), *(f"{'WRONG' if level == 'bad' else 'LOOK'}: {words}" for level, words in state.problems)])


def _history(args: argparse.Namespace) -> None:
    from device.fleet import owner, server

    with server.connected(args.url) as connection:
        rows = owner.history(connection)
    if args.json:
        print(json.dumps(rows, indent=1, default=str))
        return
    for row in rows:
        details = ", ".join(f"{name} {value if isinstance(value, str) else json.dumps(value)}" for name, value in row["details"].items())
        print(f"{row['at'].astimezone(timezone.utc):%Y-%m-%d %H:%M:%S UTC}  {row['by']}  {row['action']}  {row['device']}{f': {details}' if details else ''}")


def _accept_fault(args: argparse.Namespace) -> None:
    from device.fleet import owner, server

    with server.connected(args.url) as connection:
        rows = owner.accept_faults(connection, args.name)
    for row in rows:
        print(f"{args.name}: {row['chain']} row {row['id']}: {FAULTS[row['fault']]}")
    print(f"accepted; {args.name} goes on with the first row that is not here when it is heard of, what has arrived stays under its name with the date")


def _verify(args: argparse.Namespace) -> int:
    from device.fleet import owner, server

    with server.connected(args.url) as connection:
        proofs = list(owner.verify(connection))
    if args.json:
        print(json.dumps([proof.__dict__ for proof in proofs], indent=1))
    else:
        for proof in proofs:
            print(f"{proof.device} {proof.chain}: {proof.fault or f'whole, {proof.rows:,} rows, head {proof.head[:16]}'}")
    broken = [proof for proof in proofs if proof.fault]
    if broken:
        print(f"{len(broken)} chains are not whole", file=sys.stderr)
    return 1 if broken else 0


def _revoke(args: argparse.Namespace) -> None:
    from device.fleet import owner

    people = owner.revoke(args.url, args.name)
    print(f"{args.name} is locked out; it had the keys of {people} people, which are made again by the terminals that still have them")


def _join(args: argparse.Namespace) -> int:
    from device.fleet import membership

    if (args.file is None) == (args.camera is None):
        raise FleetUsageError("give the file or picture that `fleet invite` made, or --camera 0 to read its codes")
    settings = loader.load(args.config)
    invitation = _seen(args.camera, settings) if args.camera is not None else _in_file(args.file)
    path = run_desk.desk_path(settings, args.db) if invitation.kind == "desk" else database_path(settings, args.db)
    with Store.open(path, settings.store, actor="cli") as store:
        member = membership.join(store, invitation)
        people = len(store.people(active_only=True))
    if args.file:
        args.file.unlink(missing_ok=True)
    print(f"joined as {member.name} in {member.site or 'all sites'}; {_next(member.desk, people)}")
    return 0


def _in_file(path: Path) -> Invitation:
    from device.fleet import membership
    from device.fleet.invitation_code import CodeReader

    if path.suffix.lower() not in IMAGE_SUFFIXES:
        return membership.in_file(path)
    reader = CodeReader()
    return reader.take(read_image(path)) or _incomplete(reader, str(path))


def _seen(name: str, settings: Settings) -> Invitation:
    """The invitation whose codes a camera sees."""
    from device.fleet.invitation_code import CodeReader

    reader, found = CodeReader(), 0
    with open_source(name, replace(settings.camera, mirror=False)) as source:
        print("hold the codes of the invitation in front of the camera; Ctrl-C ends", flush=True)
        for frame in source:
            if invitation := reader.take(frame.image):
                return invitation
            if reader.found > found:
                found = reader.found
                print(f"{found} read; show the next one", flush=True)
    return _incomplete(reader, name)


def _incomplete(reader: CodeReader, name: str) -> NoReturn:
    from device.fleet.server import FleetError

    words = f"only {reader.found} of the invitation's codes" if reader.found else "no code of an invitation"
    raise FleetError(f"{name}: there is {words}; `python -m device fleet invite --qr` makes them", code="fleet.invitation")


def _next(desk: bool, people: int) -> str:
    if desk:
        return "start it: python -m device run --desk"
    return f"{people} people and the whole log go up when the terminal runs: start it again"


def _leave(args: argparse.Namespace) -> int:
    from device.fleet import membership

    settings = loader.load(args.config)
    with Store.open(database_path(settings, args.db), settings.store, must_exist=True, actor="cli") as store:
        tell = farewell(store, to_factory=False)
        membership.leave(store)
    told = tell is not None and tell()
    print(f"this terminal stands alone again; {TOLD if told else 'its fleet was not told: lock its login with `python -m device fleet revoke`'}")
    return 0


HERE = {"join": _join, "leave": _leave}
ACTIONS = {
    "init": _init, "migrate": _migrate, "sites": _sites, "invite": _invite, "status": _status, "verify": _verify, "revoke": _revoke,
    "history": _history,
    "accept-fault": _accept_fault, "settings": fleet_groups.settings, "rollout": fleet_groups.rollout,
}  # fmt: skip
