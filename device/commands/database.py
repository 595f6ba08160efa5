"""Opens the database that a command's options select."""

from __future__ import annotations

import argparse

from device import config
from device.config import database_path
from device.storage.store import Store


def open_store(args: argparse.Namespace, actor: str, must_exist: bool = True) -> Store:
    """The store of `--db`, or else of the settings that `--config` names; `actor` is the author in the audit.

    Raises:
        ConfigError: the settings cannot be read.
        StoreError: as `Store.open` raises it.
    """
    settings = config.load(args.config)
    return Store.open(database_path(settings, args.db), settings.store, must_exist=must_exist, actor=actor)
