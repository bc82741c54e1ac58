"""Images as vision towers of language models take them: cut into patches, with the grid that they were cut from.

The tower's image processor packs the patches of all images into one sequence, or pads each image's to one length;
a second argument says how many rows and columns each image has.
"""

import math
from collections.abc import Collection
from typing import Any

import torch

from harness.cell.synthesis.arguments import Maker

MERGE = 2
"""Patches of this many rows and columns become one token where the config does not say how many."""


def as_patches(model: Any, accepted: Collection[str], maker: Maker) -> tuple[str, dict[str, Any]] | None:
    """The argument that carries the patches, and it with all that lays it out; None where images are taken whole."""
    if "input_ids" in accepted:
        return None  # the whole, whose processor makes all of it from an image
    batch = maker.amounts.batch
    carrier = next((one for one in ("hidden_states", "pixel_values") if one in accepted), None)
    if carrier is None:
        return None
    merge = maker.find("spatial_merge_size", "merge_size", "pooling_kernel_size")
    merge = merge if isinstance(merge, int) else MERGE
    side = 2 * merge
    features = _features(model)
    grids = torch.tensor([[1, side, side]] * batch)
    shapes = grids[:, 1:].contiguous()
    packed, padded = maker.noise(batch * side * side, features), maker.noise(batch, side * side, features)
    if "grid_thw" in accepted:
        layout = {"grid_thw": grids}
        if "merge_sizes" in accepted:
            layout["merge_sizes"] = torch.full((batch,), merge)
        return carrier, {carrier: packed, **layout}
    if "spatial_shapes" in accepted and "pixel_attention_mask" in accepted:
        mask = torch.ones(batch, side * side, dtype=torch.long)
        return carrier, {carrier: padded, "spatial_shapes": shapes, "pixel_attention_mask": mask}
    if "pixel_position_ids" in accepted:
        places = torch.cartesian_prod(torch.arange(side), torch.arange(side)).flip(-1)
        return carrier, {carrier: padded, "pixel_position_ids": places.expand(batch, -1, -1).contiguous()}
    return None


def _features(model: Any) -> int:
    """How many numbers a patch has: as many as the tower's first layer sums up."""
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            return int(module.in_features)
        if isinstance(module, torch.nn.modules.conv._ConvNd):  # noqa: SLF001 -- the base of all convolutions
            return int(module.in_channels * math.prod(module.kernel_size))
    msg = f"{type(model).__name__} has no layer that patches could go into"
    raise ValueError(msg)
