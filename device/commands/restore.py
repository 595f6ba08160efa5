"""Restore a backup: it is opened, checked with its hash chains, and replaces the database, which is kept."""

from __future__ import annotations

import argparse
from pathlib import Path

from device.commands.backup import add_common, passphrase
from device.config import loader
from device.config.places import database_path
from device.maintenance import backup
from device.maintenance.backup import BackupError
from device.maintenance.people_check import check_keys
from device.storage.database import StoreError, TerminalLock
from device.system.number_of import number_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path)
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    database = database_path(loader.load(args.config), args.db)
    if not args.file.is_file():
        raise BackupError(f"{args.file} is no file: name the backup that was downloaded, or written by `python -m device backup FILE`", code="backup.missing")
    try:
        database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        words = f"{database.parent} cannot be made ({error.strerror}); check the path and that its folder belongs to this user"
        raise StoreError(words, code="store.not_opened") from error
    TerminalLock(database).release()  # refused while a terminal runs, before anything is unpacked
    contents = backup.stage(args.file, passphrase(args.passphrase), database)
    print(f"backup of {contents.made_at}: {number_of(contents.people, 'person')}, {number_of(contents.punches, 'punch')}; {contents.words}")
    for line in backup.apply_staged(database):
        print(line)
    if (finding := check_keys(database)).state == "warning":
        print(f"keys: {finding.words}")
    return 0
