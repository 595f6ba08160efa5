"""Recipes of `make model`, read from TOML; an unknown key or a wrong type is refused by name."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device.config.loader import tomllib
from device.contract import ClockfaceError
from export.crops import PEOPLE

RECIPES = Path(__file__).resolve().parent / "recipes"


class RecipeError(ClockfaceError):
    """A recipe cannot be used."""

    code = "recipe"


@dataclass(frozen=True)
class CropsTable:
    """People on whom ranges and thresholds are set; none of them may be in the pairs of `verify` or the photos of `search`."""

    folders: tuple[str, ...] = ()  # aligned crops, one per person
    rec: str = ""  # RecordIO with unlabelled crops
    people: int = PEOPLE  # crops drawn from `rec`
    teacher: str = ""  # another model's embeddings of the records (.npz)
    other: str = ""  # another model (.onnx) that finds people shown twice
    visits: str = ""  # RecordIO with labels, or a folder per person: thresholds are set on visits of these people instead of single pictures
    visits_teacher: str = ""  # another model, or its embeddings of them (.npz)
    cohort: str = ""  # RecordIO of different people with a table; some go into the model file
    cohort_of: str = ""  # instead: the model (.onnx) that this one is tuned from
    note: str = ""  # remark for the card, such as that the model was trained on some of them


@dataclass(frozen=True)
class VerifyTable:
    """The verification set and the limits of `verify`."""

    pairs: str = ""
    images: str = ""
    people: str = ""  # instead of pairs: crops with one sub-folder per person
    groups: str = ""
    mean_cosine: float = 0.99  # lowest, to the float model
    tar_loss: float = 0.005  # largest, at FAR 1e-3
    size_mb: float = 0.0  # largest file; 0 is any


@dataclass(frozen=True)
class SearchTable:
    """Photos for the trial of the whole device; nobody in them may be in `crops`."""

    people: str = ""  # one sub-folder per person; "": no trial
    strangers: str = ""
    gallery: int = 300


@dataclass(frozen=True)
class GainTable:
    """The model that a tuned one must not be worse than, on people it was not tuned on."""

    against: str = ""  # .onnx; "": there is none
    people: str = ""  # crops with one sub-folder per person


@dataclass(frozen=True)
class ModelRecipe:
    name: str = ""
    weights: str = ""  # .pt
    training: str = ""  # a recipe of `python -m training train`
    init: str = ""  # weights that the training starts from (.pt)
    licence: str = ""
    training_data: str = ""
    crops: CropsTable = CropsTable()
    verify: VerifyTable = VerifyTable()
    search: SearchTable = SearchTable()
    gain: GainTable = GainTable()
    in_float: tuple[str, ...] = ()  # layers that stay in float in the int8 file, by the names of their nodes
    qat_minutes: float = 4.0  # of quantization-aware training if quantizing alone does not pass `verify`; 0: none


def load(name: str) -> ModelRecipe:
    """Read a recipe: a name in `export/recipes` or a path.

    Raises:
        RecipeError: there is no such recipe, it is not TOML, a key is unknown, a type is wrong, or the variable of a path is not set.
    """
    path = Path(name) if name.endswith(".toml") else RECIPES / f"{name}.toml"
    try:
        recipe: ModelRecipe = _table(ModelRecipe, tomllib.loads(path.read_text(encoding="utf-8")), "")
    except FileNotFoundError as error:
        have = ", ".join(sorted(found.stem for found in RECIPES.glob("*.toml")))
        raise RecipeError(f"recipe {name}: no file {path}; give a path or one of {have}") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"recipe {name} cannot be read: {error}") from error
    for key in ("name", "licence", "training_data"):
        if not getattr(recipe, key):
            raise RecipeError(f"recipe {name}: {key} is missing; the card must state it")
    return recipe


def _table(kind: Any, values: dict[str, Any], where: str) -> Any:
    fields = {field.name: field for field in dataclasses.fields(kind)}
    given = {}
    for key, value in values.items():
        if key not in fields:
            raise RecipeError(f"{where}{key}: unknown setting; known: {', '.join(fields)}")
        given[key] = _value(fields[key].default, value, f"{where}{key}")
    return kind(**given)


def _value(default: Any, value: Any, name: str) -> Any:
    if dataclasses.is_dataclass(default):
        return _table(type(default), value if isinstance(value, dict) else {name: value}, f"{name}.")
    if isinstance(default, tuple) and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(_expanded(item, name) for item in value)
    if type(value) is not type(default) and not (type(default) is float and type(value) is int):
        raise RecipeError(f"{name} = {value!r}: expected {type(default).__name__}, got {type(value).__name__}")
    return _expanded(value, name) if isinstance(value, str) else value


def _expanded(text: str, name: str) -> str:
    done = os.path.expandvars(text)
    if text.startswith("$") and done == text:
        raise RecipeError(f"{name} = {text!r}: the variable is not set; run `export {text[1:].partition('/')[0]}=...` first")
    return done
