"""Distillation: train a student to give the embeddings of a teacher.

The loss has four terms, each with a weight:
    cosine     1 - cosine between the student's and the teacher's embedding of a crop.
    relations  squared difference between the student's and the teacher's similarity matrix of a batch. Source: W. Park et al., "Relational Knowledge
               Distillation", CVPR 2019, https://arxiv.org/abs/1904.05068.
    bank       cross-entropy between two softmaxes over similarities to teacher embeddings of the training set: the student's, and the teacher's as the
               target. After G. Hinton et al., "Distilling the Knowledge in a Neural Network", 2015, https://arxiv.org/abs/1503.02531.
    instance   cross-entropy in which each teacher embedding is the fixed centre of a class of one crop.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from training.config import DistillSettings
from training.distributed import to_device


class DistillLoss(nn.Module):
    """Weighted sum of the terms.

    Args:
        settings: weights, temperature, margin.
        bank: (B, D) float32 unit rows, the teacher's embeddings of the training set; a zero row is a crop without a teacher.

    Shape:
        embeddings: (N, D) float, any length. index: (N,) int64, rows of the bank. Returns a scalar.
    """

    bank: torch.Tensor
    bank_half: torch.Tensor

    def __init__(self, settings: DistillSettings, bank: torch.Tensor) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("bank", bank, persistent=False)
        self.register_buffer("bank_half", bank.to(torch.bfloat16), persistent=False)  # precise enough for the large products

    def forward(self, embeddings: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        student, teacher = F.normalize(embeddings.float()), self.bank[index]  # (N, D)
        known = (teacher.norm(dim=1) > 0.5).float()
        share = known / known.sum().clamp(min=1)  # (N,) weights of a mean; a mask would make a GPU wait
        loss = student.new_zeros(())
        weights = self.settings
        if weights.cosine:
            loss = loss + weights.cosine * (share * (1 - (student * teacher).sum(1))).sum()
        if weights.relations:
            loss = loss + weights.relations * (share[:, None] * share * (student @ student.T - teacher @ teacher.T).square()).sum()
        if weights.bank:
            loss = loss + weights.bank * (share * self._bank_term(student, teacher)).sum()
        if weights.instance:
            loss = loss + weights.instance * (share * self._instance_term(student, index)).sum()
        return loss

    def _similarities(self, rows: torch.Tensor) -> torch.Tensor:
        return (rows.to(torch.bfloat16) @ self.bank_half.T).float()  # (N, B)

    def _bank_term(self, student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:  # (N,)
        heat = self.settings.temperature
        chosen = torch.randint(len(self.bank), (min(self.settings.bank_rows, len(self.bank)),))  # on the CPU: every device gets the same
        bank = self.bank_half[to_device(chosen, self.bank.device)]  # (R, D)
        with torch.no_grad():
            wanted = F.softmax((teacher.to(bank.dtype) @ bank.T).float() / heat, dim=1)  # (N, R)
        seen = F.log_softmax((student.to(bank.dtype) @ bank.T).float() / heat, dim=1)
        return -(wanted * seen).sum(1)

    def _instance_term(self, student: torch.Tensor, index: torch.Tensor) -> torch.Tensor:  # (N,)
        logits = self._similarities(student)
        own = F.one_hot(index, logits.shape[1])
        return F.cross_entropy((logits - self.settings.margin * own) / self.settings.temperature, index, reduction="none")
