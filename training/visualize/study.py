"""One small experiment: a tiny net is trained on digits with one loss, and the result is measured."""

from __future__ import annotations

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
    """One loss of the panel."""

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


class Net(nn.Module):
    """(N, 1, S, S) grey 0..1 -> (N, D)."""

    def __init__(self, size: int, embedding_size: int = 2) -> None:
        super().__init__()
        side = (size + 3) // 4
        self.trunk = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.PReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.PReLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.PReLU(),
            nn.Flatten(), nn.Linear(64 * side * side, 64), nn.PReLU(), nn.Linear(64, embedding_size, bias=False),
        )  # fmt: skip

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        embeddings: torch.Tensor = self.trunk(images)
        return embeddings


def train(entry: PanelEntry, digits: Digits, seed: int, epochs: int, frame_steps: set[int] | None = None, embedding_size: int = 2) -> StudyResult:
    """Train one net with one loss on the classes that are not held out, and measure it."""
    torch.manual_seed(seed)
    net = Net(digits.size, embedding_size)
    loss = losses.build(entry.loss, embedding_size=embedding_size, classes=digits.classes, **entry.options)
    optimizer = torch.optim.Adam([*net.parameters(), *loss.parameters()], LEARNING_RATE)
    frames, step, nan_step = [], 0, None
    for _ in range(epochs):
        for rows in torch.split(torch.randperm(len(digits.train_labels)), BATCH):
            if frame_steps and step in frame_steps:
                frames.append(look(net, digits, step))
            optimizer.zero_grad()
            loss(net(digits.train_images[rows]), digits.train_labels[rows]).backward()
            if not all(p.grad is None or p.grad.isfinite().all() for group in optimizer.param_groups for p in group["params"]):
                nan_step = step
                break
            optimizer.step()
            step += 1
        if nan_step is not None:
            break
    frames.append(look(net, digits, step))
    labels = digits.test_labels.numpy()
    known = true_accept_rate(frames[-1].embeddings, labels)
    held_out = true_accept_rate(embed(net, digits.held_out_images), digits.held_out_labels.numpy()) if len(digits.held_out_labels) else None
    return StudyResult(entry, frames, labels, *angles(frames[-1], labels), known, held_out, nan_step)


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


def true_accept_rate(embeddings: Array, labels: NDArray[np.int64], far: float = 0.01) -> float:
    """Share of mated pairs above the score that the share `far` of the non-mated pairs exceeds: (N, D), (N,) -> 0..1."""
    first, second = np.triu_indices(len(labels), k=1)
    scores = (unit(embeddings) @ unit(embeddings).T)[first, second]
    mated = labels[first] == labels[second]
    return float((scores[mated] > np.quantile(scores[~mated], 1 - far)).mean())
