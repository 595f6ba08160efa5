"""The optimiser Muon for matrices and convolutions, whose momentum is made orthogonal before each step; AdamW for all other parameters.

Every direction of a weight matrix is changed equally, whereas with AdamW a few directions dominate. Sources: K. Jordan et al., "Muon: an optimizer for
hidden layers in neural networks", 2024, https://kellerjordan.github.io/posts/muon/; the size of the step is that of J. Liu et al., "Muon is scalable
for LLM training", https://arxiv.org/abs/2502.16982, so that learning rates and weight decay of AdamW can be kept. torch's own Muon takes matrices only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # coefficients of a quintic; iterated, it brings every singular value near 1
ITERATIONS = 5
ADAM_RMS = 0.2  # typical root mean square of AdamW's step, in units of the learning rate


def suits(parameter: Tensor) -> bool:
    """Whether Muon updates the parameter: a matrix, or a convolution that mixes channels (a depthwise one is a set of small vectors)."""
    return parameter.ndim == 2 or (parameter.ndim == 4 and parameter.shape[1] > 1)


def orthogonalised(matrix: Tensor) -> Tensor:
    """(A, B) float -> (A, B) with the same singular vectors and singular values near 1."""
    a, b, c = NEWTON_SCHULZ
    x = matrix.to(torch.bfloat16)
    wide = x if x.shape[0] <= x.shape[1] else x.T
    wide = wide / (wide.norm() + 1e-7)
    for _ in range(ITERATIONS):
        gram = wide @ wide.T
        wide = a * wide + (b * gram + c * gram @ gram) @ wide
    result: Tensor = wide if x.shape[0] <= x.shape[1] else wide.T
    return result.to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    """Muon for the parameters that `suits` selects, AdamW for the others.

    Args:
        groups: parameter groups, each with `weight_decay`.
        lr: learning rate of both.
    """

    def __init__(self, groups: list[dict[str, Any]], lr: float) -> None:
        split = []
        for group in groups:
            parameters = list(group["params"])
            for orthogonal in (True, False):
                chosen = [p for p in parameters if suits(p) == orthogonal]
                if chosen:
                    split.append({**group, "params": chosen, "orthogonal": orthogonal})
        super().__init__(split, {"lr": lr, "weight_decay": 0.0, "betas": (0.9, 0.999)})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take one step; `closure` is ignored, because the loss is not computed again."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(self._direction(parameter, group), alpha=-group["lr"])

    def _direction(self, parameter: nn.Parameter, group: dict[str, Any]) -> Tensor:
        assert parameter.grad is not None
        state, gradient = self.state[parameter], parameter.grad
        if not state:
            state["first"] = torch.zeros_like(parameter)
        first: Tensor = state["first"]
        if group["orthogonal"]:
            first.mul_(MOMENTUM).add_(gradient)
            matrix = gradient.add(first, alpha=MOMENTUM).flatten(1)  # Nesterov; (A, B)
            return (ADAM_RMS * math.sqrt(max(matrix.shape)) * orthogonalised(matrix)).view_as(parameter)
        if "second" not in state:
            state["second"], state["steps"] = torch.zeros_like(parameter), 0
        state["steps"] += 1
        rate_first, rate_second = group["betas"]
        first.lerp_(gradient, 1 - rate_first)
        state["second"].lerp_(gradient.square(), 1 - rate_second)
        size = (state["second"] / (1 - rate_second ** state["steps"])).sqrt_().add_(1e-8)
        direction: Tensor = first / (1 - rate_first ** state["steps"]) / size
        return direction
