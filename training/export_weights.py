"""Write only the weights of a checkpoint, averaged where the run kept an average, and the recipe that made them: a file to publish.

    python -m training export-weights runs/default/last.pt models/clockface-edge.pt
"""

from __future__ import annotations

import argparse
from pathlib import Path

from training import checkpoint


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=Path, help="last.pt or best.pt of a run")
    parser.add_argument("weights", type=Path, help="file to write, replaced in one step")


def run(args: argparse.Namespace) -> int:
    checkpoint.export_weights(args.checkpoint, args.weights)
    print(f"{args.weights}: {args.weights.stat().st_size / 1e6:.1f} MB")
    return 0
