"""The resolutions of a U-Net, and the refusal of those that cannot be built."""

from __future__ import annotations

from typing import NamedTuple


class Stage(NamedTuple):
    """A network at one resolution: `blocks` of `channels`, with self-attention or without."""

    height: int
    width: int
    channels: int
    blocks: int
    attention: bool


def pyramid(
    shape: tuple[int, ...], width: int, multipliers: tuple[int, ...], blocks: int, attention: tuple[int, ...]
) -> list[Stage]:
    """A stage for each of `multipliers` of `width` channels, each half the resolution of the one before.

    `attention`: the heights with self-attention. Raises ValueError if a side cannot be halved, or if such a height never
    occurs.
    """
    factor = 2 ** (len(multipliers) - 1)
    if len(shape) != 3 or any(side % factor for side in shape[:2]):
        raise ValueError(
            f"{len(multipliers)} resolutions need an image [H, W, C] with H and W divisible by {factor}, not {shape}"
        )
    sides = [(shape[0] // 2**i, shape[1] // 2**i) for i in range(len(multipliers))]
    if absent := set(attention) - {height for height, _ in sides}:
        raise ValueError(f"attention {sorted(absent)} never occur; the resolutions are {[height for height, _ in sides]}")
    return [Stage(h, w, width * m, blocks, h in attention) for (h, w), m in zip(sides, multipliers, strict=True)]
