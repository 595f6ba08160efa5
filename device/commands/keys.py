"""Keys that seal templates and enrolment crops: show where and how they lie, give the device another one (docs/privacy.md)."""

from __future__ import annotations

import argparse

from device.storage import keys
from device.storage.keys import DEVICE_KEY, NEXT_KEY, Kind, PersonKeys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("show", "rotate"), help="show: where and how they lie; rotate: another device key, everybody's key wrapped anew")
    parser.add_argument("--to", choices=("file", "tpm"), help="rotate: keep the new key in its file or sealed by the TPM; without it as the one before")
    parser.add_argument("--pcrs", default="", metavar="BANK:N,...", help="rotate --to tpm: it opens only while these PCRs stay as they are, such as sha256:7")


def run(args: argparse.Namespace) -> int:
    if args.action == "show" and (args.to or args.pcrs):
        raise keys.KeysError("keys show: --to and --pcrs belong to `keys rotate`", code="keys.usage")
    if args.action == "rotate":
        stores, people = keys.rotate(kind=Kind(args.to == "tpm", args.pcrs) if args.to or args.pcrs else None)
        print(f"the device has another key; the keys of {people} people in {stores} databases are wrapped with it")
    show()
    return 0


def show() -> None:
    place = keys.folder()
    print(f"keys: {place}; whoever can open its keys and has the database can read templates: back it up apart from the database, or not at all")
    print(f"device's key: {keys.kind_of(place / DEVICE_KEY) or 'none yet, the first enrolment makes it'}")
    if pending := keys.kind_of(place / NEXT_KEY):
        print(f"a rotation was cut off, its key is {pending}: `python -m device keys rotate` ends it")
    for file in sorted(place.glob("*.keys")):
        have, erased = PersonKeys(file.stem, place).counts()
        print(f"{file.name}: {have} people have a key, {erased} are erased")
