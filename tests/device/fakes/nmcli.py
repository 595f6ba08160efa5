"""A stand-in for NetworkManager's `nmcli`: it records what it is called with, and answers what a test lets it answer."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

PROGRAM = """
import json, os, pathlib, sys
here = pathlib.Path(__file__).parent
command = sys.argv[1:]
with open(here / "calls", "a") as out:
    out.write(json.dumps([command, sys.stdin.read(), dict(os.environ)]) + "\\n")
if "radio" in command:
    print((here / "radio").read_text() if (here / "radio").exists() else "enabled:enabled")
if command[-1] == "device":
    print((here / "devices").read_text() if (here / "devices").exists() else "ethernet:connected\\nwifi:disconnected")
    sys.exit(int((here / "running").read_text()) if (here / "running").exists() else 0)
if "list" in command:
    print((here / "seen").read_text(encoding="utf-8") if (here / "seen").exists() else "", end="")
if "--active" in command:
    print((here / "active").read_text(encoding="utf-8") if (here / "active").exists() else "", end="")
if "connect" in command:
    statuses = (here / "status").read_text().split() if (here / "status").exists() else ["0"]
    (here / "status").write_text(" ".join(statuses[1:] or statuses))
    if statuses[0] == "0" and not (here / "active").exists():
        (here / "active").write_text(command[command.index("name") + 1] + ":activated\\n")
    sys.exit(int(statuses[0]))
"""


class Nmcli:
    """What was asked of it.

    Args:
        folder: of the program, first in PATH.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def answers(self, **files: str) -> None:
        """`status`: exit statuses of connecting, one after the other; `seen`: the networks in reach; `active`: the connections that are up;
        `devices`: kinds and states; `radio`: whether the hardware's and the software's switch is on; `running`: exit status without NetworkManager.
        """
        for name, text in files.items():
            (self.folder / name).write_text(text, encoding="utf-8")

    @property
    def recorded(self) -> list[tuple[list[str], str, dict[str, str]]]:
        """Each call: arguments, standard input, environment."""
        file = self.folder / "calls"
        return [tuple(json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []  # type: ignore[misc]

    @property
    def calls(self) -> list[list[str]]:
        """The arguments of each call that is no mere look."""
        return [arguments for arguments, _, _ in self.recorded if "--terse" not in arguments]


def placed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Nmcli:
    """A stand-in in this folder, first in PATH."""
    folder.mkdir()
    program = folder / "nmcli"
    program.write_text(f"#!{sys.executable}\n{PROGRAM}", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return Nmcli(folder)
