"""Keys that seal templates and enrolment crops: show where and how they are stored, replace the device's key (docs/privacy.md)."""

from __future__ import annotations

import argparse

from device.storage import keys
from device.storage.keys import DEVICE_KEY, NEXT_KEY, Kind, PersonKeys
from device.system.number_of import number_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("show", "rotate"), help="show: how they are stored; rotate: replace the device's key, wrap people's keys with it")
    parser.add_argument("--to", choices=("file", "tpm"), help="rotate: keep the new key in its file or sealed by the TPM; default: as the key before")
    parser.add_argument("--pcrs", default="", metavar="BANK:N,...", help="rotate --to tpm: it opens only while these PCRs stay as they are, such as sha256:7")


def run(args: argparse.Namespace) -> int:
    if args.action == "show" and (args.to or args.pcrs):
        raise keys.KeysError("keys show: --to and --pcrs belong to `keys rotate`", code="keys.usage")
    if args.action == "rotate":
        stores, people = keys.rotate(kind=Kind(args.to == "tpm", args.pcrs) if args.to or args.pcrs else None)
        print(f"the device has another key; the keys of {number_of(people, 'person')} in {number_of(stores, 'database')} are wrapped with it")
    show()
    return 0


def show() -> None:
    place = keys.folder()
    print(f"keys: {place}; anybody who can open these keys and has the database can read templates: back them up separately from the database, or not at all")
    print(f"device's key: {keys.kind_of(place / DEVICE_KEY) or 'none yet; the first enrolment makes one'}")
    if pending := keys.kind_of(place / NEXT_KEY):
        print(f"a rotation was interrupted, its key is {pending}: `python -m device keys rotate` completes it")
    for file in sorted(place.glob("*.keys")):
        have, erased = PersonKeys(file.stem, place).counts()
        print(f"{file.name}: {have} people have a key, {erased} are erased")
