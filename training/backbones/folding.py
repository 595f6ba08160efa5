"""Batch norm folded into the layers before it: for export, and for fine-tuning, which is faster that way and keeps the original statistics."""

from __future__ import annotations

import copy
from typing import Any

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval


def folded(net: nn.Module) -> fx.GraphModule:
    """A copy of the net, in evaluation mode, with each batch norm folded into the convolution or linear layer before it."""
    traced = fx.symbolic_trace(copy.deepcopy(net))
    layers: dict[Any, nn.Module] = dict(traced.named_modules())
    for node in list(traced.graph.nodes):
        before, norm = (node.args[0] if node.args else None), layers.get(node.target)
        if not isinstance(norm, (nn.BatchNorm1d, nn.BatchNorm2d)) or not isinstance(before, fx.Node) or len(before.users) > 1:
            continue
        layer = layers.get(before.target)
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layers[before.target] = fuse_conv_bn_eval(layer, norm) if isinstance(layer, nn.Conv2d) else fuse_linear_bn_eval(layer, norm)
            traced.set_submodule(str(before.target), layers[before.target])
            node.replace_all_uses_with(before)
            traced.graph.erase_node(node)
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced
