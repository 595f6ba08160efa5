"""`python -m export qat WEIGHTS --out MODEL.onnx`: quantization-aware training (QAT), where quantizing alone loses too much accuracy.

    python -m export qat own.pt --out own-qat.onnx --rec train.rec --minutes 20 ...
    python -m export quantize own-qat.onnx --out own-int8.onnx ...
    python -m export verify own-int8.onnx --reference own.onnx ...

Batch norm is folded, `torchao.quantization.pt2e` puts fake quantization into the graph (int8 weights per channel, uint8 activations, as `quantize` writes
them), and the net is trained to give the float model's embeddings despite it, on aligned crops and their mirror images. The result is a float32 model whose
weights tolerate rounding; `quantize` and `verify` measure the gain.
"""

from __future__ import annotations

import argparse
import copy
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import fx

from device.contract import CROP_SIZE, ClockfaceError
from export import artefact, build, crops
from export.log_filter import errors_only
from training import arguments
from training.backbones.folding import folded
from training.checkpoint import load_embedder
from training.model import EmbedderNet

RATE = 1e-4  # peak learning rate of Adam; it falls to 0
BATCH = 32
SETTLED = 0.8  # share of the run after which the ranges are frozen


class QatError(ClockfaceError):
    """Quantization-aware training is not possible."""

    code = "qat"


def train(trained: EmbedderNet, faces: NDArray[np.uint8], seconds: float, steps: int = 0, rate: float = RATE, seed: int = 0) -> fx.GraphModule:
    """The folded backbone with weights trained for int8.

    Args:
        trained: the float model, which is also the teacher.
        faces: (N, 112, 112, 3) uint8 RGB, N >= BATCH.
        seconds: duration of the training.
        steps: exact number of steps, regardless of time; 0: train for `seconds`.

    Raises:
        QatError: there are too few crops, or the loss is not finite.
    """
    if len(faces) < BATCH:
        raise QatError(f"{len(faces)} crops, at least {BATCH} are needed", code="qat.too_few")
    torch.manual_seed(seed)
    net = folded(trained.backbone.eval())
    fake = prepared(net)
    weights = [parameter for parameter in fake.parameters() if parameter.requires_grad]
    optimiser = torch.optim.Adam(weights, rate)
    begin, progress = time.monotonic(), 0.0
    for step, pixels in enumerate(_batches(trained, faces, seed), 1):
        with torch.no_grad():
            wanted = F.normalize(net(pixels))
        loss = (1 - (F.normalize(fake(pixels)) * wanted).sum(1)).mean()
        if not torch.isfinite(loss):
            raise QatError(f"the loss is {float(loss)} at step {step}; use a --rate below {rate:g}")
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for group in optimiser.param_groups:
            group["lr"] = rate * (1 - progress)
        optimiser.step()
        progress = step / steps if steps else (time.monotonic() - begin) / seconds
        if progress >= SETTLED:
            _freeze_ranges(fake)
        if progress >= 1:
            break
    return with_weights(net, fake)


def prepared(net: fx.GraphModule) -> Any:
    """The net with fake quantization, which learns its ranges from the activations; weights and names stay those of the net."""
    with errors_only(), warnings.catch_warnings():  # torch and torchao report unused kernels and deprecated functions
        warnings.simplefilter("ignore")
        from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e
        from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

        quantizer = x86.X86InductorQuantizer().set_global(x86.get_default_x86_inductor_quantization_config(is_qat=True))
        example = torch.zeros(BATCH, 3, CROP_SIZE, CROP_SIZE)
        return prepare_qat_pt2e(torch.export.export(copy.deepcopy(net), (example,)).module(), quantizer)


def with_weights(net: fx.GraphModule, fake: Any) -> fx.GraphModule:
    """The float net with the weights learned under fake quantization."""
    learned = fake.state_dict()
    state = {name: learned[name].detach() for name in net.state_dict()}
    tuned = copy.deepcopy(net)
    tuned.load_state_dict(state)
    return tuned


def _freeze_ranges(fake: Any) -> None:
    from torchao.quantization.pt2e import disable_observer

    fake.apply(disable_observer)


def _batches(trained: EmbedderNet, faces: NDArray[np.uint8], seed: int) -> Iterator[torch.Tensor]:
    """(BATCH, 3, 112, 112) float, endlessly: shuffled anew in each pass, each crop mirrored with probability 1/2."""
    random = np.random.default_rng(seed)
    while True:
        order = random.permutation(len(faces))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            chosen = faces[order[start : start + BATCH]]
            mirrored = np.where(random.random(BATCH)[:, None, None, None] < 0.5, chosen[:, :, ::-1], chosen)
            yield trained.pixels(torch.from_numpy(mirrored)).contiguous()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("weights", type=Path, help=".pt file: a checkpoint or exported weights")
    parser.add_argument("--out", type=arguments.file, required=True, help="float32 .onnx file to write")
    parser.add_argument("--name", default="", help="name of the model (default: that of the weights)")
    parser.add_argument("--licence", required=True)
    parser.add_argument("--training-data", required=True)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--steps", type=int, default=0, help="exact number of steps, instead of --minutes")
    parser.add_argument("--rate", type=float, default=RATE)
    crops.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    if args.minutes <= 0 or args.steps < 0 or args.rate <= 0:
        raise QatError("--minutes, --steps and --rate: expected more than 0")
    trained, _ = load_embedder(args.weights)
    faces = np.concatenate([chosen.crops for chosen in crops.from_arguments(args)])
    tuned = train(trained, faces, 60 * args.minutes, args.steps, args.rate)
    model = build.graph(tuned, trained.normalisation)
    training_data = f"{args.training_data}; trained on for int8 on {len(faces)} crops"
    artefact.set_card(model, artefact.first_card(model, args.name or args.weights.stem, "float32", training_data, args.licence, build.commit_of(args.weights)))
    artefact.write(model, args.out, build.check_file)
    print(f"{args.out}: weights trained for int8; next: python -m export quantize {args.out}, then verify against the float model of {args.weights}")
    return 0
