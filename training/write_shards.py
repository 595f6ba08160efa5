"""Write crops into shards for object storage, or the index of shards that are there already.

    python -m training shards write everyday s3://bucket/faces [--crops 4096]      the sources of a recipe, as faces-000000.tar and faces-000000.tsv ...
    python -m training shards index "s3://bucket/others-{000..127}.tar"
"""

from __future__ import annotations

import argparse
import io
import tarfile
from pathlib import Path

import cv2
import fsspec
import numpy as np

from training import arguments, config, shards
from training.data import CropReader, Crops, FolderReader, RecordReader
from training.shards import ShardEntry, ShardError

SUFFIXES = {b"\xff\xd8": "jpg", b"\x89P": "png", b"RI": "webp", b"BM": "bmp"}  # first two bytes of an image


def encoded(reader: CropReader, position: int) -> bytes:
    """The encoded image as it is in the source; where the source makes crops, as PNG."""
    if isinstance(reader, RecordReader):
        return reader.record(position).payload
    if isinstance(reader, FolderReader):
        return reader.encoded(position)
    return cv2.imencode(".png", reader.crop(position)[:, :, ::-1])[1].tobytes()


def tar_of(images: list[tuple[str, bytes, int]]) -> tuple[bytes, list[ShardEntry]]:
    """A shard of (key, encoded image, label), the same bytes each time, and its index."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for key, image, label in images:
            for suffix, data in ((SUFFIXES.get(image[:2], "jpg"), image), ("cls", str(label).encode())):
                member = tarfile.TarInfo(f"{key}.{suffix}")
                member.size, member.mode = len(data), 0o600
                tar.addfile(member, io.BytesIO(data))
    data = buffer.getvalue()
    return data, list(shards.scan(".tar", data))


def write(crops: Crops, target: str, each: int, seed: int) -> int:
    """Write all crops that can be read in random order, `each` per shard; returns the number of shards.

    The order matters: in training, crops of a few shards only are shuffled with each other.
    """
    order = np.random.default_rng((seed, 8)).permutation(len(crops))
    parts = [order[i : i + each] for i in range(0, len(order), each)]
    for number, part in enumerate(parts):
        usable = [int(i) for i in part if crops.crop(int(i)) is not None]
        data, entries = tar_of([(f"{i:09d}", encoded(*crops.place(i)), int(crops.labels[i])) for i in usable])
        name = f"{target}-{number:06d}"
        _put(f"{name}.tar", data)
        _put(f"{name}.tsv", shards.as_table(entries).encode())
    return len(parts)


def _put(url: str, data: bytes) -> None:
    """Write a file; on this machine readable by its owner only, because it has faces."""
    try:
        fs, inside = fsspec.core.url_to_fs(url)
        fs.makedirs(fs._parent(inside), exist_ok=True)
        fs.pipe_file(inside, data)
    except (OSError, ImportError, ValueError, NotImplementedError) as error:
        raise ShardError(f"{url} cannot be written ({error}); check address and access") from error
    if "file" in fs.protocol:
        Path(inside).chmod(0o600)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True)
    writes = actions.add_parser("write", help="write the sources of a recipe into shards")
    writes.add_argument("recipe", help="a name in training/configs or the path of a .toml file")
    writes.add_argument("target", help="start of the shards' names: a path, or an address such as s3://bucket/faces")
    writes.add_argument("--crops", type=arguments.count, default=4096, help="per shard (default 4096)")
    writes.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a TOML line that overrides the recipe")
    index = actions.add_parser("index", help="write the index beside shards that have none")
    index.add_argument("shards", help="path or address, with * or {000..127}")


def run(args: argparse.Namespace) -> int:
    if args.action == "index":
        for url in shards.names(args.shards):
            entries = list(shards.scan(url, shards.fetch(url)))
            _put(shards.index_name(url), shards.as_table(entries).encode())
            print(f"{shards.index_name(url)}: {len(entries)} crops of {len({one.label for one in entries})} identities")
        return 0
    recipe = config.load(args.recipe, tuple(args.set))
    crops = Crops(recipe.data)
    count = write(crops, args.target, args.crops, recipe.run.seed)
    last = f"{count - 1:06d}"
    print(f"{len(crops) - crops.corruption.count} crops, in a recipe: [[data.sources]] kind = \"shards\", path = \"{args.target}-{{000000..{last}}}.tar\"")
    return 0
