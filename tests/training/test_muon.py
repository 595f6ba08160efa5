"""Muon against torch's own (which takes matrices only), AdamW, and the polar factor."""

from __future__ import annotations

import torch
from torch import nn

from training.muon import Muon, orthogonalised, suits


def run(optimiser: torch.optim.Optimizer, parameters: list[nn.Parameter], gradients: list[list[torch.Tensor]]) -> list[torch.Tensor]:
    for step in gradients:
        for parameter, gradient in zip(parameters, step, strict=True):
            parameter.grad = gradient.clone()
        optimiser.step()
    return [parameter.detach() for parameter in parameters]


def start(*shapes: tuple[int, ...]) -> tuple[list[nn.Parameter], list[nn.Parameter], list[list[torch.Tensor]]]:
    generator = torch.Generator().manual_seed(0)
    values = [torch.randn(shape, generator=generator) for shape in shapes]
    gradients = [[torch.randn(shape, generator=generator) for shape in shapes] for _ in range(5)]
    return [nn.Parameter(v.clone()) for v in values], [nn.Parameter(v.clone()) for v in values], gradients


def test_matrices_move_as_by_torch() -> None:
    ours, theirs, gradients = start((24, 40), (40, 24))
    theirs_moved = run(torch.optim.Muon(theirs, lr=0.01, weight_decay=0.05, momentum=0.95, adjust_lr_fn="match_rms_adamw"), theirs, gradients)
    for mine, other in zip(run(Muon([{"params": ours, "weight_decay": 0.05}], 0.01), ours, gradients), theirs_moved, strict=True):
        assert torch.allclose(mine, other, atol=2e-3)  # both iterate in bfloat16


def test_a_convolution_moves_as_the_matrix_it_is() -> None:
    flat, _, gradients = start((16, 72))
    kernel = nn.Parameter(flat[0].detach().clone().view(16, 8, 3, 3))
    moved = run(Muon([{"params": [kernel], "weight_decay": 0.0}], 0.01), [kernel], [[g[0].view(16, 8, 3, 3)] for g in gradients])
    assert torch.equal(moved[0].flatten(1), run(Muon([{"params": flat, "weight_decay": 0.0}], 0.01), flat, gradients)[0])


def test_the_rest_moves_as_by_adamw() -> None:
    ours, theirs, gradients = start((30,), (12, 1, 7, 7))
    assert not any(suits(p) for p in ours)  # a vector, a depthwise convolution
    expected = run(torch.optim.AdamW(theirs, lr=0.01, weight_decay=0.05), theirs, gradients)
    for mine, other in zip(run(Muon([{"params": ours, "weight_decay": 0.05}], 0.01), ours, gradients), expected, strict=True):
        assert torch.allclose(mine, other, atol=1e-6)


def test_singular_vectors_stay_and_values_come_near_one() -> None:
    matrix = torch.randn(32, 90, generator=torch.Generator().manual_seed(1))
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    turned = left.T @ orthogonalised(matrix) @ right.T  # diagonal where the singular vectors are those of the matrix
    values = turned.diagonal()
    assert values.min() > 0.6 and values.max() < 1.25
    assert (turned - turned.diag().diag()).abs().max() < 0.05
