"""One small experiment: a tiny net is trained on digits with one loss, and the result is measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from training import losses
from training.visualize.digits import Digits

Array = NDArray[np.float32]
BATCH, LEARNING_RATE = 64, 2e-3


@dataclass(frozen=True)
class PanelEntry:
    """One loss with its options."""

    title: str
    loss: str
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Snapshot:
    """Embeddings at one step of training."""

    step: int
    embeddings: Array  # (N, D) of the test images
    directions: Array  # (C, D) unit length, each the mean direction of its class in training


@dataclass(frozen=True)
class StudyResult:
    """The result of one training run, measured by the score of the terminal: the cosine."""

    entry: PanelEntry
    frames: list[Snapshot]
    labels: NDArray[np.int64]  # (N,) of the test images
    accuracy: float  # 0..1, nearest mean direction
    within: float  # degrees, mean angle to the own mean direction
    between: float  # degrees, mean angle from one class to the nearest other
    tar_known: float  # 0..1, TAR at FAR 1 % on the test images of the classes trained on
    tar: float | None  # the same on the classes held out; None if there are none
    nan_step: int | None  # the step whose gradient was not finite; training ends there
    nan_in_value: bool  # whether the loss itself was not finite at that step, not its gradient alone


class Net(nn.Module):
    """(N, 1, S, S) grey 0..1 -> (N, D), by two hidden layers: on images this small as accurate as convolutions, at a quarter of their time."""

    def __init__(self, size: int, embedding_size: int = 2) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Flatten(), nn.Linear(size * size, 256), nn.PReLU(), nn.Linear(256, 128), nn.PReLU(), nn.Linear(128, embedding_size, bias=False)
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        embeddings: torch.Tensor = self.trunk(images)
        return embeddings


def train(entry: PanelEntry, digits: Digits, seed: int, epochs: int, frame_steps: set[int] | None = None, embedding_size: int = 2) -> StudyResult:
    """Train one net with one loss on the classes that are not held out, and measure it."""
    torch.manual_seed(seed)
    net = Net(digits.size, embedding_size)
    loss = losses.build(entry.loss, embedding_size=embedding_size, classes=digits.classes, **entry.options)
    parameters = [*net.parameters(), *loss.parameters()]
    optimizer = torch.optim.Adam(parameters, LEARNING_RATE, fused=True)
    frames, step, nan_in_value = [], 0, None
    for rows in batches(len(digits.train_labels), epochs):
        if frame_steps and step in frame_steps:
            frames.append(look(net, digits, step))
        optimizer.zero_grad()
        value = loss(net(digits.train_images[rows]), digits.train_labels[rows])
        value.backward()
        if not nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None]).isfinite():
            nan_in_value = not value.isfinite()
            break
        optimizer.step()
        step += 1
    frames.append(look(net, digits, step))
    labels = digits.test_labels.numpy()
    known = true_accept_rate(frames[-1].embeddings, labels)
    held_out = true_accept_rate(embed(net, digits.held_out_images), digits.held_out_labels.numpy()) if len(digits.held_out_labels) else None
    nan_step = None if nan_in_value is None else step
    return StudyResult(entry, frames, labels, *angles(frames[-1], labels), known, held_out, nan_step, bool(nan_in_value))


def batches(images: int, epochs: int) -> Iterator[torch.Tensor]:
    """The rows of each batch, every epoch in a new order."""
    for _ in range(epochs):
        yield from torch.split(torch.randperm(images), BATCH)


@torch.no_grad()
def embed(net: Net, images: torch.Tensor) -> Array:
    embeddings: Array = net(images).numpy()
    return embeddings


def look(net: Net, digits: Digits, step: int) -> Snapshot:
    units = unit(embed(net, digits.train_images))
    means = np.stack([units[digits.train_labels.numpy() == k].mean(axis=0) for k in range(digits.classes)])
    return Snapshot(step, embed(net, digits.test_images), unit(means))


def unit(x: Array) -> Array:
    return np.asarray(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12), np.float32)


def angles(frame: Snapshot, labels: NDArray[np.int64]) -> tuple[float, float, float]:
    """(accuracy 0..1, within degrees, between degrees) by the mean directions of the classes."""
    cosines = unit(frame.embeddings) @ frame.directions.T  # (N, C)
    accuracy = float((cosines.argmax(axis=1) == labels).mean())
    within = np.degrees(np.arccos(np.clip(cosines[np.arange(len(labels)), labels], -1, 1))).mean()
    apart = frame.directions @ frame.directions.T - 4 * np.eye(len(frame.directions))  # the own class is never the nearest
    between = np.degrees(np.arccos(np.clip(apart.max(axis=1), -1, 1))).mean()
    return accuracy, float(within), float(between)


def true_accept_rate(embeddings: Array, labels: NDArray[np.int64], far: float = 0.01, distance: str = "cosine") -> float:
    """Share of mated pairs above the score that the share `far` of the non-mated pairs exceeds: (N, D), (N,) -> 0..1.

    `distance` is what a score is computed by: `cosine`, or the negative `l1` or `l2` distance of the embeddings as they are.
    """
    first, second = np.triu_indices(len(labels), k=1)
    if distance == "cosine":
        scores = (unit(embeddings) @ unit(embeddings).T)[first, second]
    else:
        scores = -np.linalg.norm(embeddings[first] - embeddings[second], ord=1 if distance == "l1" else 2, axis=1)
    mated = labels[first] == labels[second]
    return float((scores[mated] > np.quantile(scores[~mated], 1 - far)).mean())
