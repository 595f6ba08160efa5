"""MiniFASNet gives what a forward pass written out from the names in the published files gives."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from device.vision.catalogue import Catalogue, sha256
from tests.refused import refused
from training import donor
from training.backbones.minifasnet import NETS, MiniFASNet, from_state

State = dict[str, torch.Tensor]
PUBLISHED = {"v2": "minifasnet-v2", "v1se": "minifasnet-v1se"}


def normalised(state: State, name: str, x: torch.Tensor) -> torch.Tensor:
    """Batch norm in evaluation."""
    mean, variance, weight, bias = (state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, mean, variance, weight, bias, eps=1e-5)


def unit(state: State, name: str, x: torch.Tensor, stride: int = 1, padding: int = 0, groups: int = 1) -> torch.Tensor:
    x = normalised(state, f"{name}.bn", F.conv2d(x, state[f"{name}.conv.weight"], None, stride, padding, 1, groups))
    slopes = state.get(f"{name}.prelu.weight")
    return x if slopes is None else F.prelu(x, slopes)


def weighted(state: State, name: str, x: torch.Tensor) -> torch.Tensor:
    """Squeeze and excitation."""
    squeezed = F.relu(normalised(state, f"{name}.bn1", F.conv2d(F.adaptive_avg_pool2d(x, 1), state[f"{name}.fc1.weight"])))
    return x * torch.sigmoid(normalised(state, f"{name}.bn2", F.conv2d(squeezed, state[f"{name}.fc2.weight"])))


def block(state: State, name: str, x: torch.Tensor, stride: int = 1) -> torch.Tensor:
    wide = state[f"{name}.conv.conv.weight"].shape[0]
    y = unit(state, f"{name}.conv_dw", unit(state, f"{name}.conv", x), stride, 1, wide)
    y = unit(state, f"{name}.project", y)
    if f"{name}.se_module.fc1.weight" in state:
        y = weighted(state, f"{name}.se_module", y)
    return x + y if stride == 1 else y


def written_out(state: State, x: torch.Tensor) -> torch.Tensor:
    """(N, 3, 80, 80) float BGR -> (N, 3) logits; strides and numbers of blocks as in the publisher's code."""
    x = unit(state, "conv2_dw", unit(state, "conv1", x, 2, 1), 1, 1, 32)
    for halving, row, blocks in (("conv_23", "conv_3", 4), ("conv_34", "conv_4", 6), ("conv_45", "conv_5", 2)):
        x = block(state, halving, x, 2)
        for number in range(blocks):
            x = block(state, f"{row}.model.{number}", x)
    x = unit(state, "conv_6_dw", unit(state, "conv_6_sep", x), groups=512).flatten(1)
    return normalised(state, "bn", x @ state["linear.weight"].T) @ state["prob.weight"].T


def drawn(name: str) -> State:
    """Random weights for one of the nets, with batch-norm statistics that are not those of a new net."""
    random = torch.Generator().manual_seed(len(name))
    state = MiniFASNet(name).state_dict()
    noise = {key: torch.randn(value.shape, generator=random) for key, value in state.items() if value.is_floating_point()}
    return {key: value if key not in noise else 0.5 + noise[key].abs() if key.endswith("running_var") else 0.3 * noise[key] for key, value in state.items()}


def pictures() -> torch.Tensor:
    return 255 * torch.rand(4, 3, 80, 80, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", NETS)
def test_random_weights_give_what_the_pass_written_out_gives(name: str) -> None:
    state, x = drawn(name), pictures()
    with torch.inference_mode():
        expected = written_out(state, x)
        torch.testing.assert_close(from_state(state)(x), expected, rtol=1e-4, atol=1e-4)
        assert expected.std() > 0.01


@pytest.mark.parametrize("name", NETS)
def test_published_weights_give_what_the_pass_written_out_gives(name: str, shared: Path) -> None:
    entry = Catalogue.load(donor.LIST).entries[PUBLISHED[name]]
    file = shared / "pad" / "models" / entry.file
    assert (entry.sha256, entry.size) == (sha256(file), file.stat().st_size)
    state = torch.load(file, weights_only=True, map_location="cpu")
    plain = {key.removeprefix("module."): value for key, value in state.items()}
    with torch.inference_mode():
        torch.testing.assert_close(from_state(state)(pictures()), written_out(plain, pictures()), rtol=1e-5, atol=1e-5)


def test_the_second_version_has_its_published_size() -> None:
    parameters = sum(parameter.numel() for parameter in MiniFASNet("v2").parameters())
    assert parameters / 1e6 == pytest.approx(0.435, abs=0.0005)  # README_EN.md of the publisher


def test_weights_of_another_net_are_refused() -> None:
    with refused("liveness.weights", "v2", "v1se"):
        from_state({**drawn("v2"), "more.weight": torch.zeros(1)})
