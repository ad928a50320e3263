"""Grey levels as numbers: L of them, even on [low, 1], each in the middle of its cell."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import jax.numpy as jnp
from annotated_types import Ge, Le, Lt

from sde_lib.base import Event
from sde_lib.cells import Ends

LevelCount = Annotated[int, Ge(2), Le(65_536)]
Low = Annotated[float, Lt(1)]
"""The number of the first level; that of the last is 1."""


class Levels(NamedTuple):
    """`count` levels on [`low`, 1]."""

    count: int
    low: float

    @property
    def width(self) -> float:
        """(1 - low)/(L - 1), of a cell."""
        return (1 - self.low) / (self.count - 1)

    def nearest(self, x: Event) -> Event:
        """The level in whose cell x lies; those of the first and of the last are open outward."""
        k = jnp.round((x - self.low) / self.width)
        return self.low + self.width * jnp.clip(k, 0, self.count - 1)

    def ends(self, x: Event) -> tuple[Ends, Ends]:
        """Returns whether x is in the first cell, and whether it is in the last."""
        return x < self.low + self.width / 2, x > 1 - self.width / 2
