"""The embedder: uint8 crops in, embeddings out; the one place where pixels are scaled."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from training import backbones
from training.config import BackboneSettings

PIXEL_MEAN, PIXEL_SCALE = 127.5, 128.0  # uint8 0..255 -> about -1..1; export writes them into the graph


class Embedder(nn.Module):
    """Crops -> embeddings, by a backbone of the recipe.

    Shape:
        crops: (N, 112, 112, 3) uint8 RGB. Returns (N, D) float, of any length; `unit` gives unit length as the contract asks.
    """

    def __init__(self, settings: BackboneSettings) -> None:
        super().__init__()
        self.backbone = backbones.build(settings.name, settings.embedding_size)
        self.embedding_size = settings.embedding_size
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # as crops come; faster on CPUs

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        pixels = (crops.float() - PIXEL_MEAN) / PIXEL_SCALE  # (N, 112, 112, 3)
        out: torch.Tensor = self.backbone(pixels.permute(0, 3, 1, 2))  # (N, 3, 112, 112), channels last in memory as they came
        return out

    def unit(self, crops: torch.Tensor) -> torch.Tensor:
        """(N, 112, 112, 3) uint8 RGB -> (N, D) float32, unit length: the graph that is exported."""
        return F.normalize(self(crops).float())
