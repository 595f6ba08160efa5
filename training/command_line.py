"""The command line of a package whose commands are modules with `add_arguments(parser)` and `run(args) -> exit code`."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Mapping, Sequence

from device.contract import ClockfaceError
from training import disk_errors


def run(package: str, description: str, commands: Mapping[str, str], modules: Mapping[str, str], argv: Sequence[str]) -> int:
    """Run one command; what it refuses is printed as a sentence.

    Args:
        commands: name -> one line.
        modules: name -> module, where the two differ.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {package}", description=description)
    choices = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in commands.items():
        choices.add_parser(name, help=summary, add_help=False)
    name = parser.parse_args(argv[:1]).command
    try:
        module = importlib.import_module(f"{package}.{modules.get(name, name)}")  # only the chosen command is imported: a fast start
        parser = argparse.ArgumentParser(prog=f"python -m {package} {name}", description=module.__doc__)
        module.add_arguments(parser)
        return int(module.run(parser.parse_args(argv[1:])))
    except ClockfaceError as error:
        said = str(error)
    except OSError as error:
        if not (said := disk_errors.sentence(error)):
            raise
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("", "device", "export", "training"):
            raise
        said = f"the package {error.name} is not installed; `make workstation` prepares training and export in .venv"
    except KeyboardInterrupt:
        return 130
    print(f"error: {said}", file=sys.stderr)
    return 1
