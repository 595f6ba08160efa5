"""Measure how often the whole device is right: FNIR and FPIR on folders of photos, at the threshold in force."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track

from device import config
from device.recogniser import Recogniser
from device.trial import Rate, run_trial


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("enrolled", type=Path, metavar="FOLDER", help="a sub-folder a person; the first photo of each is enrolled, the others are searched")
    parser.add_argument("--strangers", type=Path, metavar="DIR", required=True, help="photos of people who are not in FOLDER")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings in TOML")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    settings = config.load(args.config)
    recogniser = Recogniser(settings)
    trial = run_trial(recogniser, args.enrolled, args.strangers, _progress)
    card = recogniser.embedder.card
    if args.json:
        rates = {name: {"value": rate.value, "low": rate.interval[0], "high": rate.interval[1]} for name, rate in (("fnir", trial.fnir), ("fpir", trial.fpir))}
        print(json.dumps({"model": card.name, "model_id": card.model_id, **dataclasses.asdict(trial), **rates}))
        return 0
    print(f"{card.name} {card.model_id[:12]}: {trial.people} people enrolled with one photo each, {trial.not_enrolled} refused by the quality gate")
    print(f"threshold {trial.threshold:.4f} for FPIR {settings.decision.fpir:g} as the card sets it")
    print(f"FNIR {_words(trial.fnir)}: photos of enrolled people that did not name them; {trial.misnamed} named somebody else")
    print(f"FPIR {_words(trial.fpir)}: photos of strangers that named somebody")
    print(f"{trial.unusable} photos had no usable face")
    return 0


def _progress(paths: Sequence[Path], words: str) -> Iterable[Path]:
    return track(paths, words, console=Console(stderr=True))


def _words(rate: Rate) -> str:
    low, high = rate.interval
    return f"{100 * rate.value:.2f} % ({rate.count} of {rate.of}; 95 % interval {100 * low:.2f} to {100 * high:.2f} %)"
