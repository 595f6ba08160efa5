"""`python -m export plain ORIGINAL OUT`: remove the weights from a model's inputs, for OpenCV's own classes."""

from __future__ import annotations

import argparse
from pathlib import Path

import onnx

from export.foreign import drop_weights_from_inputs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("original", type=Path)
    parser.add_argument("out", type=Path)


def run(args: argparse.Namespace) -> int:
    args.out.write_bytes(drop_weights_from_inputs(onnx.load(args.original)).SerializeToString(deterministic=True))
    return 0
