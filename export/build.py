"""`python -m export build`: trained weights -> one float32 .onnx file that meets the contract.

Batch norm is folded into the layers before it. Then the same steps as for an adopted model are added around the net: uint8 NHWC in, pixels scaled
inside, unit vectors out. Nothing is written unless onnxruntime and OpenCV give the same embeddings as torch, and the file has the requested opset.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from device.contract import CROP_SIZE, ClockfaceError
from device.vision.embedder import Embedder
from export import artefact
from export.adopt import adopt, in_one_run, smooth_crops
from export.preprocessing import Preprocessing
from training import arguments
from training.backbones import Normalisation
from training.backbones.folding import folded
from training.checkpoint import load, load_embedder
from training.model import EmbedderNet

OPSET = 13  # the lowest in which DequantizeLinear works per channel: the int8 file is made from this one
IR_VERSION = 8  # onnxruntime 1.16 reads up to 9, OpenCV 4.10 up to 8
PARITY = 0.99999  # lowest cosine to torch
BATCHES = (1, 3, 32)


class BuildError(ClockfaceError):
    """No trustworthy model file can be built from the weights."""

    code = "build"


def build(trained: EmbedderNet) -> onnx.ModelProto:
    """The embedder as a graph under the contract, without its card."""
    return graph(folded(trained.backbone.eval()), trained.normalisation)


def graph(net: nn.Module, normalisation: Normalisation) -> onnx.ModelProto:
    """A backbone in evaluation mode, (N, 3, 112, 112) float -> (N, D), as a graph under the contract."""
    model, _ = adopt(_traced(net), Preprocessing("RGB", normalisation.mean, normalisation.std))
    model.ir_version = IR_VERSION
    return model


def _traced(net: nn.Module) -> onnx.ModelProto:
    """Float (N, 3, 112, 112) -> (N, D). The newer exporter of torch 2.13 always writes opset 18; the older one writes the requested opset."""
    pixels = torch.zeros(2, 3, CROP_SIZE, CROP_SIZE)
    names: dict[str, Any] = {"input_names": ["pixels"], "output_names": ["raw"], "dynamic_axes": {"pixels": {0: "N"}, "raw": {0: "N"}}}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the older exporter warns that it is deprecated
        path = Path(folder) / "net.onnx"
        torch.onnx.export(net, (pixels,), str(path), dynamo=False, opset_version=OPSET, **names)
        return onnx.load(path)


def check(part: Path, trained: EmbedderNet) -> float:
    """The lowest cosine between the written file and torch, over all batches.

    Raises:
        BuildError: the opset is wrong, weights lie outside the file, or the embeddings differ in onnxruntime or OpenCV.
    """
    check_file(part)
    lowest = 1.0
    for batch in BATCHES:
        crops = smooth_crops(batch)
        with torch.inference_mode():
            expected = trained.unit(torch.from_numpy(crops)).numpy()
        for reader, got in (("onnxruntime", in_one_run(part, crops)), ("OpenCV", by_opencv(part, crops))):
            cosine = float(np.sum(got * expected, axis=1).min())
            if not cosine >= PARITY:
                raise BuildError(
                    f"{reader} gives other embeddings than torch at batch {batch} (cosine {cosine:.6f}, at least {PARITY} needed)", code="build.other"
                )
            lowest = min(lowest, cosine)
    return lowest


def check_file(part: Path) -> None:
    """Check that the file meets the contract and has the requested versions.

    Raises:
        BuildError: the opset or IR version is wrong, or weights lie outside the file.
        ContractError: the inputs or outputs are not those of the contract.
    """
    model = artefact.read(part)
    if artefact.opset(model) != OPSET or model.ir_version != IR_VERSION:
        raise BuildError(f"expected opset {OPSET}, IR {IR_VERSION}; the file has opset {artefact.opset(model)}, IR {model.ir_version}")
    if any(tensor.external_data for tensor in model.graph.initializer):
        raise BuildError("weights are stored outside the file; a model must be one file")
    Embedder(part, "cpu")


def by_opencv(path: Path, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, 112, 112, 3) uint8 RGB -> (N, D) float32 by OpenCV's own ONNX reader."""
    net = cv2.dnn.readNetFromONNX(str(path))
    net.setInput(crops)
    return np.asarray(net.forward(), np.float32)


def commit_of(path: Path) -> str:
    """The commit that last changed a file, or "unknown" outside git."""
    command = ["git", "-C", str(path.resolve().parent), "log", "-1", "--format=%H", "--", path.name]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=20).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        found = ""
    return found or "unknown"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("weights", type=Path, help=".pt file: a checkpoint or exported weights")
    parser.add_argument("--out", type=arguments.file, required=True, help=".onnx file to write")
    parser.add_argument("--name", default="", help="name of the model (default: that of the weights)")
    parser.add_argument("--licence", required=True)
    parser.add_argument("--training-data", required=True, help="what the weights were trained on, for the card")


def run(args: argparse.Namespace) -> int:
    trained, recipe = load_embedder(args.weights)
    model = build(trained)
    training_data = f"{args.training_data}; recipe {recipe.name!r}, {load(args.weights).get('images', 0):,} images seen in the last run"
    name = args.name or args.weights.stem
    artefact.set_card(model, artefact.first_card(model, name, "float32", training_data, args.licence, commit_of(args.weights)))
    lowest = 1.0

    def check_part(part: Path) -> None:
        nonlocal lowest
        lowest = check(part, trained)

    artefact.write(model, args.out, check_part)
    artefact.add_agreement(args.out, args.weights.name, lowest)
    kinds = {node.op_type for node in model.graph.node}
    folded = "batch norm folded" if "BatchNormalization" not in kinds else "batch norm before a convolution is kept"
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.2f} MB, opset {OPSET}, {folded}")
    print(f"lowest cosine to torch {lowest:.7f} at batch {BATCHES}, in onnxruntime and OpenCV")
    return 0
