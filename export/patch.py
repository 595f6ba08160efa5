"""`python -m export patch ORIGINAL MODEL PATCH`: write a patch from one file to the other, without the weights they share.

A board has no onnx package, so it rebuilds an adopted model from the published file and this patch
(`device.vision.downloads.apply_patch`). Weights are found in the original by content and copied by offset.
"""

from __future__ import annotations

import argparse
import struct
import zlib
from pathlib import Path

import onnx

from device.contract import ClockfaceError
from device.vision.catalogue import sha256
from device.vision.downloads import COPY, INSERT, PATCH_MAGIC, apply_patch
from export import artefact
from training import arguments

SMALLEST_COPY = 64  # bytes; shorter runs are inserted


class PatchError(ClockfaceError):
    """A patch does not rebuild the model it was made from."""

    code = "patch"


def make_patch(base: bytes, target: bytes) -> bytes:
    """A patch with `apply_patch(base, patch) == target`; both are ONNX files."""
    script, position = b"", 0
    weights = [tensor.raw_data for tensor in onnx.ModelProto.FromString(target).graph.initializer if len(tensor.raw_data) >= SMALLEST_COPY]
    for weight in weights:
        there, here = base.find(weight), target.find(weight, position)
        if there < 0 or here < 0:
            continue
        script += _insert(target[position:here]) + COPY + struct.pack("<QQ", there, len(weight))
        position = here + len(weight)
    return PATCH_MAGIC + zlib.compress(script + _insert(target[position:]), 9)


def _insert(data: bytes) -> bytes:
    return INSERT + struct.pack("<Q", len(data)) + data if data else b""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("original", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("patch", type=arguments.file)


def check(base: bytes, patch: bytes, target: bytes, model: Path) -> None:
    """Apply the patch as a board does.

    Raises:
        PatchError: the result is not the model.
    """
    if apply_patch(base, patch) != target:
        raise PatchError(f"the patch does not rebuild {model}; nothing was written. Publish the whole file instead, and report this fault")


def run(args: argparse.Namespace) -> int:
    for path in (args.original, args.model):
        artefact.read(path)  # raises where it is missing or no ONNX file
    base, target = args.original.read_bytes(), args.model.read_bytes()
    patch = make_patch(base, target)
    check(base, patch, target, args.model)
    args.patch.parent.mkdir(parents=True, exist_ok=True)
    args.patch.write_bytes(patch)
    print(f'{args.patch}: {len(patch)} bytes; for device/vision/models.toml: sha256 = "{sha256(args.model)}", size = {len(target)}')
    return 0
