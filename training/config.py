"""A recipe: everything that decides a training run, as frozen dataclasses read from TOML.

An unknown key, a wrong type or a value out of range stops the start with the key, the value and what is allowed.
"""

from __future__ import annotations

import dataclasses
import os
import re
import sys
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from device.config import ConfigError, chosen, ranged

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CONFIGS = Path(__file__).resolve().parent / "configs"
A_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")  # as os.path.expandvars reads it


@dataclass(frozen=True)
class SourceSettings:
    """One set of crops; relative paths count from the working directory, `$CLOCKFACE_SHARED` and the like are expanded."""

    path: str = ""  # a .rec file, a folder of one folder a person, or "drawn" faces: "people x crops"
    kind: str = chosen("recordio", "recordio", "folder", "drawn")
    teacher: str = ""  # .npz of embeddings in the source's order, or an .onnx embedder; "" is none
    labelled: bool = True  # False: every label counts as unknown
    rows: str = ""  # only the records whose line in the .tsv beside the .rec fits: "source = fairface", "source != fairface"; "" is all
    fill_black: bool = False  # fill black edges of crops of tight photos by mirroring (training/borders.py)


@dataclass(frozen=True)
class DataSettings:
    sources: tuple[SourceSettings, ...] = ()
    workers: int = ranged(2, 1, 256)  # threads that decode and augment
    ahead: int = ranged(4, 1, 64)  # batches made in advance
    cache: bool = False  # keep decoded crops in memory: 37 kB each
    max_corrupted: int = ranged(100, 0, 1_000_000)  # records that may be skipped before the run stops
    validation_identities: int = ranged(100, 2, 100_000)  # labelled identities held out of training, where `validation` names no others
    validation: str = ""  # a folder of one folder a person, never trained on: all pairs of its crops choose the best checkpoint


@dataclass(frozen=True)
class AugmentSettings:
    """Light by design: heavy augmentation hurts small nets."""

    flip: float = ranged(0.5, 0.0, 1.0)  # chance
    rotation_degrees: float = ranged(8.0, 0.0, 45.0)  # largest, either way
    scale: float = ranged(0.08, 0.0, 0.5)  # largest relative change
    shift_px: float = ranged(3.0, 0.0, 30.0)  # largest, either way, x and y
    light: float = ranged(0.3, 0.0, 0.9)  # largest relative change of gain; gamma and colour follow
    blur: float = ranged(0.1, 0.0, 1.0)  # chance
    low_resolution: float = ranged(0.15, 0.0, 1.0)  # chance of going down to 28..80 px and back
    jpeg: float = ranged(0.1, 0.0, 1.0)  # chance of JPEG at quality 25..75


@dataclass(frozen=True)
class BackboneSettings:
    name: str = "edge"  # a name in `training.backbones.BACKBONES`
    embedding_size: int = ranged(192, 2, 4096)
    folded: bool = False  # batch norm part of the layers before it: only to go on from trained weights (`train --init`)


@dataclass(frozen=True)
class LossSettings:
    """The loss on labelled crops."""

    name: str = ""  # a name in `training.losses`; "" trains by the teacher alone
    weight: float = ranged(1.0, 0.0, 1000.0)
    sample_rate: float = ranged(0.0, 0.0, 1.0)  # Partial FC: classes shared out over the processes, this share looked at a step; 0 is without
    options: dict[str, Any] = field(default_factory=dict)  # handed to the loss


@dataclass(frozen=True)
class DistillSettings:
    """Weights of the terms that pull towards the teacher; all 0 is no distillation."""

    cosine: float = ranged(0.0, 0.0, 1000.0)  # 1 - cosine to the crop's own teacher embedding
    relations: float = ranged(0.0, 0.0, 1000.0)  # squared difference of the batch's two similarity matrices
    bank: float = ranged(0.0, 0.0, 1000.0)  # KL between the two softmaxes over all teacher embeddings
    temperature: float = ranged(0.05, 0.005, 1.0)  # of both softmaxes, in units of cosine
    bank_rows: int = ranged(8192, 1, 10_000_000)  # teacher embeddings drawn anew for each step's softmaxes
    instance: float = ranged(0.0, 0.0, 1000.0)  # cross-entropy with each teacher embedding as a class of its own
    margin: float = ranged(0.0, 0.0, 1.0)  # cosine margin of `instance`


@dataclass(frozen=True)
class SamplerSettings:
    kind: str = chosen("plain", "plain", "people", "neighbours")  # "people": P people x K crops a batch; "neighbours": groups of K alike to the teacher
    crops: int = ranged(4, 2, 64)  # K; P is batch_size / K


@dataclass(frozen=True)
class OptimiserSettings:
    name: str = chosen("adamw", "adamw", "muon", "sgd")
    learning_rate: float = ranged(0.002, 0.0, 10.0)  # peak
    weight_decay: float = ranged(0.05, 0.0, 10.0)
    momentum: float = ranged(0.9, 0.0, 1.0)  # of sgd
    clip_norm: float = ranged(5.0, 0.0, 1e6)  # largest gradient norm; 0 is no clipping


@dataclass(frozen=True)
class ScheduleSettings:
    epochs: int = ranged(20, 1, 100_000)
    steps: int = ranged(0, 0, 100_000_000)  # exactly so many in place of the epochs; 0 goes by the epochs
    batch_size: int = ranged(128, 2, 65_536)  # crops a process and optimiser step
    accumulate: int = ranged(1, 1, 1024)  # equal parts a batch is computed in
    warmup: float = ranged(0.02, 0.0, 1.0)  # share of the run
    floor: float = ranged(0.001, 0.0, 1.0)  # learning rate at the end, as a share of the peak


@dataclass(frozen=True)
class RunSettings:
    seed: int = ranged(0, 0, 2**31)
    device: str = chosen("auto", "auto", "cpu", "cuda")
    threads: int = ranged(0, 0, 512)  # of torch on the CPU; 0 leaves its choice
    precision: str = chosen("float32", "float32", "bfloat16", "float16")
    validate_steps: int = ranged(500, 1, 10_000_000)  # a checkpoint is written at each validation
    patience: int = ranged(0, 0, 1000)  # validations without a better one before an early stop; 0 never stops
    ema: float = ranged(0.0, 0.0, 0.99999)  # decay of the averaged weights a step; 0 is no averaging
    halfway_steps: int = ranged(0, 0, 10_000_000)  # of a stage: each starts half way back to where the one before began (averaging.py); 0 is one way on


@dataclass(frozen=True)
class Recipe:
    name: str = "unnamed"
    data: DataSettings = DataSettings()
    augment: AugmentSettings = AugmentSettings()
    backbone: BackboneSettings = BackboneSettings()
    loss: LossSettings = LossSettings()
    distill: DistillSettings = DistillSettings()
    sampler: SamplerSettings = SamplerSettings()
    optimiser: OptimiserSettings = OptimiserSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    run: RunSettings = RunSettings()


def load(name: str, overrides: tuple[str, ...] = ()) -> Recipe:
    """Read a recipe: a name in `training/configs` or a path; overrides are TOML lines such as `schedule.epochs = 3`.

    Raises:
        ConfigError: no such recipe, no TOML, or a setting that cannot be honoured.
    """
    path = Path(name) if name.endswith(".toml") else CONFIGS / f"{name}.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        for line in overrides:
            _merge(table, tomllib.loads(line))
    except FileNotFoundError as error:
        have = ", ".join(sorted(p.stem for p in CONFIGS.glob("*.toml")))
        raise ConfigError(f"recipe {name}: no file {path}; give a path or one of {have}") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"recipe {name} cannot be read: {error}") from error
    table.setdefault("name", path.stem)
    return from_table(table)


def from_table(table: dict[str, Any]) -> Recipe:
    """Build a recipe from nested tables, as `dataclasses.asdict` or TOML give them."""
    recipe = typing.cast(Recipe, _build(Recipe, "", table))
    if 0 < recipe.loss.sample_rate < 1 and recipe.schedule.accumulate > 1:
        raise ConfigError(f"schedule.accumulate = {recipe.schedule.accumulate}: with sampled classes (loss.sample_rate < 1) only 1 is allowed")
    if recipe.run.halfway_steps and recipe.run.ema:
        raise ConfigError(f"run.ema = {recipe.run.ema}: with run.halfway_steps the weights half way are kept, no average; set one of them to 0")
    return recipe


def expanded(path: str) -> str:
    """A path of a recipe with its environment variables expanded.

    Raises:
        ConfigError: a variable is not set.
    """
    for names in A_VARIABLE.findall(path):
        name = "".join(names)
        if name not in os.environ:
            explanation = "the comment at the top of the recipe says which folder it is"
            raise ConfigError(f"{path}: the environment variable {name} is not set; `export {name}=FOLDER` first ({explanation})", code="config.variable")
    return os.path.expandvars(path)


def _merge(table: dict[str, Any], more: dict[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(table.get(key), dict):
            _merge(table[key], value)
        else:
            table[key] = value


def _build(kind: Any, where: str, table: Any) -> Any:
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: expected a table, got {type(table).__name__}")
    fields = {f.name: f for f in dataclasses.fields(kind)}
    hints = typing.get_type_hints(kind)
    values = {}
    for key, value in table.items():
        name = f"{where}.{key}".lstrip(".")
        if key not in fields:
            raise ConfigError(f"{name}: unknown setting; known: {', '.join(fields)}")
        values[key] = _value(name, hints[key], fields[key], value)
    return kind(**values)


def _value(name: str, hint: Any, spec: dataclasses.Field[Any], value: Any) -> Any:
    if dataclasses.is_dataclass(hint):
        return _build(hint, name, value)
    if typing.get_origin(hint) is tuple:  # a list of tables
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{name}: expected a list of tables, got {type(value).__name__}")
        return tuple(_build(typing.get_args(hint)[0], f"{name}[{i}]", item) for i, item in enumerate(value))
    kind = typing.get_origin(hint) or hint
    if not (type(value) is kind or (kind is float and type(value) is int)):
        raise ConfigError(f"{name} = {value!r}: expected {kind.__name__}, got {type(value).__name__}")
    _check_range(name, value, spec.metadata)
    return value


def _check_range(name: str, value: Any, allowed: types.MappingProxyType[Any, Any]) -> None:
    choices = allowed.get("choices")
    if choices and value not in choices:
        raise ConfigError(f"{name} = {value!r}: expected one of {', '.join(choices)}")
    low, high = allowed.get("low"), allowed.get("high")
    if low is not None and not low <= value <= high:
        raise ConfigError(f"{name} = {value!r}: allowed range {low} to {high}")
