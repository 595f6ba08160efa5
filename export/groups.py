"""`python -m export groups MODEL... --folder DIR`: are strangers of some groups taken for one another more often than those of others?

Every crop shows another person. The threshold is the score that a share of all comparisons exceeds; the false matches within the worst group are given as
a multiple of the mean of all groups, with the model's cohort and without. P. Grother, M. Ngan and K. Hanaoka, NISTIR 8280, 2019.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from device.vision.embedder import Embedder
from device.vision.images import read_image
from export.crops import CropSet, embed
from export.visits import VisitsError, scores, worst_group

RATES = (1e-3, 1e-4)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL")
    parser.add_argument("--folder", type=Path, required=True, help="aligned crops with groups.tsv: columns file and race")


def run(args: argparse.Namespace) -> int:
    crops, groups = read(args.folder)
    for model in args.models:
        embedder = Embedder(model, "cpu")
        (rows,) = embed(embedder.embed, [crops])
        for words, cohort in (("with its cohort", embedder.cohort), ("without", None)):
            if cohort is None and words != "without":
                continue
            table = scores(rows, rows, cohort)
            found = ", ".join(f"{worst_group(table, groups, rate):.2f} at FMR {rate:g}" for rate in RATES)
            print(f"{embedder.card.name} {words}: worst group {found} times the mean of {len(np.unique(groups))} groups")
    return 0


def read(folder: Path) -> tuple[CropSet, np.ndarray]:
    """The crops of a folder and the group of each.

    Raises:
        VisitsError: there is no table, or a crop that it names is missing.
    """
    try:
        with (folder / "groups.tsv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        crops = np.stack([read_image(folder / row["file"])[:, :, ::-1] for row in rows])
        return CropSet(folder.name, crops, tuple(row["file"] for row in rows)), np.array([row["race"] for row in rows])
    except (OSError, KeyError, ValueError) as error:
        raise VisitsError(f"{folder}: expected groups.tsv with columns file and race, and the crops it names ({error})") from error
