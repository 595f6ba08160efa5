"""`python -m training COMMAND`: each command is one module in `training/`."""

from __future__ import annotations

import argparse
import importlib
import sys

from device.contract import ClockfaceError

MODULES = {"ship": "export_weights"}  # command -> its module, where the two names differ
COMMANDS = {  # name -> one line; the module has add_arguments(parser) and run(args) -> exit code
    "prepare": "cut aligned crops out of folders of photos",
    "join": "join two teachers into one, in the space of the second",
    "train": "train an embedding model by a recipe",
    "prune": "narrow trained weights to a smaller backbone",
    "ship": "write a checkpoint's weights and recipe alone",
    "evaluate": "measure a model on pairs, galleries and groups",
    "visualize": "draw what each loss does to digits in the plane",
    "partial_fc": "measure a step over all classes against a step over a sample",
    "speed": "measure augmentation, the loop and the backbones",
}


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(prog="python -m training", description="From photos to an embedding model.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        commands.add_parser(name, help=summary, add_help=False)
    name = parser.parse_args(argv[:1]).command
    module = importlib.import_module(f"training.{MODULES.get(name, name)}")  # only the chosen command is imported: a fast start
    parser = argparse.ArgumentParser(prog=f"python -m training {name}", description=module.__doc__)
    module.add_arguments(parser)
    args = parser.parse_args(argv[1:])
    try:
        return int(module.run(args))
    except ClockfaceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
