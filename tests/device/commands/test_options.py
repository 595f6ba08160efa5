"""Options that several commands have mean the same in each."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from device.__main__ import COMMANDS
from device.commands import options
from device.config.places import ROOT


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and those of its actions."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from parsers(below)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_shared_option_has_one_form(command: str) -> None:
    parser = argparse.ArgumentParser()
    importlib.import_module(f"device.commands.{command.replace('-', '_')}").add_arguments(parser)
    found = {action.option_strings[0]: action for one in parsers(parser) for action in one._actions if action.option_strings}
    forms = {name: (action.dest, action.type, action.metavar, action.default) for name, action in found.items()}
    assert forms.get("--db", ("db", None, "FILE", None)) == ("db", None, "FILE", None)
    assert forms.get("--config", ("config", Path, "FILE", None)) == ("config", Path, "FILE", None)
    assert forms.get("--json", ("json", None, None, False)) in [("json", None, None, False), ("format", None, None, None)]


def test_no_command_declares_a_shared_option_itself() -> None:
    files = [path for path in (ROOT / "device/commands").rglob("*.py") if path.name != "options.py"]
    own = [path.name for path in files for name in ("--db", "--config", "--json", "--out") if f'add_argument("{name}"' in path.read_text(encoding="utf-8")]
    assert len(files) > 20 and own == []


def test_what_the_options_give() -> None:
    parser = argparse.ArgumentParser()
    for add in (options.add_database, options.add_config, options.add_json):
        add(parser)
    assert vars(parser.parse_args([])) == {"db": None, "config": None, "json": False}
    assert vars(parser.parse_args(["--db", "a.db", "--config", "a.toml", "--json"])) == {"db": "a.db", "config": Path("a.toml"), "json": True}


def test_json_is_short_for_a_format() -> None:
    parser = argparse.ArgumentParser()
    options.add_export(parser)
    assert vars(parser.parse_args([])) == {"format": "table", "out": None}
    assert vars(parser.parse_args(["--json"])) == {"format": "json", "out": None}
    assert vars(parser.parse_args(["--format", "csv", "--out", "a.csv"])) == {"format": "csv", "out": Path("a.csv")}
