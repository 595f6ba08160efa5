"""Write database and configuration into one file encrypted with a passphrase; the terminal may be running."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from pathlib import Path

from device.commands.options import add_config, add_database
from device.config import loader
from device.config.places import HOME, ROOT, database_path, installed_file
from device.maintenance import backup
from device.maintenance.backup import BackupError
from device.storage.audit import Action
from device.storage.store import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="the file to write; it must not exist yet")
    add_common(parser)


def add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--passphrase", metavar="env:NAME|file:PATH", help="where to read the passphrase (default: prompt)")
    add_database(parser)
    add_config(parser)


def run(args: argparse.Namespace) -> int:
    settings = loader.load(args.config)
    database = database_path(settings, args.db)
    if args.file.exists():
        raise BackupError(f"{args.file} exists already; give another name")
    with Store.open(database, settings.store, must_exist=True, actor="backup") as store:
        backup.create(database, args.config or installed_file(HOME, ROOT), args.file, passphrase(args.passphrase, twice=True))
        store.audit("backup", Action.BACKUP_MADE, {})
    print(f"{args.file}: {args.file.stat().st_size / 1e6:.1f} MB; without its passphrase nobody can open it")
    return 0


def passphrase(where: str | None, twice: bool = False) -> str:
    """From the environment, a file, or the keyboard; never from the command line, where others can read it.

    Raises:
        BackupError: it is not there, or was typed differently.
    """
    kind, _, name = (where or "").partition(":")
    if kind == "env" and name in os.environ:
        return os.environ[name]
    if kind == "file":
        try:
            return Path(name).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise BackupError(f"--passphrase file:{name} cannot be read ({error})") from error
    if where or not sys.stdin.isatty():
        raise BackupError("give the passphrase with --passphrase env:NAME or file:PATH")
    given = getpass.getpass("passphrase: ")
    if twice and getpass.getpass("again: ") != given:
        raise BackupError("the two passphrases differ; nothing was written")
    return given
