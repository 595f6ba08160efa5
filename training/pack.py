"""Pack what a recipe trains on into one small folder, for training on another machine: crops, teacher embeddings, validation crops, initial weights.

    python -m training pack everyday-gpu --init donor --out runs/pack
    CLOCKFACE_PACK=runs/pack python -m training train runs/pack/recipe.toml --init runs/pack/init.pt --out runs/gpu --budget-minutes 25

The images are copied as they are encoded. The folder can be read by its owner only, because it has faces and embeddings.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.contract import ClockfaceError
from training import arguments, config, data, donor, join, teacher
from training.config import Recipe, SourceSettings
from training.recordio import Record, write_records

PLACE = "$CLOCKFACE_PACK"
HEAD = "# Written by `python -m training pack`. First: `export CLOCKFACE_PACK=FOLDER`, the folder that holds this file.\n\n"


class PackError(ClockfaceError):
    """A recipe cannot be packed."""

    code = "pack"


@dataclasses.dataclass(frozen=True)
class PackedSource:
    """What is written of one source."""

    settings: SourceSettings  # of the packed recipe
    records: list[Record]
    embeddings: dict[str, NDArray[Any]]  # as in `teacher.load`; empty without a teacher

    @property
    def size(self) -> int:
        """Bytes, nearly."""
        return sum(len(record.payload) + 48 for record in self.records) + sum(array.nbytes for array in self.embeddings.values())


def packed(recipe: Recipe, crops: int) -> list[PackedSource]:
    """The sources with `crops` of their crops, drawn at random; 0: with all.

    Raises:
        PackError: a source is no `.rec` file, or has too few crops.
    """
    readers = [data.plain_reader(source) for source in recipe.data.sources]
    counts = [len(reader.names) for reader in readers]
    if crops > sum(counts):
        raise PackError(f"--crops {crops}: recipe {recipe.name} has {sum(counts)} crops; give a smaller number")
    chosen = np.random.default_rng((recipe.run.seed, 6)).permutation(sum(counts))[: crops or None]
    parts = [np.sort(chosen[(chosen >= end - count) & (chosen < end)]) - (end - count) for count, end in zip(counts, np.cumsum(counts), strict=True)]
    return [_packed_source(*item) for item in zip(range(1, len(parts) + 1), recipe.data.sources, readers, parts, strict=True)]


def _packed_source(number: int, source: SourceSettings, reader: data.CropReader, rows: NDArray[np.int64]) -> PackedSource:
    if not isinstance(reader, data.RecordReader):
        raise PackError(f"{source.path}: only sources of kind recordio can be packed; write a .rec file first")
    embeddings = {}
    if source.teacher:
        every = join.complete(Path(config.expanded(source.teacher)), data.reader(source))
        embeddings = join.quantized(every[rows].astype(np.float64))
    name = f"{PLACE}/{number}"
    settings = dataclasses.replace(source, path=f"{name}.rec", rows="", teacher=f"{name}.npz" if source.teacher else "")
    return PackedSource(settings, [reader.record(int(row)) for row in rows], embeddings)


def write(out: Path, recipe: Recipe, sources: list[PackedSource], files: dict[str, Path]) -> None:
    """Write the folder, mode 700, its files mode 600; `files` are copied, by their new name."""
    out.mkdir(parents=True, mode=0o700)
    for source in sources:
        path = out / Path(source.settings.path).name
        end = float(len(source.records) + 1)
        write_records(path, [(0, Record((end, end), b"")), *enumerate(source.records, 1)])
        if source.embeddings:
            teacher.write(path.with_suffix(".npz"), **source.embeddings)
    for name, file in files.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(file.read_bytes())
    settings = dataclasses.replace(recipe.data, sources=tuple(s.settings for s in sources), validation=f"{PLACE}/validation" if recipe.data.validation else "")
    (out / "recipe.toml").write_text(HEAD + toml(dataclasses.asdict(dataclasses.replace(recipe, data=settings))), encoding="utf-8")
    for file in out.rglob("*"):
        file.chmod(0o700 if file.is_dir() else 0o600)


def toml(table: dict[str, Any]) -> str:
    """A recipe as TOML, one line per setting of a section."""
    lines = [f"{key} = {_value(value)}" for key, value in table.items() if not isinstance(value, dict)]
    for section, settings in table.items():
        if isinstance(settings, dict):
            lines += [f"\n[{section}]", *(f"{key} = {_value(value)}" for key, value in settings.items())]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", help="a name in training/configs or the path of a .toml file")
    parser.add_argument("--out", type=Path, required=True, help="folder to write; it must not exist")
    parser.add_argument("--max-mb", type=arguments.number(0), default=60.0, help="largest size of the folder in MB, millions of bytes (default 60)")
    parser.add_argument("--crops", type=int, default=0, help="number of crops, drawn at random (default: all)")
    parser.add_argument("--init", help="weights to start from, which are packed too: a file, or the name of a donor (training/donors.toml)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a TOML line that overrides the recipe")


def run(args: argparse.Namespace) -> int:
    if args.out.exists():
        raise PackError(f"{args.out} exists; delete it, or choose another --out")
    recipe = config.load(args.recipe, tuple(args.set))
    sources, files = packed(recipe, args.crops), files_of(recipe, args.init)
    crops = sum(len(source.records) for source in sources)
    of_crops, of_files = sum(source.size for source in sources), sum(file.stat().st_size for file in files.values())
    if of_crops + of_files > 1e6 * args.max_mb:
        fitting = max(0, int(crops * (1e6 * args.max_mb - of_files) / of_crops))
        size = f"{(of_crops + of_files) / 1e6:.1f} MB for {crops} crops"
        raise PackError(f"{size}, more than --max-mb {args.max_mb:g}; about {fitting} crops fit: --crops {fitting // 1000 * 1000}")
    write(args.out, recipe, sources, files)
    print(f"{args.out}: {crops} crops, {sum(file.stat().st_size for file in args.out.rglob('*') if file.is_file()) / 1e6:.1f} MB")
    return 0


def files_of(recipe: Recipe, initial: str | None) -> dict[str, Path]:
    """Files that are copied, by their name in the folder: validation crops, initial weights."""
    files = {"init.pt": donor.resolve(initial)} if initial else {}
    if recipe.data.validation:
        folder = Path(config.expanded(recipe.data.validation))
        files |= {f"validation/{file.relative_to(folder)}": file for file in sorted(folder.glob("*/*")) if file.suffix in data.IMAGE_SUFFIXES}
    return files
