"""The resolutions of a network in diffusers' fields, both ways, and the groups of its normalisations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any

from flax import nnx
from pydantic import Field

from experiments.config.schema import Count
from experiments.weights.published.diffusers import Fields
from experiments.weights.tensors import LARGEST
from models.layers.norm import GroupNorm
from models.layers.pyramid import Stage

Channels = Annotated[int, Field(ge=1, le=2**16)]
Widths = Annotated[tuple[Channels, ...], Field(min_length=1, max_length=16)]
Blocks = Annotated[int, Field(ge=1, le=64)]
EVEN_GROUPS = "as many groups in every normalisation (widths of 128 and its multiples have 32)"
"""A need of every export."""


class Pyramid(Fields):
    """The fields that say the resolutions of a network, each half the one before; blocks called Attn have attention."""

    sample_size: Count | tuple[Count, Count]
    block_out_channels: Widths
    layers_per_block: Blocks
    down_block_types: tuple[str, ...]
    up_block_types: tuple[str, ...]

    @property
    def sides(self) -> tuple[int, ...]:
        """The height and the width of what it takes."""
        return self.sample_size if isinstance(self.sample_size, tuple) else (self.sample_size,) * 2

    @property
    def attends(self) -> list[bool]:
        """The presence of attention at each resolution, going down."""
        return _attends(self.down_block_types)

    @property
    def options(self) -> dict[str, Any]:
        """The options of a network of ours with these resolutions."""
        width, *_ = channels = self.block_out_channels
        return {
            "width": width,
            "multipliers": tuple(n // width for n in channels),
            "blocks": self.layers_per_block,
            "attention": tuple(self.sides[0] // 2**i for i, attends in enumerate(self.attends) if attends),
        }

    def even(self, channels: int) -> dict[str, bool]:
        """Returns whether each field fits a network of ours on so many channels: widths in multiples, up the mirror of down."""
        width, *_ = widths = self.block_out_channels
        return {
            "block_out_channels": all(n % width == 0 for n in widths) and len(self.attends) == len(widths),
            "up_block_types": _attends(self.up_block_types) == self.attends[::-1],
            "sample_size": not any(side % 2 ** (len(widths) - 1) for side in self.sides)
            and math.prod(self.sides) * channels <= LARGEST,
        }


def resolutions(stages: Sequence[Stage], down: str, up: str, attention: str = "Attn") -> dict[str, Any]:
    """Returns the fields of a pyramid of these stages: blocks called `down` and `up`, after `attention` if they have it."""
    block = lambda name, stage: f"{attention}{name}" if stage.attention else name
    height, width = stages[0].sides
    return {
        "sample_size": height if height == width else (height, width),
        "block_out_channels": tuple(stage.channels for stage in stages),
        "down_block_types": tuple(block(down, stage) for stage in stages),
        "up_block_types": tuple(block(up, stage) for stage in reversed(stages)),
    }


def groups(net: nnx.Module) -> set[int]:
    """Returns the numbers of groups of its normalisations: ours are those of its widths, 32 of 128 and of its multiples."""
    return {module.groups for _, module in nnx.iter_modules(net) if isinstance(module, GroupNorm)}


def _attends(blocks: tuple[str, ...]) -> list[bool]:
    return ["Attn" in block for block in blocks]
