"""Measure how often the whole device is right: FNIR and FPIR on folders of photos and clips, at the threshold in force.

With --visit K, visits of K photos, and clips, are decided as at the terminal, beside single photos and the vote of three pictures.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track

from device.commands.options import add_config, add_json
from device.config import loader, without_liveness
from device.contract import ModelCard
from device.system.number_of import number_of
from device.vision.evaluation import Rate, Trial, TrialError, run_trial
from device.vision.recogniser import Recogniser
from device.vision.visit_looks import read_looks
from device.vision.visit_trial import Share, VisitTrial, run_visits

TEMPLATES = 3


def _numbers(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.isdecimal() and 0 < int(part) <= 50 for part in parts):
        raise argparse.ArgumentTypeError(f"{text}: expected a number from 1 to 50, or several such as 1,2,3")
    return [int(part) for part in parts]


def _share_of_visits(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 < share <= 0.5:
        raise argparse.ArgumentTypeError(f"{text}: expected a share such as 0.001, at most 0.5")
    return share


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("enrolled", type=Path, metavar="FOLDER", help="one sub-folder per person; the first photo of each is enrolled, the others are searched")
    parser.add_argument("--strangers", type=Path, metavar="DIR", required=True, help="photos of people who are not in FOLDER")
    parser.add_argument("--model", action="append", default=[], metavar="NAME", help="instead of the setting; several models are compared")
    parser.add_argument("--gallery", type=int, default=0, metavar="N", help="fill the gallery up to N people with strangers, who are then not searched")
    parser.add_argument("--visit", type=_numbers, metavar="K", help="visits of K photos (or 1,2,3: several lengths), and clips, instead of single photos")
    parser.add_argument("--templates", type=_numbers, metavar="T", help=f"templates per person, with --visit (default: {TEMPLATES}); 1,3 compares numbers")
    parser.add_argument("--fpir", type=_share_of_visits, metavar="P", help="target FPIR instead of the setting")
    add_config(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    if args.visit is None and args.templates is not None:
        print("usage: trial FOLDER --strangers DIR --visit K --templates T: --templates is for visits", file=sys.stderr)
        return 2
    if args.visit is not None and args.gallery:
        print("usage: --gallery is for single photos; leave it out with --visit", file=sys.stderr)
        return 2
    for folder in (args.enrolled, args.strangers):
        if not folder.is_dir():
            raise TrialError(f"{folder}: there is no such folder; name one with photos", code="trial.no_folder")
    settings = without_liveness(loader.load(args.config))
    if args.fpir is not None:
        settings = dataclasses.replace(settings, decision=dataclasses.replace(settings.decision, fpir=args.fpir))
    for model in args.model or [settings.embedder.model]:
        sha256 = settings.embedder.sha256 if model == settings.embedder.model else ""
        chosen = dataclasses.replace(settings, embedder=dataclasses.replace(settings.embedder, model=model, sha256=sha256))
        recogniser = Recogniser(chosen)
        card = recogniser.embedder.card
        if args.visit is None:
            trial = run_trial(recogniser, args.enrolled, args.strangers, _progress, args.gallery)
            print(_json(card, trial) if args.json else _text(card, trial, chosen.decision.fpir))
            continue
        looks = read_looks(recogniser, args.enrolled, args.strangers, _progress)
        found = [run_visits(recogniser, looks, crops, templates) for templates in args.templates or [TEMPLATES] for crops in args.visit]
        if args.json:
            print("\n".join(json.dumps({"model": card.name, "model_id": card.model_id, **visits.as_dict()}) for visits in found))
        else:
            print(_visits_text(card, found[0]) if len(found) == 1 else _compared(card, found))
    return 0


def _compared(card: ModelCard, found: Sequence[VisitTrial]) -> str:
    """Visits of several lengths, as a table."""
    lines = [
        f"{card.name} {card.model_id[:12]}: visits decided by their mean, FPIR {found[0].fpir_target:g} wanted per visit\n",
        "| templates | pictures | people | FNIR at the card's threshold | FPIR | FNIR at equal FPIR |\n|---|---|---|---|---|---|",
    ]
    for each in found:
        way = each.rules["visit"]
        lines.append(f"| {each.templates} | {each.crops} | {each.people} | {_share(way.fnir)} | {_share(way.fpir)} | {_share(way.equal_fnir)} |")
    return "\n".join(lines)


def _visits_text(card: ModelCard, found: VisitTrial) -> str:
    lines = [
        f"{card.name} {card.model_id[:12]}: {found.people} people, {found.templates} templates each, visits of {found.crops} pictures, "
        f"FPIR {found.fpir_target:g} wanted per visit",
        f"{'':22}{'threshold':>10}  {'FNIR':<28}{'FPIR':<28}{'FNIR at equal FPIR':<28}time to decision",
    ]
    names = {"visit": "mean of the visit", "votes": "three pictures agree", "single": "one picture"}
    for name, way in found.rules.items():
        seconds = "" if way.seconds_to_decision is None else f"{way.seconds_to_decision:.2f} s"
        rates = "".join(f"{_share(rate):<28}" for rate in (way.fnir, way.fpir, way.equal_fnir))
        lines.append(f"{names[name]:22}{way.threshold:>10.4f}  {rates}{seconds}")
    lines.append(f"{found.rules['visit'].fnir.n} visits of enrolled people, {found.rules['visit'].fpir.n} of others")
    if found.left_out:
        lines.append(f"{number_of(found.left_out, 'template')} left out, as at enrolment: they show somebody else than the person's others, or are damaged")
    return "\n".join(lines)


def _share(share: Share) -> str:
    return f"{100 * share.value:.2f} % ({100 * share.low:.2f} to {100 * share.high:.2f})"


def _json(card: ModelCard, trial: Trial) -> str:
    named = (("fnir", trial.fnir), ("fpir", trial.fpir), ("equal_fnir", trial.equal_fnir))
    rates = {name: {"value": rate.value, "low": rate.interval[0], "high": rate.interval[1]} for name, rate in named}
    return json.dumps({"model": card.name, "model_id": card.model_id, **dataclasses.asdict(trial), **rates})


def _text(card: ModelCard, trial: Trial, fpir: float) -> str:
    lines = [
        f"{card.name} {card.model_id[:12]}: {trial.people} people enrolled with one photo each, {trial.not_enrolled} refused by the quality gate",
        f"threshold {trial.threshold:.4f} for FPIR {fpir:g} as the card sets it",
        f"FNIR {_words(trial.fnir)}: photos of enrolled people that did not name them; {trial.misnamed} named somebody else",
        f"FPIR {_words(trial.fpir)}: photos of strangers that named somebody{_expected(trial)}",
        f"FNIR {_words(trial.equal_fnir)} at {trial.equal_threshold:.4f}, where FPIR on these strangers is {fpir:g}: for comparing models",
        f"{trial.unusable} photos had no usable face",
    ]
    return "\n".join(lines)


def _expected(trial: Trial) -> str:
    if trial.expected_fpir is None:
        return ""
    low, high = trial.expected_fpir
    return f"; the card expects at most {100 * low:.2f} to {100 * high:.2f} % with these templates"


def _progress(paths: Sequence[Path], words: str) -> Iterable[Path]:
    return track(paths, words, console=Console(stderr=True))


def _words(rate: Rate) -> str:
    low, high = rate.interval
    return f"{100 * rate.value:.2f} % ({rate.count} of {rate.of}; 95 % interval {100 * low:.2f} to {100 * high:.2f} %)"
