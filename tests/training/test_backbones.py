from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from device.vision.catalogue import Catalogue, sha256
from tests.refused import refused
from training import backbones, checkpoint, donor
from training import published as published_weights
from training.backbones.cost import cost
from training.backbones.folding import folded
from training.config import BackboneSettings
from training.model import EmbedderNet
from training.synthetic import draw

State = dict[str, torch.Tensor]


def test_cost_of_a_net_counted_by_hand() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 4, 4, bias=False), nn.Conv2d(8, 8, 3, 1, 1, groups=8, bias=False), nn.Flatten(), nn.Linear(8 * 28 * 28, 5))
    found = cost(net)
    assert found.macs == 28 * 28 * 8 * 48 + 28 * 28 * 8 * 9 + 8 * 28 * 28 * 5
    assert found.operations == 2 * found.macs
    assert found.parameters == 8 * 48 + 8 * 9 + 8 * 28 * 28 * 5 + 5


@pytest.mark.parametrize("name", ["edge", "edge-basic", "edge-inverted", "edge-hybrid"])
def test_edge_backbones_keep_their_budget(name: str) -> None:
    found = cost(backbones.build(name, 192))
    assert found.parameters <= 1_400_000
    assert found.macs <= 160_000_000


@pytest.mark.parametrize(
    ("name", "size", "millions", "mega_macs"),
    [("mobilefacenet", 512, 1.20, 221), ("mobilefacenet-relu6", 128, 1.00, 234), ("iresnet18", 512, 24.03, 2610), ("iresnet50", 512, 43.59, 6310)],
)
def test_published_backbones_have_their_published_size(name: str, size: int, millions: float, mega_macs: float) -> None:
    found = cost(backbones.build(name, size))
    assert found.parameters / 1e6 == pytest.approx(millions, rel=0.005)
    assert found.macs / 1e6 == pytest.approx(mega_macs, rel=0.01)


@pytest.mark.parametrize("name", [name for name in backbones.BACKBONES if name.startswith(("edge", "mobile"))])
def test_embedding_has_the_size_asked_for_and_every_parameter_learns(name: str) -> None:
    net = backbones.build(name, 24)
    out = net(torch.randn(3, 3, 112, 112))
    assert out.shape == (3, 24)
    out.square().sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_unknown_backbone_lists_the_known() -> None:
    with refused("clockface", "mobilefacenet"):
        backbones.build("resnext", 192)


@pytest.fixture(scope="module")
def published(shared: Path) -> Path:
    file = shared / "models" / "mobilefacenet_foamliu.pt"
    if not file.is_file():
        pytest.skip(f"no published weights at {file}")
    return file


def test_the_list_of_donors_names_the_published_file(published: Path) -> None:
    entry = Catalogue.load(donor.LIST).entries["donor"]
    assert (entry.sha256, entry.size) == (sha256(published), published.stat().st_size)
    assert donor.resolve(str(published)) == published  # a path


def insightface_state(blocks: tuple[int, ...], size: int) -> State:
    """Random weights with the names and shapes of InsightFace's ResNets (arcface_torch/backbones/iresnet.py)."""
    random = torch.Generator().manual_seed(0)
    state: State = {}

    def norm(name: str, width: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            state[f"{name}.{part}"] = torch.rand(width, generator=random) * 0.5 + (0.5 if part in ("weight", "running_var") else -0.25)
        state[f"{name}.num_batches_tracked"] = torch.tensor(1)

    def convolution(name: str, inputs: int, outputs: int, kernel: int = 3) -> None:
        state[f"{name}.weight"] = torch.randn(outputs, inputs, kernel, kernel, generator=random) / (inputs * kernel**2) ** 0.5

    convolution("conv1", 3, 64)
    norm("bn1", 64)
    state["prelu.weight"] = torch.full((64,), 0.2)
    width = 64
    for stage, (count, outputs) in enumerate(zip(blocks, (64, 128, 256, 512), strict=True), 1):
        for place in (f"layer{stage}.{number}" for number in range(count)):
            if place.endswith(".0"):
                convolution(f"{place}.downsample.0", width, outputs, 1)
                norm(f"{place}.downsample.1", outputs)
            norm(f"{place}.bn1", width)
            convolution(f"{place}.conv1", width, outputs)
            norm(f"{place}.bn2", outputs)
            state[f"{place}.prelu.weight"] = torch.linspace(0.1, 0.4, outputs)
            convolution(f"{place}.conv2", outputs, outputs)
            norm(f"{place}.bn3", outputs)
            width = outputs
    norm("bn2", 512)
    state["fc.weight"], state["fc.bias"] = torch.randn(size, 512 * 49, generator=random) / 160, torch.randn(size, generator=random)
    norm("features", size)
    return state


def insightface_forward(state: State, crops: torch.Tensor) -> torch.Tensor:
    """(N, 112, 112, 3) uint8 RGB -> (N, D), layer by layer from the names, pixels from -1 to 1 as InsightFace's loader gives them."""
    x = ((crops / 255 - 0.5) / 0.5).permute(0, 3, 1, 2)
    x = F.prelu(normalised(state, "bn1", F.conv2d(x, state["conv1.weight"], padding=1)), state["prelu.weight"])
    for place in dict.fromkeys(".".join(name.split(".")[:2]) for name in state if name.startswith("layer")):
        stride = 2 if f"{place}.downsample.0.weight" in state else 1
        y = F.conv2d(normalised(state, f"{place}.bn1", x), state[f"{place}.conv1.weight"], padding=1)
        y = F.prelu(normalised(state, f"{place}.bn2", y), state[f"{place}.prelu.weight"])
        y = normalised(state, f"{place}.bn3", F.conv2d(y, state[f"{place}.conv2.weight"], stride=stride, padding=1))
        x = y + (normalised(state, f"{place}.downsample.1", F.conv2d(x, state[f"{place}.downsample.0.weight"], stride=2)) if stride == 2 else x)
    return normalised(state, "features", F.linear(normalised(state, "bn2", x).flatten(1), state["fc.weight"], state["fc.bias"]))


WRAPPERS: dict[str, Callable[[State], Any]] = {
    "as it is": lambda state: state,
    "of several processes, beside other things": lambda state: {"epoch": 3, "state_dict": {f"module.{name}": value for name, value in state.items()}},
    "of a Lightning module": lambda state: {"pytorch-lightning_version": "2.2", "state_dict": {f"net.{name}": value for name, value in state.items()}},
    "of torch.compile": lambda state: {"model": {f"_orig_mod.{name}": value for name, value in state.items()}},
}


@torch.inference_mode()
def test_weights_of_insightface_compute_what_their_layers_say(tmp_path: Path) -> None:
    state, crops = insightface_state((2, 2, 2, 2), 8), drawn_crops()[:1]
    torch.save({"state_dict": {f"module.{name}": value.half() for name, value in state.items()}}, tmp_path / "r18.pth")
    embedder, recipe = checkpoint.load_embedder(tmp_path / "r18.pth")
    assert (recipe.backbone.name, recipe.backbone.embedding_size) == ("iresnet18", 8)
    half = {name: value.half().float() for name, value in state.items()}
    torch.testing.assert_close(embedder(crops), insightface_forward(half, crops), atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize("how", WRAPPERS)
def test_weights_are_found_in_the_forms_in_which_programs_save_them(how: str) -> None:
    state = {f"conv{number}.weight": torch.full((2,), float(number)) for number in range(3)}
    assert published_weights.plain(WRAPPERS[how](state)) == state


def drawn_crops() -> torch.Tensor:
    return torch.from_numpy(np.stack([draw(person, 0) for person in range(4)]))


def normalised(state: State, name: str, x: torch.Tensor) -> torch.Tensor:
    """Batch norm in evaluation."""
    mean, variance, weight, bias = (state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, mean, variance, weight, bias, eps=1e-5)


def block(state: State, name: str, x: torch.Tensor, stride: int) -> torch.Tensor:
    """An inverted residual of the published file."""
    y = F.relu6(normalised(state, f"{name}.0.1", F.conv2d(x, state[f"{name}.0.0.weight"])))
    wide = y.shape[1]
    y = F.relu6(normalised(state, f"{name}.1.1", F.conv2d(y, state[f"{name}.1.0.weight"], stride=stride, padding=1, groups=wide)))
    y = normalised(state, f"{name}.3", F.conv2d(y, state[f"{name}.2.weight"]))
    return x + y if x.shape == y.shape else y


def published_forward(state: State, crops: torch.Tensor) -> torch.Tensor:
    """(N, 112, 112, 3) uint8 RGB -> (N, 128), layer by layer from the names in the file; strides as its author's code has them."""
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = ((crops / 255 - mean) / std).permute(0, 3, 1, 2)
    x = F.relu6(normalised(state, "conv1.1", F.conv2d(x, state["conv1.0.weight"], stride=2, padding=1)))
    x = F.relu(normalised(state, "dw_conv.bn1", F.conv2d(x, state["dw_conv.depthwise.weight"], padding=1, groups=64)))
    x = F.relu(normalised(state, "dw_conv.bn2", F.conv2d(x, state["dw_conv.pointwise.weight"])))
    for number in range(15):
        x = block(state, f"features.{number}.conv", x, 2 if number in (0, 5, 12) else 1)
    x = F.relu6(normalised(state, "conv2.1", F.conv2d(x, state["conv2.0.weight"])))
    x = normalised(state, "gdconv.bn", F.conv2d(x, state["gdconv.depthwise.weight"], groups=512))
    return normalised(state, "bn", F.conv2d(x, state["conv3.weight"], state["conv3.bias"])).flatten(1)


@torch.inference_mode()
def test_published_weights_load_by_name_and_compute_what_their_layers_say(published: Path) -> None:
    state = torch.load(published, map_location="cpu", weights_only=True)
    backbone = backbones.build("mobilefacenet-relu6", 128)
    backbone.load_state_dict(state, strict=True)
    embedder, recipe = checkpoint.load_embedder(published)
    assert recipe.backbone == BackboneSettings("mobilefacenet-relu6", 128)
    pixels = embedder.pixels(drawn_crops())
    torch.testing.assert_close(embedder(drawn_crops()), backbone.eval()(pixels), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(embedder(drawn_crops()), published_forward(state, drawn_crops()), rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_folding_changes_no_embedding(published: Path) -> None:
    embedder, _ = checkpoint.load_embedder(published)
    settings = BackboneSettings("mobilefacenet-relu6", 128, folded=True)
    tuned = EmbedderNet(settings).eval()
    tuned.load_state_dict(checkpoint.initial(published, settings))
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in tuned.modules())
    assert float((tuned.unit(drawn_crops()) * embedder.unit(drawn_crops())).sum(1).min()) > 0.999999


def test_weights_of_another_backbone_are_refused(published: Path) -> None:
    with refused("checkpoint", "mobilefacenet-relu6 with 128", "sets edge with 128", "name = 'mobilefacenet-relu6'"):
        checkpoint.initial(published, BackboneSettings("edge", 128))


@pytest.mark.parametrize("name", ["edge", "mobilefacenet", "mobilefacenet-relu6"])
@torch.inference_mode()
def test_a_folded_net_has_no_batch_norm_and_computes_the_same(name: str) -> None:
    net = backbones.build(name, 16).eval()
    flat, pixels = folded(net), torch.randn(2, 3, 112, 112)
    assert not any(isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)) for layer in flat.modules())
    torch.testing.assert_close(flat(pixels), net(pixels), rtol=1e-3, atol=1e-5)


def test_each_backbone_says_how_it_wants_its_crops() -> None:
    grey = torch.full((1, 112, 112, 3), 127, dtype=torch.uint8)
    signed, imagenet = (EmbedderNet(BackboneSettings(name, 16)).pixels(grey)[0, :, 0, 0] for name in ("edge", "mobilefacenet-relu6"))
    torch.testing.assert_close(signed, torch.full((3,), -0.5 / 128))
    torch.testing.assert_close(imagenet, (127 / 255 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225]))
