"""Write the report of a run, one page that needs no server and no network: `train` does so at its end, this command at any time.

    python -m training report runs/staff [--against runs/other]
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from training import config, run_record
from training.report import changes, curves, measures
from training.report.page import page
from training.run_record import RunError


def write(folder: Path, against: Path | None = None) -> Path:
    """Write report.html into the folder of a run, mode 600: it has pictures of people.

    Raises:
        RunError: the folder has no run, or none that has been validated; `against` has none.
    """
    record = run_record.read(folder)
    if record is None or not (folder / "best.pt").exists():
        raise RunError(f"{folder} has no run with a best.pt; name the folder that `train --out` named, after its first validation")
    earlier = against or changes.before(folder)
    compared = changes.compare(earlier, record) if earlier else None
    if against and compared is None:
        raise RunError(f"{against} has no run with figures; name the folder of another run")
    measured = measures.measure(folder, config.from_table(record.recipe))
    path = folder / "report.html"
    part = folder / "report.html.part"
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(page(str(folder), record, curves.read(folder), measured, compared))
    part.replace(path)
    return path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="RUN", help="folder of a run")
    parser.add_argument("--against", type=Path, metavar="OTHER", help="folder of the run to compare with (default: the one beside it that was started before)")


def run(args: argparse.Namespace) -> int:
    print(f"{write(args.folder, args.against)}: open it in a browser. It has faces of your data; only you can read it.")
    return 0
