"""Check camera, models, card, provider, clock, zone, disk, database, keys, templates, outbox and, in an installation, the release.

One line per check, exit 1 on a fault; nothing is changed.
"""

from __future__ import annotations

import argparse
import dataclasses
import json

from device.commands.options import add_config, add_database, add_json
from device.config import loader
from device.config.places import database_path
from device.maintenance.database_check import Finding
from device.maintenance.doctor import examine


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--source", metavar="SOURCE", help="the camera to try; without it the one `run` would take")
    parser.add_argument("--skip", action="append", default=[], metavar="CHECK", help="leave out a check, for example the camera while it is in use")
    add_database(parser)
    add_config(parser)
    add_json(parser, "one JSON object")


def run(args: argparse.Namespace) -> int:
    settings = loader.load(args.config)
    findings: list[Finding] = []
    for finding in examine(settings, database_path(settings, args.db), args.source, args.skip):
        findings.append(finding)
        if not args.json:
            print(f"{finding.state:<8} {finding.check:<9} {finding.words}", flush=True)
    sound = all(finding.state != "FAULT" for finding in findings)
    if args.json:
        print(json.dumps({"ok": sound, "checks": [dataclasses.asdict(finding) for finding in findings]}, ensure_ascii=False))
    return 0 if sound else 1
