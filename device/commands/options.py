"""Options shared by several commands, each with one name, form and meaning."""

from __future__ import annotations

import argparse
from pathlib import Path

FORMATS = ("table", "json", "csv", "xlsx")


def add_database(parser: argparse.ArgumentParser) -> None:
    """`--db`: see `config.places.database_path`."""
    parser.add_argument("--db", metavar="FILE", help="the database")


def add_config(parser: argparse.ArgumentParser, purpose: str = "") -> None:
    """`--config`: see `config.loader.load`."""
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"settings in TOML{purpose}")


def add_json(parser: argparse.ArgumentParser, printed: str = "JSON") -> None:
    parser.add_argument("--json", action="store_true", help=f"print {printed}")


def add_department(parser: argparse.ArgumentParser) -> None:
    """`--department`, several times for several: see `StoreFile.seeing`."""
    parser.add_argument("--department", action="append", default=[], metavar="NAME", help="only the people of this department; may be given several times")


def add_out(parser: argparse.ArgumentParser, words: str) -> None:
    """`--out`: the file that is written."""
    parser.add_argument("--out", type=Path, metavar="FILE", help=words)


def add_export(parser: argparse.ArgumentParser) -> None:
    """`--format`, with `--json` short for one of them, and `--out`: of a command that prints a table or writes it into a file."""
    parser.add_argument("--format", choices=FORMATS, default="table")
    parser.add_argument("--json", dest="format", action="store_const", const="json", help="the same as --format json")
    add_out(parser, "write to a file instead of printing")
