"""Read and write model files: the id of the weights, the model card, atomic writes."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import helper, numpy_helper

from device.contract import CARD_KEY, CARD_SCHEMA, COHORT_KEY, COLOUR_ORDER, CROP_SIZE, LANDMARK_SET, ClockfaceError, ModelCard
from device.vision.cohort import Cohort
from training import file_kinds


class ArtefactError(ClockfaceError):
    """A model file cannot be read or has no valid card."""

    code = "artefact"


def read(path: Path) -> onnx.ModelProto:
    """Read an ONNX file, weights included.

    Raises:
        ArtefactError: the file is missing, or is not an ONNX file.
    """
    try:
        model = onnx.load(path)
        if not model.graph.node:
            raise ValueError("it has no layers")
    except Exception as error:  # protobuf and the file system raise many types
        what = f"it is {found}" if (found := file_kinds.kind(path)) else f"({error}); give the file as it was published or built, with all files beside it"
        raise ArtefactError(f"{path} is not an ONNX file that can be read: {what}") from error
    return model


def model_id(model: onnx.ModelProto) -> str:
    """SHA-256 of the weights, sorted by name, so that a new card or node order does not change the id."""
    digest = hashlib.sha256()
    for tensor in sorted(model.graph.initializer, key=lambda tensor: tensor.name):
        values = numpy_helper.to_array(tensor)
        digest.update(f"{tensor.name}|{values.dtype}|{values.shape}|".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def opset(model: onnx.ModelProto) -> int:
    """The version of the standard ONNX operators that the graph requires."""
    return int(next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")))


def first_card(model: onnx.ModelProto, name: str, precision: str, training_data: str, licence: str, training_commit: str) -> ModelCard:
    """The card of a model before anything has been measured."""
    size = model.graph.output[0].type.tensor_type.shape.dim[-1].dim_value
    fixed: dict[str, Any] = {"schema": CARD_SCHEMA, "crop_size": CROP_SIZE, "colour_order": COLOUR_ORDER, "landmark_set": LANDMARK_SET}
    given: dict[str, Any] = {"training_data": training_data, "licence": licence, "training_commit": training_commit}
    unmeasured: dict[str, Any] = {"accuracy": (), "latency": (), "operating_points": ()}
    return ModelCard(model_id=model_id(model), name=name, embedding_size=size, precision=precision, **fixed, **given, **unmeasured)


def card_of(model: onnx.ModelProto, path: Path) -> ModelCard:
    """The card inside a model.

    Raises:
        ArtefactError: the model has no card.
    """
    for entry in model.metadata_props:
        if entry.key == CARD_KEY:
            return ModelCard.from_json(entry.value)
    raise ArtefactError(f"{path} has no model card; make it with `python -m export build` or `adopt`")


def set_card(model: onnx.ModelProto, card: ModelCard) -> None:
    """Put the card into the model, replacing any earlier one; a card without visits has no cohort beside it."""
    dropped = {CARD_KEY} if card.visits is not None else {CARD_KEY, COHORT_KEY}
    kept = {entry.key: entry.value for entry in model.metadata_props if entry.key not in dropped}
    del model.metadata_props[:]
    helper.set_model_props(model, {**kept, CARD_KEY: card.to_json()})


def write(model: onnx.ModelProto, target: Path, check: Callable[[Path], None]) -> None:
    """Write a model atomically: `check` gets the finished file and raises if it is not good."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=target.parent) as beside:
        part = Path(beside) / target.name
        part.write_bytes(model.SerializeToString(deterministic=True))
        check(part)
        os.replace(part, target)


def set_cohort(model: onnx.ModelProto, cohort: Cohort | None) -> None:
    """Put the cohort into the model, replacing any earlier one."""
    kept = {entry.key: entry.value for entry in model.metadata_props if entry.key != COHORT_KEY}
    del model.metadata_props[:]
    helper.set_model_props(model, kept if cohort is None else {**kept, COHORT_KEY: cohort.to_text()})


def write_card(path: Path, card: ModelCard, cohort: Cohort | None | Literal["kept"] = "kept") -> None:
    """Replace the card of a model file; weights and graph stay as they are.

    Args:
        cohort: the one that the card's thresholds need; None where they need none.

    Raises:
        ArtefactError: the card read back from the new file differs; the old file stays unchanged.
    """
    model = read(path)
    set_card(model, card)
    if cohort != "kept":
        set_cohort(model, cohort)

    def check(part: Path) -> None:
        if card_of(onnx.load(part), part) != ModelCard.from_json(card.to_json()):
            raise ArtefactError(f"{path}: the card read back differs from the card written; the model file was not changed")

    write(model, path, check)


def add_agreement(path: Path, reference: str, lowest: float) -> None:
    """Record in the card that the written file agrees with the model it was made from."""
    card = card_of(read(path), path)
    write_card(path, dataclasses.replace(card, accuracy=({"measure": "agreement", "reference": reference, "lowest_cosine": lowest},)))
