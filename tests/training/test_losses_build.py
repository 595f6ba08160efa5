"""Losses by name: what exists can be made, what does not is refused with what does."""

from __future__ import annotations

import pytest
import torch

from tests.refused import refused
from training.losses import LOSSES, build


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_maps_a_batch_to_a_scalar(name: str) -> None:
    loss = build(name, embedding_size=16, classes=6)
    embeddings = torch.randn(12, 16, generator=torch.Generator().manual_seed(1), requires_grad=True)
    value = loss(embeddings, torch.arange(12) % 6)
    value.backward()
    assert value.shape == ()
    assert value.dtype == torch.float32
    assert embeddings.grad.abs().sum() > 0


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_comes_back_from_its_state(name: str) -> None:
    loss, other = build(name, 4, 3), build(name, 4, 3)
    embeddings, labels = torch.randn(6, 4, generator=torch.Generator().manual_seed(1)), torch.arange(6) % 3
    loss(embeddings, labels)
    other.load_state_dict(loss.state_dict())
    assert torch.equal(loss(embeddings, labels), other(embeddings, labels))


@pytest.mark.parametrize("name", [name for name in LOSSES if name not in ("contrastive", "siamese", "triplet")])
def test_a_label_beyond_the_classes_is_refused(name: str) -> None:
    with pytest.raises((IndexError, RuntimeError)):
        build(name, 4, 3)(torch.randn(2, 4), torch.tensor([0, 3]))


def test_an_unknown_loss_is_refused_with_the_list() -> None:
    with refused("loss", "'arcfase'", "softmax", "arcface"):
        build("arcfase", 8, 3)


def test_an_unknown_option_is_refused_with_the_list() -> None:
    with refused("loss", "'cosface'", "'marge'", "margin, scale"):
        build("cosface", 8, 3, marge=1)


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [("arcface", "margin", 2.0), ("arcface", "scale", 0.0), ("arcface", "margin", float("nan")), ("triplet", "mining", "soft"),
     ("softmax_twice", "over", "cosface"), ("arcface_scaled", "divisor", 1.0), ("subcenter_arcface", "subcenters", 0)],
)
def test_a_value_out_of_range_is_refused_by_name(name: str, option: str, value: object) -> None:
    with refused("loss", f"{option} = "):
        build(name, 8, 3, **{option: value})
