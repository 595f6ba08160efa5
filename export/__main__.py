"""`python -m export COMMAND`: each command is one module in `export/`."""

from __future__ import annotations

import argparse
import importlib
import sys

from device.contract import ClockfaceError

MODULES = {"elsewhere": "parity", "plain": "strip_initializers"}  # command -> its module, where the two names differ
COMMANDS = {  # name -> one line; the module has add_arguments(parser) and run(args) -> exit code
    "model": "all of it by a recipe: weights -> verified, calibrated files",
    "build": "trained weights -> one float32 file under the contract",
    "quantize": "float32 -> int8 or float16",
    "qat": "train on for int8 where quantizing alone loses too much",
    "adopt": "bring a published 112 x 112 embedder under the contract",
    "verify": "the gate: accuracy, agreement, size and latency, into the card",
    "latency": "milliseconds a crop of several models in one run",
    "table": "several models in one table: time, size, accuracy",
    "elsewhere": "the same embeddings under another Python, an old runtime, a board?",
    "calibrate": "set thresholds from non-mated scores, into the card",
    "search": "how often the whole device is right with a model, into its card",
    "card": "print a model card, or write it as a page with pictures",
    "keygen": "make a key pair to sign bundles with",
    "bundle": "write one signed file with everything a device needs",
    "wheels": "pin the wheels that boards need",
    "plain": "remove the weights from a model's inputs, for OpenCV's own classes",
    "patch": "write what turns one model file into another",
}


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(prog="python -m export", description="Weights -> one self-describing ONNX file.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        commands.add_parser(name, help=summary, add_help=False)
    name = parser.parse_args(argv[:1]).command
    module = importlib.import_module(f"export.{MODULES.get(name, name)}")
    parser = argparse.ArgumentParser(prog=f"python -m export {name}", description=module.__doc__)
    module.add_arguments(parser)
    args = parser.parse_args(argv[1:])
    try:
        return int(module.run(args))
    except ClockfaceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
