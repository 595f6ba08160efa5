"""Keys that seal templates and enrolment crops: show where they are, give the device another one (docs/privacy.md)."""

from __future__ import annotations

import argparse

from device import keys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("show", "rotate"), help="show: where they lie; rotate: another device key, everybody's key wrapped anew")


def run(args: argparse.Namespace) -> int:
    if args.action == "rotate":
        stores, people = keys.rotate()
        print(f"the device has another key; the keys of {people} people in {stores} databases are wrapped with it")
    print(f"keys: {keys.folder()}; whoever has this folder and the database can read templates: back it up apart from the database, or not at all")
    return 0
