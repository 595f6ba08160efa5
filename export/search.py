"""`python -m export search MODEL`: how often the whole device is right on photos with this model, into its card.

    python -m export search own.onnx own-int8.onnx --people faces/dev --strangers faces/strangers --gallery 300

One photo of each person is enrolled, strangers fill the gallery up, the other photos are searched at the card's threshold for the FPIR: by detector, quality
gate, search and lead, as a terminal does. FNIR and FPIR with their 95 % intervals go into the card; `python -m device models list` shows them.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from device.config import DecisionSettings, EmbedderSettings, Settings
from device.vision.catalogue import sha256
from device.vision.evaluation import Rate, Trial, run_trial
from device.vision.recogniser import Recogniser
from export import artefact


def measured(model: Path, people: Path, strangers: Path, gallery: int, fpir: float, data: str) -> dict[str, Any]:
    """The card's entry.

    Args:
        people: a folder a person; strangers: photos of nobody in it.
        gallery: how many people are in the gallery, at least those of `people`.
        fpir: the target whose threshold is used.
        data: what the card calls the photos.
    """
    embedder = EmbedderSettings(model=str(model.resolve()), provider="cpu", sha256=sha256(model))
    trial = run_trial(Recogniser(Settings(embedder=embedder, decision=DecisionSettings(fpir=fpir))), people, strangers, _progress, gallery)
    return {"measure": "device", "data": data, "people": trial.people, "target_fpir": fpir, "threshold": trial.threshold, **_rates(trial)}


def _rates(trial: Trial) -> dict[str, Any]:
    """FNIR and FPIR as they came out, and what the card's threshold let expect of the FPIR at most."""
    low, high = trial.expected_fpir or (None, None)
    return {"fnir": _rate(trial.fnir), "fpir": _rate(trial.fpir), "expected_fpir": None if low is None else {"low": low, "high": high}}


def _rate(rate: Rate) -> dict[str, float]:
    low, high = rate.interval
    return {"value": rate.value, "low": low, "high": high, "searches": rate.of}


def _progress(paths: Sequence[Path], words: str) -> Iterable[Path]:
    return track(paths, words, console=Console(stderr=True), transient=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL", help="with thresholds in their cards")
    parser.add_argument("--people", type=Path, required=True, metavar="DIR", help="a sub-folder of photos a person")
    parser.add_argument("--strangers", type=Path, required=True, metavar="DIR", help="photos of people who are not in --people")
    parser.add_argument("--gallery", type=int, default=0, metavar="N", help="fill the gallery up to N people with strangers, who are then not searched")
    parser.add_argument("--fpir", type=float, default=0.01)
    parser.add_argument("--data", default="", help="what the card calls the photos; without it the name of the folder")


def run(args: argparse.Namespace) -> int:
    for model in args.models:
        found = measured(model, args.people, args.strangers, args.gallery, args.fpir, args.data or args.people.resolve().name)
        card = artefact.card_of(artefact.read(model), model)
        kept = tuple(entry for entry in card.accuracy if entry.get("measure") != "device")
        artefact.write_card(model, dataclasses.replace(card, accuracy=(*kept, found)))
        print(f"{model}: {words(found)}; its card says so")
    return 0


def words(found: dict[str, Any]) -> str:
    """An entry as a line for a person."""
    fnir, fpir = (f"{100 * rate['value']:.1f} % ({100 * rate['low']:.1f} to {100 * rate['high']:.1f})" for rate in (found["fnir"], found["fpir"]))
    return f"FNIR {fnir}, FPIR {fpir} at the threshold for {100 * found['target_fpir']:g} %, {found['people']} people with one photo each ({found['data']})"
