"""How long a start takes to read a large gallery: `python -m tests.device.fakes.sealed --templates 50000` prints it."""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from pathlib import Path

import numpy as np

from device.storage.store import Store, TemplateDraft


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--templates", type=int, default=50_000)
    parser.add_argument("--each", type=int, default=5, help="templates a person")
    parser.add_argument("--size", type=int, default=128, help="numbers of an embedding")
    args = parser.parse_args()
    people = args.templates // args.each
    with tempfile.TemporaryDirectory() as name:
        os.environ["CLOCKFACE_KEYS"] = f"{name}/keys"
        embedding = np.eye(1, args.size, dtype=np.float32)[0]
        with Store.open(Path(name) / "clockface.db") as store:
            for number in range(people):
                store.add_person_with_templates(f"Person {number}", None, [TemplateDraft("m1", embedding, 0.5)] * args.each)
        begin = time.perf_counter()
        with Store.open(Path(name) / "clockface.db") as store:
            opened = time.perf_counter()
            found = store.templates("m1")
        end = time.perf_counter()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}")
    print(f"{len(found.ids)} sealed templates of {people} people ({args.size} numbers each): opened in {opened - begin:.2f} s, read in {end - opened:.2f} s")


if __name__ == "__main__":
    main()
