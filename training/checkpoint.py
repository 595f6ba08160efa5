"""Checkpoints, from which a run resumes, and weights files. Files are replaced in one step: after a kill at any moment there is a complete one."""

from __future__ import annotations

import dataclasses
import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import torch

from device.contract import ClockfaceError
from training import config, file_kinds, published
from training.backbones.folding import folded
from training.config import BackboneSettings, Recipe
from training.model import EmbedderNet

SCHEMA = 1


class CheckpointError(ClockfaceError):
    """A checkpoint cannot be used."""

    code = "checkpoint"


def save(path: Path, state: dict[str, Any], recipe: Recipe) -> None:
    """Write a temporary file beside the target, flush it to disk and rename it."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            torch.save({"schema": SCHEMA, "recipe": dataclasses.asdict(recipe), **state}, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except (OSError, RuntimeError) as error:
        part.unlink(missing_ok=True)
        if isinstance(error.__context__, OSError):  # what the disk said; torch raises an error of its own over it
            raise error.__context__ from None
        raise


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint, a weights file or published weights of others; only tensors and plain values are unpickled.

    Raises:
        CheckpointError: the file is missing, is of another kind, or is no checkpoint of this version.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about what the error says, too
            state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} does not exist; give a checkpoint written by `python -m training train`") from error
    except (RuntimeError, OSError, pickle.UnpicklingError, EOFError, ValueError, LookupError, TypeError, AttributeError) as error:  # files of another kind
        unknown = "it was cut short, or torch.save did not write it: give last.pt, best.pt or a weights file, or an earlier copy"
        what = f"it is {found}" if (found := file_kinds.kind(path)) else unknown
        raise CheckpointError(f"{path} cannot be read as a checkpoint; {what}") from error
    if not isinstance(state, dict) or "schema" not in state:
        return _published(path, state)
    if state["schema"] != SCHEMA or "recipe" not in state:
        raise CheckpointError(f"{path}: expected a checkpoint of schema {SCHEMA}; train again or use the matching version")
    try:
        recipe_of(state)
    except ClockfaceError as error:
        raise CheckpointError(f"{path}: its recipe is of another version of this program, or was changed ({error}); use it with that version") from error
    return state


def _published(path: Path, content: Any) -> dict[str, Any]:
    found = published.as_checkpoint(content, SCHEMA)
    if found is None:
        layers = ", ".join(list(published.plain(content))[:3])
        have = f"the weights of a net that is not known here ({layers}, ...)" if layers else "no weights"
        remedy = "export the net to ONNX where its code is, then `python -m export adopt`; of this project's own weights give the whole file"
        raise CheckpointError(f"{path} has {have}; {remedy}")
    return found


def recipe_of(state: dict[str, Any]) -> Recipe:
    return config.from_table(state["recipe"])


def load_embedder(path: Path) -> tuple[EmbedderNet, Recipe]:
    """The embedder of a checkpoint or weights file, in evaluation mode, and the recipe that made it.

    The averaged weights are used if the run kept them.

    Raises:
        CheckpointError: the weights do not fit the backbone, or are not finite.
    """
    state = load(path)
    recipe = recipe_of(state)
    embedder = EmbedderNet(recipe.backbone)
    weights = state.get("averaged") or state.get("embedder")
    if not weights:
        raise CheckpointError(f"{path} has no weights of an embedder; give last.pt or best.pt of a run")
    try:
        embedder.load_state_dict(weights)
    except (RuntimeError, TypeError, AttributeError) as error:
        said = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{path}: its weights do not fit the backbone {recipe.backbone.name} ({said}); use the file as it was written") from error
    if not all(bool(value.isfinite().all()) for value in weights.values()):
        raise CheckpointError(f"{path} has weights that are not finite; use an earlier checkpoint, and train with a lower optimiser.learning_rate")
    return embedder.eval(), recipe


def with_backbone(recipe: Recipe, weights: Path | None) -> Recipe:
    """The recipe with the backbone of the weights from which its run starts or resumes, if it names none itself.

    Raises:
        CheckpointError: it names none, and there are no weights.
    """
    if recipe.backbone.name:
        return recipe
    if weights is None:
        raise CheckpointError(f"the recipe {recipe.name} names no backbone; give weights with --init, or add `--set \"backbone.name='edge'\"`")
    return dataclasses.replace(recipe, backbone=recipe_of(load(weights)).backbone)


def initial(path: Path, settings: BackboneSettings) -> dict[str, Any]:
    """The embedder's weights from a file, with batch norm folded if the recipe sets it.

    Raises:
        CheckpointError: the weights belong to another backbone.
    """
    embedder, recipe = load_embedder(path)
    have = recipe.backbone
    if (have.name, have.embedding_size) != (settings.name, settings.embedding_size) or have.folded > settings.folded:
        raise CheckpointError(
            f"{path} has weights of the backbone {_named(have)}, the recipe sets {_named(settings)}; remove [backbone] from the recipe, or add "
            f"`--set \"backbone = {{ name = '{have.name}', embedding_size = {have.embedding_size}, folded = {str(have.folded).lower()} }}\"`"
        )
    if settings.folded and not have.folded:
        embedder.backbone = folded(embedder.backbone)
    return embedder.state_dict()


def _named(backbone: BackboneSettings) -> str:
    return f"{backbone.name} with {backbone.embedding_size} values{', batch norm folded' * backbone.folded}"


def export_weights(source: Path, target: Path) -> None:
    """Write only the weights and the recipe, in float32, for the repository."""
    embedder, recipe = load_embedder(source)
    state = load(source)
    save(target, {"embedder": embedder.state_dict(), "step": state["step"], "images": state["images"]}, recipe)
