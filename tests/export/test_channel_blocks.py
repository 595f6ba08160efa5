"""Hidden channels in whole blocks: the same logits to the last bit, and no channel left over."""

from __future__ import annotations

import pytest
import torch

from export.channel_blocks import filled
from training.backbones.minifasnet import NETS, LinearBlock, MiniFASNet
from training.backbones.minifasnet import from_state as opened


def drawn(name: str) -> MiniFASNet:
    """A net with random weights, slopes and batch-norm statistics."""
    random = torch.Generator().manual_seed(7)
    state = MiniFASNet(name).state_dict()
    noise = {key: 0.3 * torch.randn(value.shape, generator=random) for key, value in state.items() if value.is_floating_point()}
    return opened({key: value if key not in noise else 0.5 + noise[key].abs() if key.endswith("running_var") else noise[key] for key, value in state.items()})


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("block", [8, 16])
def test_the_logits_are_the_same(name: str, block: int) -> None:
    net, crops = drawn(name), 255 * torch.rand(3, 3, 80, 80, generator=torch.Generator().manual_seed(1))
    before = {key: value.clone() for key, value in net.state_dict().items()}
    wider = filled(net, block)
    with torch.inference_mode():
        expected = net(crops)
        torch.testing.assert_close(wider(crops), expected, rtol=1e-5, atol=1e-5)
    assert expected.std() > 0.01
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())  # the given net stays as it is


def test_every_depthwise_layer_has_whole_blocks() -> None:
    wider = filled(MiniFASNet("v2"))
    hidden = [part.conv_dw.conv.out_channels for part in wider.modules() if isinstance(part, LinearBlock)]
    assert len(hidden) == 15 and all(channels % 16 == 0 for channels in hidden)
    assert hidden[0] == 112 and max(hidden) == 320  # 103 and 308 as published
