"""The card of a liveness model: read it, print it, and write the figures of a trial into it.

A threshold comes with its error rates: both are taken from one trial, and a trial of other weights is refused.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
from onnx import helper

from device.contract import LIVENESS_KEY, ClockfaceError, LivenessCard
from device.vision.det_picture import det
from export import artefact

BONA_FIDE = "bona fide"
RATES = ("apcer", "bpcer", "non_response", "eer", "worst_species", "seconds_to_accept", "threshold", "pictures")  # what the card keeps of a trial


class LivenessCardError(ClockfaceError):
    """The trial does not belong to this model, or cannot be read."""

    code = "liveness_card"


def card_in(model: onnx.ModelProto) -> LivenessCard | None:
    """The liveness card inside a model; None where it has none."""
    return next((LivenessCard.from_json(entry.value) for entry in model.metadata_props if entry.key == LIVENESS_KEY), None)


def write_trial(path: Path, trial: Path, data: str) -> LivenessCard:
    """Put the rates of `liveness-trial --json`, and the threshold and number of pictures they hold for, into the card.

    Args:
        trial: the printed JSON.
        data: what was presented, in words.

    Raises:
        LivenessCardError: it is no trial, a trial of other weights, or one without attacks or without living faces.
    """
    model, found = artefact.read(path), _read(trial)
    card = card_in(model)
    if card is None:
        raise LivenessCardError(f"{path} has no liveness card; make it with `python -m export adopt-liveness`")
    if found["model_id"] != card.model_id:
        raise LivenessCardError(f"{trial} is of the model {found['model_id']:.12}, {path} is {card.model_id:.12}; make a trial with this model")
    judged = found["bpcer"]["n"], sum(rate["n"] for rate in found["apcer"].values())
    if not all(judged):
        raise LivenessCardError(f"{trial}: {judged[0]} living faces and {judged[1]} attacks were judged; a threshold needs both")
    about = {"data": data, "command": "python -m device liveness-trial", "scores": _scores(found["presentations"])}
    measured = {**about, **{key: found[key] for key in RATES}}
    card = dataclasses.replace(card, threshold=found["threshold"], pictures=found["pictures"], measured=(measured,))
    replace_card(path, model, card)
    return card


def _scores(presentations: Sequence[dict[str, Any]]) -> dict[str, list[float]]:
    """What the threshold was held against, by species; real faces are "bona fide". No names of files."""
    scores: dict[str, list[float]] = {}
    for one in presentations:
        if one["score"] is not None:
            scores.setdefault(one["species"] if one["attack"] else BONA_FIDE, []).append(one["score"])
    return {name: sorted(found) for name, found in sorted(scores.items())}


def trade_off(found: dict[str, Any]) -> str:
    """The detection error trade-off of one trial as SVG."""
    attacks = {name: scores for name, scores in found["scores"].items() if name != BONA_FIDE}
    return det(attacks, found["scores"][BONA_FIDE], found["threshold"])


def _read(trial: Path) -> dict[str, Any]:
    try:
        found = json.loads(trial.read_text(encoding="utf-8"))
        if missing := [key for key in (*RATES, "model_id", "presentations") if key not in found]:
            raise ValueError(f"no {', '.join(missing)}")
        _scores(found["presentations"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise LivenessCardError(f"{trial} is not what `python -m device liveness-trial --json` prints ({error}); run it again") from error
    return dict(found)


def replace_card(path: Path, model: onnx.ModelProto, card: LivenessCard) -> None:
    """Write the model with another card; weights and graph stay as they are."""
    kept = {entry.key: entry.value for entry in model.metadata_props}
    del model.metadata_props[:]
    helper.set_model_props(model, {**kept, LIVENESS_KEY: card.to_json()})

    def check(part: Path) -> None:
        if card_in(onnx.load(part)) != LivenessCard.from_json(card.to_json()):
            raise artefact.ArtefactError(f"{path}: the card read back differs from the card written; the model file was not changed")

    artefact.write(model, path, check)


def facts(card: LivenessCard) -> dict[str, str]:
    """Where the model comes from and how it judges."""
    rule = f"{card.threshold}, exceeded by the median of at least {card.pictures} pictures"
    return {
        "trained on": card.training_data,
        "licence": card.licence,
        "crops": ", ".join(f"{crop.scale:g} faces wide, {crop.size} px" for crop in card.crops),
        "least context": f"{card.min_context:g} half faces from the face's centre to the border of the frame",
        "threshold": "none yet: the model can be observed, not enforced" if card.threshold is None else rule,
    }


def lines(card: LivenessCard) -> list[str]:
    """The card as lines of text."""
    shown = [f"{card.name}  {card.precision}, {card.model_id[:12]}", *(f"{name:14}{words}" for name, words in facts(card).items())]
    for found in card.measured:
        shown += [f"{'measured on':14}{found['data']} ({found['command']})", *(f"  {name:34}  {words}" for name, words in rows(found))]
    return shown


def rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    """(rate, its value and interval) of one trial, by species first."""
    named = [*((f"APCER {name}", rate) for name, rate in found["apcer"].items()), ("BPCER", found["bpcer"]), ("non-response", found["non_response"])]
    return [*((name, rate_words(rate)) for name, rate in named), ("EER", "unknown" if found["eer"] is None else f"{100 * found['eer']:.1f} %")]


def rate_words(rate: dict[str, Any]) -> str:
    if rate["value"] is None:
        return "nothing was judged"
    return f"{100 * rate['value']:.1f} % of {rate['n']} ({100 * rate['low']:.1f} to {100 * rate['high']:.1f})"
