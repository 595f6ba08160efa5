"""Backbones: normalised crops (N, 3, 112, 112) float -> embeddings (N, D) float, of any length."""

from __future__ import annotations

from collections.abc import Callable

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
    "iresnet18": iresnet.iresnet18,
    "iresnet50": iresnet.iresnet50,
}


def build(name: str, embedding_size: int) -> nn.Module:
    """Build a backbone by name.

    Raises:
        ClockfaceError: no backbone of this name.
    """
    if name not in BACKBONES:
        raise ClockfaceError(f"backbone {name!r}: unknown; choose one of {', '.join(BACKBONES)}")
    return BACKBONES[name](embedding_size)
