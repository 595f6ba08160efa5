"""Write the weights of a checkpoint, averaged where the run kept an average, and the recipe that made them: a file to hand on.

python -m training ship runs/default/last.pt models/clockface-edge.pt
"""

from __future__ import annotations

import argparse
from pathlib import Path

from training import checkpoint


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=Path, help="last.pt or best.pt of a run")
    parser.add_argument("weights", type=Path, help="the file to write; replaced whole or not at all")


def run(args: argparse.Namespace) -> int:
    checkpoint.ship(args.checkpoint, args.weights)
    print(f"{args.weights}: {args.weights.stat().st_size / 1e6:.1f} MB")
    return 0
