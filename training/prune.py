"""Prune trained weights to a smaller backbone: the most important channels of each layer are kept and then trained further.

    python -m training prune models/clockface-edge.pt edge-slim runs/slim.pt
    python -m training train default --init runs/slim.pt --set "backbone.name='edge-slim'" --out runs/slim
    python -m training prune donor mobilefacenet-short runs/short.pt --rec faces/fairface.rec

A MobileFaceNet is pruned on crops (`training/channel_pruning.py`), an edge backbone by its weights: the importance of a channel is the sum of squares of the
weights that read it, times the squared scale of its batch norm if it has one of its own. Source: H. Li et al., "Pruning Filters for Efficient ConvNets", ICLR
2017, https://arxiv.org/abs/1608.08710.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from device.contract import ClockfaceError
from training import arguments, backbones, channel_pruning, checkpoint, donor
from training.backbones.edge import EdgeNet, Residual
from training.backbones.mobilefacenet import MobileFaceNet
from training.data import RecordReader
from training.model import EmbedderNet


@torch.no_grad()
def prune(source: EdgeNet, target: EdgeNet) -> None:
    """Copy the most important channels of `source` into `target`, which has the same layers.

    Raises:
        ClockfaceError: the layers differ, or the target is wider than the source.
    """
    shapes = zip(source.state_dict().values(), target.state_dict().values(), strict=False)
    if list(source.state_dict()) != list(target.state_dict()) or any(a < b for old, new in shapes for a, b in zip(old.shape, new.shape, strict=True)):
        raise ClockfaceError("the smaller backbone must have the same layers, none of them wider; for example, prune `edge` to `edge-slim`")
    layers: list[Any] = list(source.trunk)
    narrow: list[Any] = list(target.trunk)
    kept = torch.arange(3)  # channels of the crop, then of the stage being copied
    for number, (old, new) in enumerate(zip(layers, narrow, strict=True)):
        if isinstance(old, Residual):
            up, down = convolutions(old)
            hidden = strongest(reads(down[0]) * up[1].weight ** 2, new.body[0][0].out_channels)
            copy(up, new.body[0], hidden, kept)
            copy(down, new.body[1], kept, hidden)
        else:
            grouped = old[0].groups > 1  # the global depthwise layer: channel by channel
            outputs = kept if grouped else strongest(importance(layers, number), new[0].out_channels)
            copy(old, new, outputs, torch.arange(1) if grouped else kept)
            kept = outputs
    target.embedding.weight.copy_(source.embedding.weight[:, kept])
    target.norm.load_state_dict(source.norm.state_dict())


def convolutions(block: Residual) -> list[Any]:
    return list(block.body)


def importance(layers: list[Any], number: int) -> torch.Tensor:
    """(C,) importance of the output channels of layer `number`, by the weights of the blocks of its stage and of the layer after them."""
    found = torch.zeros(layers[number][0].out_channels)
    for layer in layers[number + 1 :]:
        found = found + reads(convolutions(layer)[0][0] if isinstance(layer, Residual) else layer[0])
        if not isinstance(layer, Residual):
            return found
    return found


def reads(convolution: nn.Conv2d) -> torch.Tensor:
    """(C,) sum of squares of the weights on each input channel."""
    dims = (1, 2, 3) if convolution.groups > 1 else (0, 2, 3)
    return (convolution.weight**2).sum(dims)


def strongest(values: torch.Tensor, count: int) -> torch.Tensor:
    """The indices of the `count` largest values, ascending."""
    return values.topk(count).indices.sort().values


def copy(old: Any, new: Any, outputs: torch.Tensor, inputs: torch.Tensor) -> None:
    """Copy the given channels of a convolution and its batch norm."""
    new[0].weight.copy_(old[0].weight[outputs][:, inputs])
    for name, value in new[1].state_dict().items():
        stored = old[1].state_dict()[name]
        value.copy_(stored[outputs] if stored.ndim else stored)


def prune_embedder(source: EmbedderNet, target: EmbedderNet, rec: Path | None, crops: int) -> None:
    """Prune the backbone by the method for its kind.

    Raises:
        ClockfaceError: there is none for these two backbones, or the file of crops is missing.
    """
    old, new = source.backbone, target.backbone
    if isinstance(old, EdgeNet) and isinstance(new, EdgeNet):
        prune(old, new)
    elif isinstance(old, MobileFaceNet) and isinstance(new, MobileFaceNet):
        if rec is None:
            raise ClockfaceError("a MobileFaceNet is pruned on crops; give a RecordIO file of them with --rec")
        channel_pruning.prune(old, new, source.pixels(drawn(rec, crops)))
    else:
        raise ClockfaceError("only edge backbones and MobileFaceNets with batch norm can be pruned, and only to a backbone of the same kind")


def drawn(rec: Path, count: int) -> torch.Tensor:
    """(count, 112, 112, 3) uint8 RGB, drawn from a RecordIO file; the same ones each time."""
    reader = RecordReader(rec)
    chosen = np.random.default_rng(0).permutation(len(reader.names))[:count]
    return torch.from_numpy(np.stack([reader.crop(int(number)) for number in chosen]))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("weights", help="a checkpoint or weights file, or the name of a donor")
    parser.add_argument("backbone", choices=sorted(backbones.BACKBONES), help="the smaller backbone")
    parser.add_argument("out", type=Path, help="weights file to write, for `train --init`")
    parser.add_argument("--rec", type=Path, help="RecordIO file of the crops on which a MobileFaceNet is pruned")
    parser.add_argument("--crops", type=arguments.count, default=256, help="number of crops taken from --rec")


def run(args: argparse.Namespace) -> int:
    weights = donor.resolve(args.weights)
    embedder, recipe = checkpoint.load_embedder(weights)
    recipe = dataclasses.replace(recipe, backbone=dataclasses.replace(recipe.backbone, name=args.backbone))
    small = EmbedderNet(recipe.backbone).eval()
    prune_embedder(embedder, small, args.rec, args.crops)
    state = checkpoint.load(weights)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save(args.out, {"embedder": small.state_dict(), "step": state["step"], "images": state["images"]}, recipe)
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB")
    return 0
