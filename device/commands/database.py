"""Opens the database that a command's options select."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from device.config import loader
from device.config.places import database_path
from device.storage.store import Store


def open_store(args: argparse.Namespace, actor: str, must_exist: bool = True) -> Store:
    """The store of `--db`, or else of the settings that `--config` names; `actor` is the author in the audit.

    Raises:
        ConfigError: the settings cannot be read.
        StoreError: as `Store.open` raises it.
    """
    settings = loader.load(args.config)
    return Store.open(database_path(settings, args.db), settings.store, must_exist=must_exist, actor=actor)


@contextmanager
def store_to_fill(args: argparse.Namespace, actor: str) -> Iterator[Store]:
    """The store of a command that may begin a database. With `--check` it begins none: an empty one in a temporary folder takes its place.

    Raises:
        ConfigError, StoreError: as `open_store`.
    """
    settings = loader.load(args.config)
    path = database_path(settings, args.db)
    if path.exists() or not args.check:
        with Store.open(path, settings.store, actor=actor) as store:
            yield store
        return
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / path.name, settings.store, actor=actor) as store:
        yield store
