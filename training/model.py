"""The trained net: uint8 crops -> embeddings. Pixels are normalised here and nowhere else, as the backbone requires."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from training import backbones
from training.backbones.folding import folded
from training.config import BackboneSettings


class EmbedderNet(nn.Module):
    """A backbone of a recipe with the normalisation of its input.

    Shape:
        crops: (N, 112, 112, 3) uint8 RGB. Returns (N, D) float, of any length; `unit` gives unit length as the contract requires.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, settings: BackboneSettings) -> None:
        super().__init__()
        backbone = backbones.build(settings.name, settings.embedding_size)
        self.backbone: nn.Module = folded(backbone.eval()).train() if settings.folded else backbone
        self.embedding_size = settings.embedding_size
        self.normalisation = backbones.normalisation(settings.name)
        self.register_buffer("mean", torch.tensor(self.normalisation.mean), persistent=False)  # (3,)
        self.register_buffer("std", torch.tensor(self.normalisation.std), persistent=False)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # the layout of crops; faster on CPUs

    def pixels(self, crops: torch.Tensor) -> torch.Tensor:
        """(N, 112, 112, 3) uint8 RGB -> (N, 3, 112, 112) float, normalised; channels last in memory, like the crops."""
        return ((crops.float() - self.mean) / self.std).permute(0, 3, 1, 2)

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.backbone(self.pixels(crops))  # (N, D)
        return out

    def unit(self, crops: torch.Tensor) -> torch.Tensor:
        """(N, 112, 112, 3) uint8 RGB -> (N, D) float32, unit length: the graph that is exported."""
        return F.normalize(self(crops).float())
