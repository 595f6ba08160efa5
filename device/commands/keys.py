"""Keys that seal templates and enrolment crops: show where and how they are stored, replace the device's key, or keep a sealed copy of people's keys elsewhere.

docs/privacy.md says what an export means for an erasure.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from device.commands.backup import add_common, passphrase
from device.commands.database import open_store
from device.maintenance import key_export
from device.storage import device_key, key_folder, keys
from device.storage.device_key import Kind
from device.storage.key_folder import DEVICE_KEY, NEXT_KEY, KeysError
from device.storage.keys import PersonKeys
from device.storage.store import Store
from device.system.number_of import number_of

ACTIONS = {
    "show": "how they are stored",
    "rotate": "replace the device's key, wrap people's keys with it",
    "export": "write people's keys into FILE, sealed with a passphrase",
    "import": "bring them to a board on which the latest back-up was restored",
}
OUTSIDE = "it lies outside this board now: an erasure here does not reach it. Keep it apart from the back-ups, and make a new one after each erasure"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=ACTIONS, help="; ".join(f"{name}: {words}" for name, words in ACTIONS.items()))
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="of export and import")
    parser.add_argument("--to", choices=("file", "tpm"), help="rotate: keep the new key in its file or sealed by the TPM; default: as the key before")
    parser.add_argument("--pcrs", default="", metavar="BANK:N,...", help="rotate --to tpm: it opens only while these PCRs stay as they are, such as sha256:7")
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    if args.action != "rotate" and (args.to or args.pcrs):
        raise KeysError(f"keys {args.action}: --to and --pcrs belong to `keys rotate`", code="keys.usage")
    if (args.action in ("export", "import")) != bool(args.file):
        raise KeysError("usage: keys export FILE, keys import FILE; show and rotate take no file", code="keys.usage")
    if args.file:
        with open_store(args, "keys") as store:
            (_export if args.action == "export" else _import)(store, args)
        return 0
    if args.action == "rotate":
        stores, people = keys.rotate(kind=Kind(args.to == "tpm", args.pcrs) if args.to or args.pcrs else None)
        print(f"the device has another key; the keys of {number_of(people, 'person')} in {number_of(stores, 'database')} are wrapped with it")
    show()
    return 0


def _export(store: Store, args: argparse.Namespace) -> None:
    if args.file.exists():
        raise KeysError(f"{args.file} exists already; give another name", code="keys.usage")
    before = key_export.given_out(store.keys.store)
    people = key_export.export(store, args.file, passphrase(args.passphrase, twice=True))
    print(f"{args.file}: the keys of {number_of(people, 'person')}; {OUTSIDE}")
    if before and before.erased:
        print(f"the export before has {number_of(before.erased, 'person')} erased since: destroy it, and every back-up from before the erasure")


def _import(store: Store, args: argparse.Namespace) -> None:
    try:
        content = args.file.read_bytes()
    except OSError as error:
        raise KeysError(f"{args.file} cannot be read ({error.strerror}): name the file that `python -m device keys export` has written") from error
    found = key_export.take_in(store, content, passphrase(args.passphrase))
    print(f"keys of {number_of(found.taken, 'person')} imported, {found.kept} were here already; start the terminal again, so that it reads them")
    if found.erased:
        print(f"{number_of(found.erased, 'person')} had been erased before the export was made, and are erased here now")
    if found.without:
        print(f"no key for {number_of(len(found.without), 'person')}, who must be enrolled again: {', '.join(found.without)}")


def show() -> None:
    place = key_folder.folder()
    print(f"keys: {place}; anybody who can open these keys and has the database can read templates: back them up separately from the database, or not at all")
    print(f"device's key: {device_key.kind_of(place / DEVICE_KEY) or 'none yet; the first enrolment makes one'}")
    if pending := device_key.kind_of(place / NEXT_KEY):
        print(f"a rotation was interrupted, its key is {pending}: `python -m device keys rotate` completes it")
    for file in sorted(place.glob("*.keys")):
        have, erased = PersonKeys(file.stem, place).counts()
        given = key_export.given_out(file.stem, place)
        print(f"{file.name}: {have} people have a key, {erased} are erased{f'; {given.words}' if given else ''}")
