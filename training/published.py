"""Weights that other programs saved, read as a checkpoint where their layers are those of a backbone: foamliu's MobileFaceNet, InsightFace's ResNets."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from typing import Any

import torch

from training.backbones import SIGNED
from training.backbones.iresnet import DEPTHS
from training.config import BackboneSettings, Recipe

Weights = dict[str, torch.Tensor]  # of each layer
WRAPPED = ("state_dict", "model_state_dict", "model", "net", "backbone", "weights")  # under which programs save them, beside what else they save
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "backbone.")  # of all layers: of several processes, of torch.compile, of a training module
STEM = {"conv1": "trunk.0", "bn1": "trunk.1", "prelu": "trunk.2", "fc": "embedding.1", "features": "embedding.2"}  # InsightFace's layers -> ours
BLOCK = {"bn1": "body.0", "conv1": "body.1", "bn2": "body.2", "prelu": "body.3", "conv2": "body.4", "bn3": "body.5", "downsample": "shortcut"}
IN_BLOCK = re.compile(r"layer(\d)\.(\d+)\.([a-z]+\d?)\.(.+)")


def as_checkpoint(content: Any, schema: int) -> dict[str, Any] | None:
    """A checkpoint whose recipe sets the backbone, and thereby the normalisation; None where the layers are those of no published net known here.

    Args:
        content: what a file holds: a `state_dict`, or a table with one in it.
    """
    weights = plain(content)
    if "gdconv.depthwise.weight" in weights:
        return _checkpoint("mobilefacenet-foamliu", BackboneSettings("mobilefacenet-relu6", 128), weights, schema)
    blocks = tuple(Counter(name.split(".")[0] for name in weights if re.fullmatch(r"layer\d\.\d+\.bn3\.weight", name)).values())
    name = next((name for name, depths in DEPTHS.items() if depths == blocks), None)
    if name is None or not {"fc.weight", "features.weight", "prelu.weight"} <= weights.keys():
        return None
    return _checkpoint(f"{name}-insightface", BackboneSettings(name, len(weights["fc.weight"])), _of_insightface(weights, blocks), schema)


def plain(content: Any) -> Weights:
    """The `state_dict` in what a program saved, without a prefix that all layers have; empty where there is none."""
    if not isinstance(content, dict):
        return {}
    inside = next((content[name] for name in WRAPPED if isinstance(content.get(name), dict)), content)
    weights = {str(name): value for name, value in inside.items() if isinstance(value, torch.Tensor)}
    while prefix := next((prefix for prefix in PREFIXES if weights and all(name.startswith(prefix) for name in weights)), ""):
        weights = {name.removeprefix(prefix): value for name, value in weights.items()}
    return weights


def _checkpoint(name: str, backbone: BackboneSettings, weights: Weights, schema: int) -> dict[str, Any]:
    embedder = {f"backbone.{layer}": value for layer, value in weights.items()}
    return {"schema": schema, "recipe": dataclasses.asdict(Recipe(name, backbone=backbone)), "embedder": embedder, "step": 0, "images": 0}


def _of_insightface(weights: Weights, blocks: tuple[int, ...]) -> Weights:
    """Names of our layers. InsightFace divides pixels by 127.5, we by 128: the first convolution makes up for it."""
    renamed = {_ours(name, blocks): value for name, value in weights.items()}
    renamed["trunk.0.weight"] = renamed["trunk.0.weight"] * (SIGNED.std[0] / 127.5)
    return renamed


def _ours(name: str, blocks: tuple[int, ...]) -> str:
    if inside := IN_BLOCK.fullmatch(name):
        stage, number, layer, rest = inside.groups()
        return f"trunk.{3 + sum(blocks[: int(stage) - 1]) + int(number)}.{BLOCK.get(layer, layer)}.{rest}"
    layer, _, rest = name.partition(".")
    return f"{f'trunk.{3 + sum(blocks)}' if layer == 'bn2' else STEM.get(layer, layer)}.{rest}"
