"""Measure how often the liveness gate errs, on clips of living faces and of attacks recorded at the terminal's place: APCER, BPCER, non-response."""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from device.commands.liveness_report import report
from device.commands.options import add_config, add_json
from device.config import loader
from device.contract import LivenessCard
from device.system.files import Disk
from device.vision.camera.readers import without_password
from device.vision.camera.source import default_source
from device.vision.det_picture import det
from device.vision.evaluation import TrialError
from device.vision.liveness import LivenessModel
from device.vision.liveness_recording import faces_seen, guide, plan, record
from device.vision.liveness_trial import Presented, TrialRates, attacks_by_species, by_pictures, by_source, played, scores_of
from device.vision.recogniser import Recogniser
from device.vision.trial_files import listed

PRIVATE = "They show faces and are personal data: ask everybody who is to be seen, keep them on this machine, and delete them after the trial:"

FEW = "; r records it again, or it stays if the gate is to meet it so"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="sub-folders `real` and one for each species of attack, with clips and stills")
    parser.add_argument("--table", type=Path, metavar="FILE.tsv", help="columns file, species, source instead of sub-folders")
    parser.add_argument("--threshold", type=float, metavar="T", help="instead of the one in the model's card")
    parser.add_argument("--pictures", type=int, metavar="N", help="judged together, instead of the number in the model's card")
    parser.add_argument("--det", type=Path, metavar="FILE.svg", help="write a picture of the detection error trade-off")
    parser.add_argument("--record", action="store_true", help="record the clips first, led step by step; goes on where it was stopped")
    parser.add_argument("--source", metavar="CAMERA", help="with --record: as for `run` (default: the first camera)")
    parser.add_argument("--each", type=int, default=10, metavar="N", help="with --record: clips of each species of attack, and three times as many real ones")
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help="with --record: length of a clip")
    add_config(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    if args.record and (args.table is not None or not (1 <= args.each <= 1000 and 1 <= args.seconds <= 60)):
        print("usage: liveness-trial FOLDER --record [--each 1..1000] [--seconds 1..60]: into sub-folders, so without --table", file=sys.stderr)
        return 2
    settings = loader.load(args.config)
    measured = dataclasses.replace(settings.liveness, mode="observe", challenge="none")  # whatever the terminal does with it
    recogniser = Recogniser(dataclasses.replace(settings, liveness=measured))
    model = recogniser.liveness
    assert model is not None  # it is opened in every mode but off
    card = tried(model, args.threshold, args.pictures)
    if args.record:
        record_trial(recogniser, args.folder, args.source or default_source(), args.each, args.seconds)
    files, left_out = listed(args.folder, args.table)
    if left_out:
        print(f"neither clips nor stills, left out: {', '.join(left_out)}", file=sys.stderr)
    presented, unreadable = played(recogniser, model, card, files, _progress)
    for reason in unreadable.values():
        print(f"error: {reason}", file=sys.stderr)
    print(json.dumps(as_dict(card, presented, unreadable)) if args.json else "\n".join(report(card, presented)))
    if args.det is not None:
        write_det(args.det, presented, card.threshold or 0.0)
    return 1 if unreadable else 0


def record_trial(recogniser: Recogniser, folder: Path, source: str, each: int, seconds: float) -> None:
    """Record what is missing, asking on standard input.

    Raises:
        CameraError: the source cannot be opened.
        RecordingError: a clip cannot be written.
    """
    wanted, camera = plan(each), recogniser.settings.camera
    count = sum(kind.count for kind in wanted)
    print(f"{count} clips of {seconds:g} s from {without_password(source)} into {folder}. {PRIVATE} rm -r {folder}", file=sys.stderr)

    def clip(path: Path) -> None:
        print(f"recording {seconds:g} s ...", file=sys.stderr)
        record(source, camera, path, seconds)
        seen, searched = faces_seen(recogniser.detector, camera, path)
        print(f"{path}: a face in {seen} of {searched} pictures{FEW if 2 * seen < searched else ''}", file=sys.stderr)

    made = guide(folder, wanted, clip, _ask)
    print(f"{made} clips recorded; the same command goes on with the rest", file=sys.stderr)


def _ask(words: str) -> str:
    """The end of the input stops, as q does."""
    print(words, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline() or "q"


def tried(model: LivenessModel, threshold: float | None, pictures: int | None) -> LivenessCard:
    """The model's card with the threshold and number of pictures that are to be tried.

    Raises:
        ContractError: they are out of range.
        TrialError: there is no threshold.
    """
    card = dataclasses.replace(model.card, pictures=model.card.pictures if pictures is None else pictures)
    if threshold is not None:
        card = dataclasses.replace(card, threshold=threshold)
    if card.threshold is None:
        raise TrialError(f"the card of {card.name!r} states no threshold; give --threshold 0.5", code="trial.no_threshold")
    return card


def write_det(path: Path, presented: Sequence[Presented], threshold: float) -> None:
    """Write the picture.

    Raises:
        TrialError: no attack or no living face was judged, or the file cannot be written.
    """
    attacks, bona_fide = attacks_by_species(presented), scores_of([found for found in presented if not found.file.attack])
    if not (bona_fide and any(attacks.values())):
        raise TrialError(f"{path}: attacks and living faces must be judged for this picture; add clips of both", code="trial.too_few")
    try:
        Disk().write(path, det(attacks, bona_fide, threshold).encode())
    except OSError as error:
        raise TrialError(f"{path} cannot be written ({error.strerror}); give another file to --det", code="trial.not_written") from error


def as_dict(card: LivenessCard, presented: Sequence[Presented], unreadable: Iterable[str]) -> dict[str, Any]:
    """The form of `liveness-trial --json`."""
    rates, threshold = TrialRates.of(presented), card.threshold or 0.0
    said = {"presentations": [found.as_dict() for found in presented], **rates.as_dict(), "worst_species": rates.worst_species}
    said["frames"] = by_pictures(presented, threshold).as_dict(intervals=False)
    said["sources"] = {name: found.as_dict() for name, found in by_source(presented).items()}
    said |= {"seconds_to_accept": seconds(presented), "unreadable": list(unreadable)}
    return {**said, "model": card.name, "model_id": card.model_id, "threshold": threshold, "pictures": card.pictures}


def seconds(presented: Sequence[Presented]) -> float | None:
    """Median time from the first good picture of a living face until it was accepted."""
    taken = [found.seconds for found in presented if found.seconds is not None and not found.file.attack and not found.file.still]
    return statistics.median(taken) if taken else None


def _progress(paths: Sequence[Path], words: str) -> Iterable[Path]:
    return track(paths, words, console=Console(stderr=True))
