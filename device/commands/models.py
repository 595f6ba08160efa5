"""List, pull and verify the model files."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any

from device.commands.options import add_config, add_json
from device.config import Settings, loader
from device.contract import ClockfaceError
from device.vision.catalogue import Catalogue, ModelFile


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "pull", "verify"))
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these models")
    parser.add_argument("--all", action="store_true", help="pull: also those that the settings do not use")
    add_config(parser, ", for what is in use")
    add_json(parser, "one JSON list")


def run(args: argparse.Namespace) -> int:
    catalogue = Catalogue.load()
    pulling = args.action == "pull" and not args.all
    chosen = [catalogue.entry(name) for name in args.names or (_used(catalogue, loader.load(args.config)) if pulling else catalogue.entries)]
    if args.action == "pull":
        _pull(catalogue, chosen)
    faults = {entry.name: catalogue.fault(entry) for entry in chosen}
    uses = {} if args.action == "verify" else _uses(loader.load(args.config))
    if args.json:
        print(json.dumps([_row(catalogue, entry, faults[entry.name], uses) for entry in chosen], indent=2))
    elif args.action == "list":
        _table(catalogue, chosen, faults, uses)
    else:
        for entry in chosen:
            print(faults[entry.name] or f"{entry.name}: {catalogue.place(entry)} ok")
    return 0 if args.action == "list" or not any(faults.values()) else 1


def _used(catalogue: Catalogue, settings: Settings) -> list[str]:
    """What comes with the program, and the embedder and the liveness model of the settings; a file outside the list needs nothing."""
    own = [entry.name for model in (settings.embedder.model, settings.liveness.model) for entry in catalogue.family(model)]
    return list(dict.fromkeys([*(entry.name for entry in catalogue.entries.values() if not entry.sources), *own]))


def _uses(settings: Settings) -> dict[str, tuple[bool, float | None]]:
    """Model -> (whether it is in use, ms per crop if this board has measured it). Nothing is measured here."""
    from device.vision.precision import choices_file, read  # loads onnxruntime: `verify` does without

    uses: dict[str, tuple[bool, float | None]] = {settings.embedder.model: (True, None), settings.liveness.model: (settings.liveness.mode != "off", None)}
    for family, choice in read(choices_file(settings)).items():
        in_force = family == settings.embedder.model
        uses |= {one.artefact: (in_force and one.artefact == choice.artefact, one.ms) for one in choice.measured}
    return uses


def _row(catalogue: Catalogue, entry: ModelFile, fault: str | None, uses: dict[str, tuple[bool, float | None]]) -> dict[str, object]:
    fields = {key: value for key, value in dataclasses.asdict(entry).items() if key != "sources"}
    in_use, ms = uses.get(entry.name, (False, None))
    told = {"path": str(catalogue.place(entry)), "ok": fault is None, "fault": fault, "in_use": in_use, "ms_per_crop": ms}
    measured = {} if fault else _measured(catalogue, entry)
    return {**fields, **told, "accuracy": measured.get("pairs"), "device": measured.get("device")}


def _measured(catalogue: Catalogue, entry: ModelFile) -> dict[str, dict[str, Any]]:
    """Figures on an embedder's card, by measure: "pairs" of a verification set, "device" of the whole device on photos."""
    if entry.kind != "embedder":
        return {}
    from device.vision.embedder import Embedder

    try:
        card = Embedder(catalogue.place(entry), "cpu").card
    except ClockfaceError:
        return {}  # `run` and `doctor` report why it does not load; the list continues
    return {str(found.get("measure")): found for found in card.accuracy}


def _figures(measured: dict[str, dict[str, Any]]) -> tuple[str, str]:
    pairs, device = measured.get("pairs"), measured.get("device")
    accuracy = f"{100 * pairs['accuracy_mean']:.2f} % ({pairs['data']})" if pairs else ""
    misses = f"{100 * device['fnir']['value']:.1f} % ({device['people']} people, FPIR {100 * device['target_fpir']:g} %)" if device else ""
    return accuracy, misses


def _table(catalogue: Catalogue, chosen: list[ModelFile], faults: dict[str, str | None], uses: dict[str, tuple[bool, float | None]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "kB", "here", "accuracy", "FNIR")
    for column in table.columns[:2]:
        column.no_wrap = True
    for entry in chosen:
        here = "ok" if not faults[entry.name] else "wrong" if catalogue.place(entry).exists() else "missing"
        in_use, ms = uses.get(entry.name, (False, None))
        here += (", in use" if in_use else "") + (f", {ms:.1f} ms a crop" if ms else "")
        accuracy, misses = _figures({} if faults[entry.name] else _measured(catalogue, entry))
        table.add_row(entry.name, f"{entry.size / 1000:,.0f}", here, accuracy, misses)
    console = Console()
    console.print(table)
    for entry in chosen:
        console.print(f"{entry.name}: {entry.kind}, {entry.licence}; {entry.about}", highlight=False)


def _pull(catalogue: Catalogue, chosen: list[ModelFile]) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    columns = (TextColumn("{task.description:>18}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks = {entry.name: bars.add_task(entry.name, total=entry.size) for entry in chosen}

        def show(name: str, done: int, total: int) -> None:
            if name in tasks:
                bars.update(tasks[name], completed=done)

        catalogue.pull([entry.name for entry in chosen], show)
