"""List, pull and verify the model files."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from device import config
from device.config import Settings
from device.contract import ClockfaceError
from device.models import Catalogue, Entry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "pull", "verify"))
    parser.add_argument("names", nargs="*", metavar="NAME", help="of these only")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings in TOML, for what is in use")
    parser.add_argument("--json", action="store_true", help="print one JSON list")


def run(args: argparse.Namespace) -> int:
    catalogue = Catalogue.load()
    chosen = [catalogue.entry(name) for name in args.names or catalogue.entries]
    if args.action == "pull":
        _pull(catalogue, chosen)
    faults = {entry.name: catalogue.fault(entry) for entry in chosen}
    uses = {} if args.action == "verify" else _uses(config.load(args.config))
    if args.json:
        print(json.dumps([_row(catalogue, entry, faults[entry.name], uses) for entry in chosen], indent=2))
    elif args.action == "list":
        _table(catalogue, chosen, faults, uses)
    else:
        for entry in chosen:
            print(faults[entry.name] or f"{entry.name}: {catalogue.place(entry)} ok")
    return 0 if args.action == "list" or not any(faults.values()) else 1


def _uses(settings: Settings) -> dict[str, tuple[bool, float | None]]:
    """embedder -> (it is in use, ms a crop where this board has measured it); nothing is measured here."""
    from device.choice import choices_file, read  # loads onnxruntime: `verify` does without

    uses: dict[str, tuple[bool, float | None]] = {settings.embedder.model: (True, None)}
    for family, choice in read(choices_file(settings)).items():
        in_force = family == settings.embedder.model
        uses |= {one.artefact: (in_force and one.artefact == choice.artefact, one.ms) for one in choice.measured}
    return uses


def _row(catalogue: Catalogue, entry: Entry, fault: str | None, uses: dict[str, tuple[bool, float | None]]) -> dict[str, object]:
    fields = {key: value for key, value in dataclasses.asdict(entry).items() if key != "sources"}
    in_use, ms = uses.get(entry.name, (False, None))
    told = {"path": str(catalogue.place(entry)), "ok": fault is None, "fault": fault, "in_use": in_use, "ms_per_crop": ms}
    return {**fields, **told, "accuracy": None if fault else _accuracy(catalogue, entry)}


def _accuracy(catalogue: Catalogue, entry: Entry) -> dict[str, Any] | None:
    """What an embedder's card says of it on verification pairs; None where it says nothing."""
    if entry.kind != "embedder":
        return None
    from device.embedder import Embedder

    try:
        card = Embedder(catalogue.place(entry), "cpu").card
    except ClockfaceError:
        return None  # `run` and `doctor` say why it does not load; a list goes on
    return next((found for found in card.accuracy if found.get("measure") == "pairs"), None)


def _figures(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    tar = found["tar_at_far"].get("0.001")
    return f"{100 * found['accuracy_mean']:.2f} % of {found['data']}" + (f", TAR {100 * tar['value']:.1f} % at FAR 0.1 %" if tar else "")


def _table(catalogue: Catalogue, chosen: list[Entry], faults: dict[str, str | None], uses: dict[str, tuple[bool, float | None]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "kind", "kB", "licence", "here", "accuracy", "what it is")
    for entry in chosen:
        here = "ok" if not faults[entry.name] else "wrong" if catalogue.place(entry).exists() else "missing"
        in_use, ms = uses.get(entry.name, (False, None))
        here += (", in use" if in_use else "") + (f", {ms:.1f} ms a crop" if ms else "")
        accuracy = "" if faults[entry.name] else _figures(_accuracy(catalogue, entry))
        table.add_row(entry.name, entry.kind, f"{entry.size / 1000:,.0f}", entry.licence, here, accuracy, entry.about)
    Console().print(table)


def _pull(catalogue: Catalogue, chosen: list[Entry]) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    columns = (TextColumn("{task.description:>18}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks = {entry.name: bars.add_task(entry.name, total=entry.size) for entry in chosen}

        def show(name: str, done: int, total: int) -> None:
            if name in tasks:
                bars.update(tasks[name], completed=done)

        catalogue.pull([entry.name for entry in chosen], show)
