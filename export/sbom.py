"""`python -m export sbom`: write the bill of materials of a board (CycloneDX 1.6, JSON): the pinned packages and the model files, each with its SHA-256."""

from __future__ import annotations

import argparse
import json
import re
import uuid
from typing import Any

from device.vision import catalogue
from export.bundle import ROOT, version
from export.wheels import PINS, WheelError
from training import arguments

PIN = re.compile(r"([A-Za-z0-9._-]+)==(\S+) --hash=sha256:([0-9a-f]{64})")
NAMESPACE = uuid.UUID("8e6c3f0a-6d0e-5b7e-9d3c-2f7f0a6c51d4")  # the same parts have the same serial number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=arguments.file, metavar="FILE", help="where to write it; without it: standard output")


def run(args: argparse.Namespace) -> int:
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(text(), encoding="utf-8")
        print(f"{args.out}: {len(bill()['components'])} components")
    else:
        print(text(), end="")
    return 0


def text() -> str:
    """The bill as JSON; the same commit gives the same bytes."""
    return json.dumps(bill(), indent=2, ensure_ascii=False) + "\n"


def bill() -> dict[str, Any]:
    """Raises:
    WheelError: a line of export/pins/ is no pin.
    """
    components = [*packages(), *models()]
    serial = uuid.uuid5(NAMESPACE, json.dumps(components, sort_keys=True))
    program = {"type": "application", "bom-ref": "clockface", "name": "clockface", "version": version(ROOT), "licenses": [{"license": {"id": "Apache-2.0"}}]}
    needs = [{"ref": "clockface", "dependsOn": [each["bom-ref"] for each in components]}]
    head = {"$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json", "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1}
    return {**head, "serialNumber": serial.urn, "metadata": {"component": program}, "components": components, "dependencies": needs}


def packages() -> list[dict[str, Any]]:
    """Each version of a package once, with the hashes of its wheels and the boards (machine and Python) that get it."""
    found: dict[tuple[str, str], dict[str, list[str]]] = {}
    for file in sorted(PINS.glob("*.txt")):
        for line in filter(lambda line: line.strip() and not line.startswith("#"), file.read_text(encoding="utf-8").splitlines()):
            pin = PIN.fullmatch(line.strip())
            if pin is None:
                raise WheelError(f"{file.name}: {line[:80]!r} is no pin; write the files anew with `python -m export wheels`")
            found.setdefault((pin[1], pin[2]), {}).setdefault(pin[3], []).append(file.stem)
    return [_package(name, version, wheels) for (name, version), wheels in sorted(found.items())]


def _package(name: str, version: str, wheels: dict[str, list[str]]) -> dict[str, Any]:
    purl = f"pkg:pypi/{name.lower().replace('_', '-')}@{version.replace('+', '%2B')}"
    boards = sorted({board for each in wheels.values() for board in each})
    return {
        "type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl,
        "hashes": [{"alg": "SHA-256", "content": digest} for digest in sorted(wheels)],
        "properties": [{"name": "clockface:board", "value": board} for board in boards],
    }  # fmt: skip


def models() -> list[dict[str, Any]]:
    return [
        {
            "type": "data" if entry.file.endswith((".jpg", ".png")) else "machine-learning-model",
            "bom-ref": f"model:{name}", "name": name, "version": entry.sha256[:12], "licenses": [{"license": {"name": entry.licence}}],
            "hashes": [{"alg": "SHA-256", "content": entry.sha256}],
        }
        for name, entry in sorted(catalogue.entries().items())
    ]  # fmt: skip
