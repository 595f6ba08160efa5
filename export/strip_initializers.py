"""`python -m export plain ORIGINAL OUT`: remove the weights from a model's inputs, for OpenCV's own classes."""

from __future__ import annotations

import argparse
from pathlib import Path

from export import artefact
from export.foreign import drop_weights_from_inputs
from training import arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("original", type=Path)
    parser.add_argument("out", type=arguments.file)


def run(args: argparse.Namespace) -> int:
    plain = drop_weights_from_inputs(artefact.read(args.original))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_bytes(plain.SerializeToString(deterministic=True))
    return 0
