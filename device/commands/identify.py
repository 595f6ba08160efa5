"""Identify the people in each image: one line per face, or with --json one object on one line per image."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from device.commands.database import open_store
from device.commands.options import add_config, add_database, add_json
from device.config import without_liveness
from device.storage import settings as stored_settings
from device.terminal.enrolled import gallery_of
from device.terminal.model_in_force import recogniser_in_force
from device.terminal.reembedding import waiting_words
from device.vision.decision import Outcome, judge
from device.vision.images import ImageError
from device.vision.picture_process import PictureProcess
from device.vision.recogniser import Sample, surely_faces
from device.vision.upright import turned_words


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    add_database(parser)
    add_config(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    failed = False
    with open_store(args, "local") as store, PictureProcess() as pictures:
        settings = without_liveness(stored_settings.in_force(store, args.config))  # files cannot be judged
        recogniser = recogniser_in_force(store, settings, _note)
        if line := waiting_words(store, recogniser.embedder.card):
            _note(line)
        gallery = gallery_of(store, recogniser)
        threshold = recogniser.threshold(len(gallery))
        names = {person.id: person.name for person in store.people()}
        for path in args.images:
            try:
                samples = surely_faces(recogniser.still(pictures.read_file(path)))
            except ImageError as error:
                failed = True
                print(f"error: {error}", file=sys.stderr)
                continue
            found = []
            for sample, embedding in zip(samples, recogniser.embed(samples), strict=True):
                outcome = judge(gallery.search(embedding), threshold, settings.decision.min_lead)
                found.append(described(sample, outcome, names))
            print(json.dumps({"image": str(path), "faces": found}) if args.json else _lines(path, found))
    return 1 if failed else 0


def _note(line: str) -> None:
    print(line, file=sys.stderr)


def described(sample: Sample, outcome: Outcome, names: dict[int, str]) -> dict[str, Any]:
    """One face as JSON; a face that fails the quality gate identifies nobody."""
    usable = sample.quality.acceptable
    person_id = outcome.person_id if usable else None
    turned = f"; {turned_words(sample.picture_turn)}" if sample.picture_turn else ""
    return {
        "box": [round(value, 1) for value in sample.face.box],
        "landmarks": [[round(float(x), 1), round(float(y), 1)] for x, y in sample.face.landmarks],
        "quality": round(sample.quality.score, 4),
        "liveness": None,
        "person": person_id,
        "name": names.get(person_id) if person_id is not None else None,
        "score": round(outcome.score, 4),
        "lead": None if outcome.lead is None else round(outcome.lead, 4),
        "threshold": round(outcome.threshold, 4),
        "reason": (outcome.reason if usable else f"quality: {', '.join(sample.quality.reasons)}") + turned,
    }


def _lines(path: Path, found: list[dict[str, Any]]) -> str:
    if not found:
        return f"{path}: no face"
    return "\n".join(f"{path}: {face['name'] or 'unknown'} (score {face['score']:.2f}, threshold {face['threshold']:.2f}): {face['reason']}" for face in found)
