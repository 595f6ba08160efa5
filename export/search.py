"""`python -m export search MODEL`: measure FNIR and FPIR of the whole device with this model on photos, and write them into its card.

    python -m export search own.onnx own-int8.onnx --people faces/dev --strangers faces/strangers --gallery 300

Visits are measured as `python -m device trial --visit` does, at an FPIR of 0.1 % per visit. Then one photo of each person is enrolled and strangers
fill up the gallery; the other photos are searched at the card's threshold for the FPIR by detector, quality gate, search and lead, as on a terminal.
FNIR and FPIR with their 95 % intervals go into the card; `python -m device models list` shows them.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from device.config import DecisionSettings, EmbedderSettings, Settings, without_liveness
from device.vision.catalogue import sha256
from device.vision.evaluation import Rate, Trial, run_trial
from device.vision.recogniser import Recogniser
from device.vision.visit_looks import read_looks
from device.vision.visit_trial import VisitTrial, run_visits
from export import artefact
from training import arguments

VISIT, TEMPLATES = 3, 3  # pictures of a visit, templates per person


def measured(model: Path, people: Path, strangers: Path, gallery: int, fpir: float, data: str) -> dict[str, Any]:
    """The card's entry.

    Args:
        people: one sub-folder per person.
        strangers: photos of other people.
        gallery: number of people in the gallery, at least those of `people`.
        fpir: the target FPIR whose threshold is used.
        data: the name of the photos for the card.
    """
    embedder = EmbedderSettings(model=str(model.resolve()), provider="cpu", sha256=sha256(model))
    trial = run_trial(Recogniser(without_liveness(Settings(embedder=embedder, decision=DecisionSettings(fpir=fpir)))), people, strangers, _progress, gallery)
    return {"measure": "device", "data": data, "people": trial.people, "target_fpir": fpir, "threshold": trial.threshold, **_rates(trial)}


def measured_visits(model: Path, people: Path, strangers: Path, data: str) -> dict[str, Any]:
    """The card's entry on visits, at the terminal's own settings."""
    return {"measure": "visits", "data": data, **visit_trial(model, people, strangers).as_dict()["visit"]}


def visit_trial(model: Path, people: Path, strangers: Path) -> VisitTrial:
    """What `python -m device trial --visit` measures, with the terminal's own settings but for the model."""
    recogniser = Recogniser(without_liveness(Settings(embedder=EmbedderSettings(model=str(model.resolve()), provider="cpu", sha256=sha256(model)))))
    return run_visits(recogniser, read_looks(recogniser, people, strangers, _progress), VISIT, TEMPLATES)


def visits_text(found: dict[str, Any]) -> str:
    """The card's entry on visits as one line of text."""
    fnir, fpir = (f"{100 * rate['value']:.2f} % ({100 * rate['low']:.2f} to {100 * rate['high']:.2f})" for rate in (found["fnir"], found["fpir"]))
    about = f"{found['crops']} pictures, {found['people']} people with {found['templates']} templates ({found['data']})"
    return f"FNIR {fnir}, FPIR {fpir} per visit of {about}, at the threshold for {100 * found['fpir_target']:g} %"


def _rates(trial: Trial) -> dict[str, Any]:
    """Measured FNIR and FPIR, and the interval of the FPIR that the card states for its threshold."""
    low, high = trial.expected_fpir or (None, None)
    return {"fnir": _rate(trial.fnir), "fpir": _rate(trial.fpir), "expected_fpir": None if low is None else {"low": low, "high": high}}


def _rate(rate: Rate) -> dict[str, float]:
    low, high = rate.interval
    return {"value": rate.value, "low": low, "high": high, "searches": rate.of}


def _progress(paths: Sequence[Path], description: str) -> Iterable[Path]:
    return track(paths, description, console=Console(stderr=True), transient=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL", help="model files with thresholds in their cards")
    parser.add_argument("--people", type=Path, required=True, metavar="DIR", help="photos, one sub-folder per person")
    parser.add_argument("--strangers", type=Path, required=True, metavar="DIR", help="photos of people who are not in --people")
    parser.add_argument("--gallery", type=int, default=0, metavar="N", help="fill up the gallery to N people with strangers, who are then not searched")
    parser.add_argument("--fpir", type=arguments.number(0, 1), default=0.01)
    parser.add_argument("--data", default="", help="name of the photos for the card (default: that of the folder)")


def run(args: argparse.Namespace) -> int:
    for model in args.models:
        found = measured(model, args.people, args.strangers, args.gallery, args.fpir, args.data or args.people.resolve().name)
        card = artefact.card_of(artefact.read(model), model)
        visits = [measured_visits(model, args.people, args.strangers, args.data or args.people.resolve().name)] if card.visits else []
        kept = tuple(entry for entry in card.accuracy if entry.get("measure") not in ("device", "visits"))
        artefact.write_card(model, dataclasses.replace(card, accuracy=(*kept, found, *visits)))
        for entry in visits:
            print(f"{model}: {visits_text(entry)}")
        print(f"{model}: {as_text(found)}; written into its card")
    return 0


def as_text(found: dict[str, Any]) -> str:
    """The card's entry as one line of text."""
    fnir, fpir = (f"{100 * rate['value']:.1f} % ({100 * rate['low']:.1f} to {100 * rate['high']:.1f})" for rate in (found["fnir"], found["fpir"]))
    return f"FNIR {fnir}, FPIR {fpir} at the threshold for {100 * found['target_fpir']:g} %, {found['people']} people with one photo each ({found['data']})"
