"""`python -m device COMMAND`: each command is one module in `device/commands/`."""

from __future__ import annotations

import argparse
import importlib
import io
import json
import os
import sys
from contextlib import nullcontext
from types import ModuleType
from typing import TextIO

from device.contract import ClockfaceError
from device.system.memory import give_back_large_blocks
from device.system.output import expendable_output

COMMANDS = {  # name -> one line; the module `device.commands.NAME` has add_arguments(parser) and run(args) -> exit code
    "models": "list, pull and verify the model files",
    "enroll": "enrol a person from images, a folder of people or the camera",
    "people": "list, show, import, rename, deactivate and erase people",
    "identify": "say who is in an image",
    "run": "start the terminal",
    "settings": "list, set and unset what the settings page sets; --help-all describes every setting",
    "users": "list the logins of the web pages, add one, give a new password, unlock",
    "backup": "write everything into one encrypted file",
    "restore": "bring back a backup",
    "reset": "back to factory: erase everything but the installed release",
    "log": "print, export and verify the attendance log; import another terminal's",
    "outbox": "what waits for the company's systems: list, dead letters, replay, fill, drain",
    "notices": "who is told of open matters by mail or webhook: list, open, test",
    "connectors": "list and test the connections to the company's systems",
    "timesheet": "hours of a month or a day, for everybody or one person",
    "schedule": "site rules, shifts, plans, holidays, absence and locked periods",
    "accounts": "overtime to approve, accounts of time and of leave, flags of working-time law",
    "keys": "show, rotate, export and import the keys that seal templates",
    "fleet": "many terminals around one PostgreSQL: invite, join, status, verify, revoke",
    "doctor": "check camera, models, clock, disk and database",
    "update": "install a signed bundle, list releases, go back",
    "trial": "measure how often the device is right on folders of photos",
    "liveness-trial": "measure how often the liveness gate errs, on clips of living faces and of attacks",
    "bench": "measure how fast this machine is",
}


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    give_back_large_blocks()
    parser = argparse.ArgumentParser(prog="python -m device", description="The face attendance terminal.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        commands.add_parser(name, help=summary, add_help=False)
    name = parser.parse_args(argv[:1]).command
    module = importlib.import_module(f"device.commands.{name.replace('-', '_')}")  # only the chosen command is imported: a fast start
    parser = argparse.ArgumentParser(prog=f"python -m device {name}", description=module.__doc__)
    module.add_arguments(parser)
    try:
        args = parser.parse_intermixed_args(argv[1:])  # options may stand between a name and its images
    except TypeError:  # what argparse raises for a command with actions of its own
        args = parser.parse_args(argv[1:])
    for stream in (sys.stdout, sys.stderr):
        _write_any_name(stream)
    try:
        code = _run(module, args)
        sys.stdout.flush()  # flushed here, where a closed pipe is handled
        return code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of the output, such as `head`, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _write_any_name(stream: TextIO) -> None:
    """Let no character end a command: a file's name that is no UTF-8 is written as it is, a letter that the terminal's character set lacks as \\uXXXX."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="surrogateescape" if stream.encoding.casefold().replace("-", "") == "utf8" else "backslashreplace")


def _run(module: ModuleType, args: argparse.Namespace) -> int:
    """Run the command; if it fails and JSON was requested, the error is also printed as JSON. No output ends a service."""
    try:
        with expendable_output() if getattr(module, "SERVICE", False) else nullcontext():
            return int(module.run(args))
    except ClockfaceError as error:
        print(f"error: {error}", file=sys.stderr)
        if getattr(args, "json", False) or getattr(args, "format", "") == "json":
            print(json.dumps({"error": {"code": error.code, "message": str(error)}}))
        return 1


if __name__ == "__main__":
    sys.exit(main())
