"""`python -m export adopt-liveness`: published MiniFASNets -> one .onnx file that judges whether a face is a living one.

The nets look at the same face with more and with less of its surroundings; the file takes both crops as uint8 RGB and gives the mean of their
probabilities. Nothing is written unless onnxruntime agrees with torch. Without `--threshold` the file can be observed, not enforced.

    python -m export adopt-liveness minifasnet-v2:2.7 minifasnet-v1se:4 --out models/liveness.onnx --threshold 0.5 --licence Apache-2.0 --training-data "..."
"""

from __future__ import annotations

import argparse
import pickle
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper
from torch import nn

from device.contract import CARD_SCHEMA, COLOUR_ORDER, LIVENESS_KEY, ClockfaceError, LivenessCard, LivenessCrop
from device.vision.liveness import OUTPUT, LivenessModel
from export import artefact, prelu
from export.build import IR_VERSION, OPSET
from export.channel_blocks import filled
from training import arguments, donor
from training.backbones.minifasnet import LIVE, SIZE, MiniFASNet, from_state

PARITY = 1e-4  # largest difference of a score from torch's
PICTURES, MIN_CONTEXT = 5, 1.2
WEIGHTS = "weights, a file or a name in training/donors.toml, and the scale of their crop, such as minifasnet-v2:2.7"


class AdoptLivenessError(ClockfaceError):
    """The weights do not become a trustworthy liveness model."""

    code = "adopt_liveness"


class Ensemble(nn.Module):
    """One crop for each net, (N, 80, 80, 3) uint8 RGB -> (N,) float32, the mean of their probabilities of a living face."""

    def __init__(self, nets: Sequence[MiniFASNet]) -> None:
        super().__init__()
        self.nets = nn.ModuleList(nets)

    @property
    def members(self) -> list[MiniFASNet]:
        return [net for net in self.nets if isinstance(net, MiniFASNet)]

    def forward(self, *crops: torch.Tensor) -> torch.Tensor:
        found = [torch.softmax(net(bgr(crop)), 1)[:, LIVE] for net, crop in zip(self.nets, crops, strict=True)]
        return torch.stack(found).mean(0)


def bgr(crop: torch.Tensor) -> torch.Tensor:
    """(N, 80, 80, 3) uint8 RGB -> (N, 3, 80, 80) float BGR, 0..255."""
    return crop.float().permute(0, 3, 1, 2).flip(1)


def build(ensemble: Ensemble) -> onnx.ModelProto:
    """The graph, without its card; hidden channels in whole blocks and PReLU spelled out, so that it is fast."""
    ensemble = Ensemble([filled(net) for net in ensemble.members]).eval()
    inputs = [f"crop_{number}" for number in range(len(ensemble.nets))]
    crops = tuple(torch.zeros(2, SIZE, SIZE, 3, dtype=torch.uint8) for _ in inputs)
    axes = {name: {0: "N"} for name in (*inputs, OUTPUT)}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the older exporter warns that it is deprecated; the newer one writes another opset
        path = Path(folder) / "net.onnx"
        torch.onnx.export(ensemble, crops, str(path), dynamo=False, opset_version=OPSET, input_names=inputs, output_names=[OUTPUT], dynamic_axes=axes)
        model = onnx.load(path)
    prelu.spell_out(model.graph)
    model.ir_version = IR_VERSION
    return model


def set_card(model: onnx.ModelProto, card: LivenessCard) -> None:
    helper.set_model_props(model, {LIVENESS_KEY: card.to_json()})


def check_parity(part: Path, ensemble: Ensemble, seed: int = 0) -> float:
    """The largest difference between the written file and torch on random crops.

    Raises:
        AdoptLivenessError: it is larger than PARITY.
    """
    session, largest = LivenessModel(part)._session, 0.0
    for batch in (1, 3, 8):
        crops = smooth(batch, len(ensemble.nets), seed)
        with torch.inference_mode():
            expected = ensemble(*(torch.from_numpy(crop) for crop in crops)).numpy()
        got = session.run([OUTPUT], {f"crop_{number}": crop for number, crop in enumerate(crops)})[0]
        largest = max(largest, float(np.abs(got - expected).max()))
    if not largest <= PARITY:
        raise AdoptLivenessError(f"the file gives other scores than torch (difference {largest:.6f}, at most {PARITY} allowed)")
    return largest


def smooth(batch: int, crops: int, seed: int) -> list[NDArray[np.uint8]]:
    """Random crops with the contrast of photos."""
    coarse = np.random.default_rng(seed + batch).uniform(0, 255, (crops, batch, SIZE // 10, SIZE // 10, 3))
    return [np.asarray(np.repeat(np.repeat(part, 10, 1), 10, 2).round(), np.uint8) for part in coarse]


def weights_and_scale(given: str) -> tuple[str, float]:
    """`NAME:SCALE` as on the command line.

    Raises:
        AdoptLivenessError: it has another form.
    """
    name, _, scale = given.rpartition(":")
    if not name or not scale.replace(".", "", 1).isdecimal():
        raise AdoptLivenessError(f"{given:.80}: expected WEIGHTS:SCALE, weights and the scale of their crop, such as minifasnet-v2:2.7")
    return name, float(scale)


def read_weights(name: str) -> MiniFASNet:
    """The net of a file, or of published weights by name.

    Raises:
        ModelError: the published weights are neither here nor to be had.
        AdoptLivenessError: there is no such file, or it holds no weights.
        ClockfaceError: the weights belong to no net that is known here.
    """
    path = donor.resolve(name)
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise AdoptLivenessError(f"{path} cannot be read as weights ({str(error).splitlines()[0]:.200}); give a state_dict as published") from error
    try:
        return from_state(state)
    except ClockfaceError as error:
        raise AdoptLivenessError(f"{path}: {error}") from error


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("weights", nargs="+", metavar="WEIGHTS:SCALE", help=WEIGHTS)
    parser.add_argument("--out", type=arguments.file, required=True)
    parser.add_argument("--name", default="liveness")
    parser.add_argument("--licence", required=True)
    parser.add_argument("--training-data", required=True)
    parser.add_argument("--threshold", type=arguments.number(0, 1), help="score above which a face is taken for a living one, as `liveness-trial` found it")
    parser.add_argument("--pictures", type=arguments.count, default=PICTURES)
    parser.add_argument("--min-context", type=float, default=MIN_CONTEXT)


def run(args: argparse.Namespace) -> int:
    pairs = [weights_and_scale(given) for given in args.weights]
    ensemble = Ensemble([read_weights(name) for name, _ in pairs]).eval()
    model = build(ensemble)
    crops = tuple(LivenessCrop(f"crop_{number}", scale, SIZE) for number, (_, scale) in enumerate(pairs))
    fixed: dict[str, Any] = {"schema": CARD_SCHEMA, "colour_order": COLOUR_ORDER, "precision": "float32", "measured": ()}
    about = {"training_data": args.training_data, "licence": args.licence, "name": args.name}
    judging = {"min_context": args.min_context, "pictures": args.pictures, "threshold": args.threshold}
    card = LivenessCard(model_id=artefact.model_id(model), crops=crops, **fixed, **about, **judging)
    set_card(model, card)
    largest = 0.0

    def check(part: Path) -> None:
        nonlocal largest
        largest = check_parity(part, ensemble)

    artefact.write(model, args.out, check)
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.2f} MB, agrees with the published weights (largest difference {largest:.1e})")
    return 0
