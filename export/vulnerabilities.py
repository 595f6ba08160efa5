"""`python -m export vulnerabilities`: look the pinned packages up among known vulnerabilities, with pip-audit (in an environment of its own).

A package that the service does not know has not been looked up: this is told as it is, and never as "no vulnerabilities".
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from device.contract import ClockfaceError
from export.wheels import PINS


class VulnerabilityError(ClockfaceError):
    """A pinned package has a known vulnerability, or nobody can say so."""

    code = "vulnerability"


def looked_up(tool: Path, pins: Path) -> list[dict[str, Any]]:
    """What pip-audit says of each package in a pin file: `name`, and `version` with `vulns` or a `skip_reason`.

    Raises:
        VulnerabilityError: the tool does not run, or gives no answer.
    """
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        command = [str(tool), "--disable-pip", "--require-hashes", "--requirement", str(pins), "--format", "json", "--output", str(answer)]
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except OSError as error:
            said = f"{tool} does not run ({error.strerror}); `pip install pip-audit` in an environment of its own"
            raise VulnerabilityError(said, code="vulnerability.no_answer") from error
        if not answer.exists():
            raise VulnerabilityError(f"{pins.name} was not looked up: {done.stderr.strip()[-300:]}", code="vulnerability.no_answer")
        found: list[dict[str, Any]] = json.loads(answer.read_bytes())["dependencies"]
    return found


def summary(answers: list[dict[str, Any]]) -> tuple[set[str], set[str], set[str]]:
    """(looked up, not looked up, known vulnerabilities in words)."""
    known = {f"{each['name']} {each['version']}" for each in answers if "vulns" in each}
    unknown = {str(each["name"]) for each in answers if "vulns" not in each}
    faults = {f"{each['name']} {each['version']}: {fault['id']}" for each in answers for fault in each.get("vulns", ())}
    return known, unknown, faults


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tool", type=Path, default=Path("pip-audit"), metavar="FILE", help="the program pip-audit (default: the one on the PATH)")
    parser.add_argument("--where-possible", action="store_true", help="what cannot be looked up is only told, not an error")


def run(args: argparse.Namespace) -> int:
    try:
        known, unknown, faults = summary([each for pins in sorted(PINS.glob("*.txt")) for each in looked_up(args.tool, pins)])
    except VulnerabilityError as error:
        if not args.where_possible:
            raise
        print(f"skipped: {error}")
        return 0
    if faults:
        said = f"known vulnerabilities: {'; '.join(sorted(faults))}; pin versions without them (`python -m export wheels`)"
        raise VulnerabilityError(said, code="vulnerability.found")
    said = f"{len(unknown)} packages were not looked up, the service does not know them: {', '.join(sorted(unknown))}" if unknown else ""
    if unknown and not args.where_possible:
        raise VulnerabilityError(said, code="vulnerability.no_answer")
    print("\n".join(filter(None, [f"{len(known)} versions looked up, no known vulnerability" if known else "skipped: nothing was looked up", said])))
    return 0
