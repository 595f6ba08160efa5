"""A recipe: all settings of a training run, as frozen dataclasses read from TOML.

An unknown key, a wrong type or a value out of range is refused with the key, the value and the allowed range.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import sys
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from device.config.fields import ConfigError, chosen, ranged

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CONFIGS = Path(__file__).resolve().parent / "configs"
A_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")  # as os.path.expandvars reads it


@dataclass(frozen=True)
class SourceSettings:
    """One set of crops. Relative paths start at the working directory; environment variables such as `$CLOCKFACE_SHARED` are expanded."""

    path: str = ""  # a .rec file, a folder with one sub-folder per person, "people x crops" of kind "drawn", or shards: "s3://bucket/faces-{000..127}.tar"
    kind: str = chosen("recordio", "recordio", "folder", "drawn", "shards")  # "drawn": synthetic faces (training/synthetic.py); "shards": training/shards.py
    teacher: str = ""  # .npz of embeddings in the source's order, or an .onnx embedder; "" for none
    labelled: bool = True  # False: all labels are treated as unknown
    rows: str = ""  # only the records whose line in the .tsv beside the .rec matches, e.g. "source = fairface" or "source != fairface"; "" for all
    fill_black: bool = False  # fill the black edges of crops by mirroring the photo (training/borders.py)


@dataclass(frozen=True)
class DataSettings:
    sources: tuple[SourceSettings, ...] = ()
    workers: int = ranged(2, 1, 256)  # threads that decode and augment
    ahead: int = ranged(4, 1, 64)  # batches prepared in advance
    cache: bool = False  # keep decoded crops in memory, 37 kB each
    open_shards: int = ranged(4, 1, 256)  # shards whose crops are shuffled together, per process; up to three times as many are kept in memory
    resident: bool = False  # keep decoded crops on the device and augment them there in batches (training/resident.py)
    max_corrupted: int = ranged(100, 0, 1_000_000)  # records that may be skipped before the run stops
    validation_identities: int = ranged(100, 2, 100_000)  # labelled identities held out of training if `validation` is empty
    validation: str = ""  # a folder with one sub-folder per person, not trained on: all pairs of its crops select the best checkpoint


@dataclass(frozen=True)
class AugmentSettings:
    """Light on purpose: strong augmentation makes small nets less accurate."""

    flip: float = ranged(0.5, 0.0, 1.0)  # probability
    rotation_degrees: float = ranged(8.0, 0.0, 45.0)  # largest, in either direction
    scale: float = ranged(0.08, 0.0, 0.5)  # largest relative change
    shift_px: float = ranged(3.0, 0.0, 30.0)  # largest, in either direction, x and y
    light: float = ranged(0.3, 0.0, 0.9)  # largest relative change of gain; gamma and colour change accordingly
    exposure: float = ranged(0.0, 0.0, 1.0)  # probability of a fifth to twice the light
    blur: float = ranged(0.1, 0.0, 1.0)  # probability
    blur_px: float = ranged(1.6, 0.4, 3.6)  # largest standard deviation
    motion: float = ranged(0.0, 0.0, 1.0)  # probability of a smear of 3 to 14 px in any direction
    covered: float = ranged(0.0, 0.0, 1.0)  # probability of a mask, dark glasses, or a hat
    noise: float = ranged(0.0, 0.0, 1.0)  # probability of a standard deviation of 2 to 25 grey levels
    low_resolution: float = ranged(0.15, 0.0, 1.0)  # probability of scaling down to 28..80 px and back up
    jpeg: float = ranged(0.1, 0.0, 1.0)  # probability of JPEG at quality 25..75


@dataclass(frozen=True)
class BackboneSettings:
    name: str = ""  # a name in `training.backbones.BACKBONES`; "": that of the weights given with `train --init`, with its embedding size
    embedding_size: int = ranged(192, 2, 4096)
    folded: bool = False  # batch norm folded into the layers before it; only for a start from trained weights (`train --init`)


@dataclass(frozen=True)
class LossSettings:
    """The loss on labelled crops."""

    name: str = ""  # a name in `training.losses`; "": train by the teacher alone
    weight: float = ranged(1.0, 0.0, 1000.0)
    centres: str = chosen("random", "random", "means")  # class directions at the start; "means": of the teacher embeddings of each class
    sample_rate: float = ranged(0.0, 0.0, 1.0)  # Partial FC: classes are distributed over the processes, this share of them is computed per step; 0: off
    options: dict[str, Any] = field(default_factory=dict)  # passed to the loss


@dataclass(frozen=True)
class DistillSettings:
    """Weights of the distillation terms (training/distill.py); all 0: no distillation."""

    cosine: float = ranged(0.0, 0.0, 1000.0)  # 1 - cosine to the teacher's embedding of the same crop
    relations: float = ranged(0.0, 0.0, 1000.0)  # squared difference of the two similarity matrices of a batch
    bank: float = ranged(0.0, 0.0, 1000.0)  # cross-entropy between the two softmaxes over teacher embeddings
    temperature: float = ranged(0.05, 0.005, 1.0)  # of both softmaxes, in units of cosine
    bank_rows: int = ranged(8192, 1, 10_000_000)  # teacher embeddings sampled per step for the softmaxes
    instance: float = ranged(0.0, 0.0, 1000.0)  # cross-entropy with each teacher embedding as a class of its own
    margin: float = ranged(0.0, 0.0, 1.0)  # cosine margin of `instance`


@dataclass(frozen=True)
class SamplerSettings:
    kind: str = chosen("plain", "plain", "people", "neighbours")  # "people": P people x K crops per batch; "neighbours": groups of K similar crops
    crops: int = ranged(4, 2, 64)  # K; P is batch_size / K


@dataclass(frozen=True)
class OptimiserSettings:
    name: str = chosen("adamw", "adamw", "muon", "sgd")
    learning_rate: float = ranged(0.002, 0.0, 10.0)  # peak
    weight_decay: float = ranged(0.05, 0.0, 10.0)
    momentum: float = ranged(0.9, 0.0, 1.0)  # of sgd
    clip_norm: float = ranged(5.0, 0.0, 1e6)  # largest gradient norm; 0: no clipping


@dataclass(frozen=True)
class ScheduleSettings:
    epochs: int = ranged(20, 1, 100_000)
    steps: int = ranged(0, 0, 100_000_000)  # exact number of steps, instead of epochs; 0: use epochs
    batch_size: int = ranged(128, 2, 65_536)  # crops per process and optimiser step
    accumulate: int = ranged(1, 1, 1024)  # equal parts in which a batch is computed
    warmup: float = ranged(0.02, 0.0, 1.0)  # share of the run
    floor: float = ranged(0.001, 0.0, 1.0)  # learning rate at the end, as a share of the peak


@dataclass(frozen=True)
class RunSettings:
    seed: int = ranged(0, 0, 2**31)
    device: str = chosen("auto", "auto", "cpu", "cuda")
    threads: int = ranged(0, 0, 512)  # of torch on the CPU; 0: torch's default
    precision: str = chosen("float32", "float32", "bfloat16", "float16")
    validate_steps: int = ranged(500, 1, 10_000_000)  # a checkpoint is written at each validation
    check_steps: int = ranged(1, 1, 10_000)  # steps between checks that loss and gradient are finite; 1: before each step is taken. A GPU waits at each check
    log_steps: int = ranged(50, 1, 10_000)  # steps between rows of the log
    compile: bool = False  # torch.compile for the backbone
    patience: int = ranged(0, 0, 1000)  # validations without improvement before an early stop; 0: never
    ema: float = ranged(0.0, 0.0, 0.99999)  # decay of the averaged weights per step; 0: no averaging
    lost_after_seconds: float = ranged(20.0, 2.0, 3600.0)  # of silence, after which a process on another machine counts as gone and the others end
    halfway_steps: int = ranged(0, 0, 10_000_000)  # steps per stage; each stage starts from the midpoint of the stage before (averaging.py); 0: off


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
        ConfigError: the recipe is missing or no TOML, or has a setting that is not allowed.
    """
    try:
        table = _read(name)
        for line in overrides:
            table = _merged(table, _line(line))
    except FileNotFoundError as error:
        have = ", ".join(sorted(p.stem for p in CONFIGS.glob("*.toml")))
        raise ConfigError(f"recipe {Path(error.filename).stem} does not exist ({error.filename}); give a path or one of {have}") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"recipe {name} cannot be read: {error}") from error
    return from_table(table)


def _line(line: str) -> dict[str, Any]:
    try:
        return tomllib.loads(line)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"--set {line!r} is no line of TOML ({error}); for example: --set schedule.epochs=3 or --set \"backbone.name='edge'\"") from error


def _read(name: str) -> dict[str, Any]:
    """The table of a recipe; with a `base`, that of another recipe with the settings that differ."""
    path = Path(name) if name.endswith(".toml") else CONFIGS / f"{name}.toml"
    table = {"name": path.stem, **tomllib.loads(path.read_text(encoding="utf-8"))}
    return _merged(_read(table.pop("base")), table) if "base" in table else table


def from_table(table: dict[str, Any]) -> Recipe:
    """Build a recipe from nested tables, as `dataclasses.asdict` or TOML give them."""
    recipe = typing.cast(Recipe, _build(Recipe, "", table))
    if 0 < recipe.loss.sample_rate < 1 and recipe.schedule.accumulate > 1:
        raise ConfigError(f"schedule.accumulate = {recipe.schedule.accumulate}: with sampled classes (loss.sample_rate < 1) only 1 is allowed")
    if 2 * recipe.schedule.accumulate > recipe.schedule.batch_size:
        size = recipe.schedule.batch_size
        raise ConfigError(f"schedule.accumulate = {recipe.schedule.accumulate}: schedule.batch_size = {size} has no two crops for each part")
    if recipe.run.halfway_steps and recipe.run.ema:
        raise ConfigError(f"run.ema = {recipe.run.ema} and run.halfway_steps = {recipe.run.halfway_steps} exclude each other; set one of them to 0")
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


def _merged(table: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    deeper = {key: _merged(table[key], value) for key, value in more.items() if isinstance(value, dict) and isinstance(table.get(key), dict)}
    return {**table, **more, **deeper}


def _build(kind: Any, where: str, table: Any) -> Any:
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: expected a table, got {type(table).__name__}")
    fields = {f.name: f for f in dataclasses.fields(kind)}
    hints = typing.get_type_hints(kind)
    values = {}
    for key, value in table.items():
        name = f"{where}.{key}".lstrip(".")
        if key not in fields:
            nearest = difflib.get_close_matches(key, fields, 1)
            meant = f"did you mean {f'{where}.{nearest[0]}'.lstrip('.')}? " if nearest else ""
            raise ConfigError(f"{name}: unknown setting; {meant}known: {', '.join(fields)}")
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
