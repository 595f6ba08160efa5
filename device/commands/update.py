"""Install a signed bundle, list releases, go back, manage trusted keys.

update BUNDLE         verify, install beside the release in force, switch, examine, start; back by itself where that fails
update list           the releases on this device
update rollback       the release before
update trust KEY.pub  install bundles signed by this key from now on; `update distrust ID` ends that
update guard, confirm what the service calls before a start and after a good one
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from device.commands.options import add_config, add_database, add_json
from device.config import loader
from device.config.places import database_path, installed_file
from device.maintenance.update import install
from device.maintenance.update.releases import Installation, ReleaseError
from device.maintenance.update.signatures import SUFFIX, key_id, pem, read_public_key, read_trusted
from device.system.clock import iso_utc
from device.system.systemd import Service

Action = Callable[[argparse.Namespace, Installation, Path], int]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("what", metavar="BUNDLE|ACTION", help="a .bundle file, or list, rollback, trust, distrust, guard, confirm")
    parser.add_argument("key", nargs="?", metavar="KEY", help="for trust: the .pub file; for distrust: the id that `update list` shows")
    parser.add_argument("--root", type=Path, metavar="DIR", help="the installation (without it: the one this program runs in)")
    parser.add_argument("--service", metavar="UNIT", help="the systemd unit to restart; without it the release is confirmed at the next good start")
    parser.add_argument("--older", action="store_true", help="take a bundle that was built before the release in force")
    add_database(parser)
    add_config(parser)
    add_json(parser, "JSON (list)")
    parser.set_defaults(usage_error=parser.error)


def run(args: argparse.Namespace) -> int:
    if (args.what in ("trust", "distrust")) != (args.key is not None):
        args.usage_error("trust and distrust take one key, nothing else does")
    installation = Installation(args.root) if args.root else Installation.here()
    if installation is None:
        raise ReleaseError("this is a checkout, not an installation; say where with --root DIR", code="release.checkout")
    settings = loader.load(args.config or installed_file(installation.root, installation.root / "current"))
    given = args.db or str(installation.root / settings.store.path)
    return ACTIONS.get(args.what, _install)(args, installation, database_path(settings, given))


def _install(args: argparse.Namespace, installation: Installation, database: Path) -> int:
    with installation.changing():
        release = install.install(installation, Path(args.what), database, older=args.older)
        if release == installation.named("current") == installation.named("proven"):
            print(f"{release} is in force already")
            return 0
        return 0 if install.switch(installation, release, database, _service(args), _say) else 1


def _list(args: argparse.Namespace, installation: Installation, database: Path) -> int:
    releases = installation.releases()
    if args.json:
        rows = [{"release": item.id, "state": item.state, "built": item.manifest and item.manifest.built} for item in releases]
        print(json.dumps({"releases": rows, "trusted": sorted(read_trusted(installation.trusted))}))
        return 0
    for item in releases:
        print(f"{item.id:<28} {item.state:<9} {f'built {iso_utc(item.manifest.built)}' if item.manifest else 'of another schema'}")
    print(f"trusted: {', '.join(sorted(read_trusted(installation.trusted)))}")
    return 0


def _rollback(args: argparse.Namespace, installation: Installation, database: Path) -> int:
    with installation.changing():
        return 0 if install.rollback(installation, database, _service(args), _say) else 1


def _trust(args: argparse.Namespace, installation: Installation, database: Path) -> int:
    key = read_public_key(Path(args.key))
    with installation.changing():
        installation.disk.write(installation.trusted / f"{key_id(key)}{SUFFIX}", pem(key))
    print(f"bundles signed by {key_id(key)} are installed from now on")
    return 0


def _distrust(args: argparse.Namespace, installation: Installation, database: Path) -> int:
    with installation.changing():
        trusted = read_trusted(installation.trusted)
        if args.key not in trusted:
            raise ReleaseError(f"no trusted key {args.key!a:.40}; trusted are {', '.join(sorted(trusted))}", code="release.unknown_key")
        if len(trusted) == 1:
            raise ReleaseError(f"{args.key} is the only trusted key, no bundle could be installed any more; trust another one first", code="release.last_key")
        for place in installation.trusted.glob(f"*{SUFFIX}"):
            if key_id(read_public_key(place)) == args.key:
                place.unlink()
        installation.disk.sync(installation.trusted)
    print(f"bundles signed by {args.key} are refused from now on")
    return 0


def _guard(args: argparse.Namespace, installation: Installation, database: Path) -> int:
    install.guard(installation, _say)
    return 0


def _confirm(args: argparse.Namespace, installation: Installation, database: Path) -> int:
    install.confirm(installation, _say)
    return 0


ACTIONS: dict[str, Action] = {"list": _list, "rollback": _rollback, "trust": _trust, "distrust": _distrust, "guard": _guard, "confirm": _confirm}


def _service(args: argparse.Namespace) -> Service | None:
    return Service(args.service) if args.service else None


def _say(line: str) -> None:
    print(line, flush=True)
