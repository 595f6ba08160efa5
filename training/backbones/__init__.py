"""Backbones: normalised crops (N, 3, 112, 112) float -> embeddings (N, D) float, of any length; and the normalisation that each requires."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import nn

from device.contract import ClockfaceError
from training.backbones import edge, iresnet, mobilefacenet

BACKBONES: dict[str, Callable[[int], nn.Module]] = {  # name -> build(embedding_size)
    "edge": edge.fused,
    "edge-slim": edge.slim,
    "edge-basic": edge.basic,
    "edge-inverted": edge.inverted,
    "edge-hybrid": edge.hybrid,
    "mobilefacenet": mobilefacenet.MobileFaceNet,
    "mobilefacenet-relu6": mobilefacenet.relu6,
    **{f"mobilefacenet-{name}": partial(mobilefacenet.smaller, name=name) for name in mobilefacenet.SHAPES},
    **{name: partial(iresnet.IResNet, depths=depths) for name, depths in iresnet.DEPTHS.items()},
}


@dataclass(frozen=True)
class Normalisation:
    """(pixel - mean) / std per RGB channel, all three in units of 0..255. Training, export and QAT take these numbers from here only."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


SIGNED = Normalisation((127.5,) * 3, (128.0,) * 3)  # about -1..1
IMAGENET = Normalisation((0.485 * 255, 0.456 * 255, 0.406 * 255), (0.229 * 255, 0.224 * 255, 0.225 * 255))
# By name of the backbone, which every checkpoint has; SIGNED for the others.
NORMALISATIONS = {f"mobilefacenet-{name}": IMAGENET for name in ("relu6", *mobilefacenet.SHAPES)}


def normalisation(name: str) -> Normalisation:
    """The normalisation that a backbone requires."""
    return NORMALISATIONS.get(name, SIGNED)


def build(name: str, embedding_size: int) -> nn.Module:
    """Build a backbone by name.

    Raises:
        ClockfaceError: no backbone of this name.
    """
    if name not in BACKBONES:
        raise ClockfaceError(f"backbone {name!r} does not exist; choose one of {', '.join(BACKBONES)}")
    return BACKBONES[name](embedding_size)
