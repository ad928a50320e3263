"""The resolutions of a network, and the refusal of those that cannot be built."""

from __future__ import annotations

from typing import NamedTuple

EVENTS = {1: ("a signal [L, C]", "L"), 2: ("an image [H, W, C]", "H and W"), 3: ("a volume [D, H, W, C]", "D, H and W")}
"""The event of each number of axes of space, and the names of its sides."""
IMAGES, ANY = (2,), tuple(EVENTS)
"""The numbers of axes of space that most networks take, and that some do."""


class Stage(NamedTuple):
    """A network at one resolution, of these `sides`: `blocks` of `channels`, with self-attention or without."""

    sides: tuple[int, ...]
    channels: int
    blocks: int
    attention: bool

    @property
    def height(self) -> int:
        """The first side, by which attention is named."""
        return self.sides[0]

    @property
    def width(self) -> int:
        """The second side of an image."""
        return self.sides[1]


def pyramid(
    shape: tuple[int, ...],
    width: int,
    multipliers: tuple[int, ...],
    blocks: int,
    attention: tuple[int, ...],
    axes: tuple[int, ...] = IMAGES,
) -> list[Stage]:
    """A stage for each of `multipliers` of `width` channels, each half the resolution of the one before.

    `attention`: the heights with self-attention; the first side of another event is its height. `axes`: the numbers of axes of
    space that the network takes. Raises ValueError if `shape` has another, if a side cannot be halved, or if such a height
    never occurs.
    """
    check_space(f"{len(multipliers)} resolutions need", shape, 2 ** (len(multipliers) - 1), axes)
    every = [tuple(side // 2**i for side in shape[:-1]) for i in range(len(multipliers))]
    heights = [sides[0] for sides in every]
    if absent := set(attention) - set(heights):
        raise ValueError(f"attention {sorted(absent)} never occur; the resolutions are {heights}")
    return [Stage(sides, width * m, blocks, sides[0] in attention) for sides, m in zip(every, multipliers, strict=True)]


def check_space(what: str, shape: tuple[int, ...], factor: int, axes: tuple[int, ...]) -> None:
    """Raises ValueError unless the event has one of these numbers of axes of space, all of sides that `factor` divides.

    `what`: the subject and verb of the message, "patch 2 needs".
    """
    n = len(shape) - 1
    if n not in axes:
        wanted = " or ".join(EVENTS[each][0] for each in axes)
        works = "DDPM and DiT take" if n in ANY else "MLP takes, and in a codec Perceptron"
        raise ValueError(f"{what} {wanted}, not an event of shape {shape}, which {works}")
    event, sides = EVENTS[n]
    if any(side % factor for side in shape[:-1]):
        raise ValueError(f"{what} {event} with {sides} divisible by {factor}, not {shape}")
