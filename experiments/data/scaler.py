"""The scaler maps grey levels to the numbers that a network sees, and back."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, UInt8

from experiments.config.schema import Config
from sde_lib.base import Event, Scalar

Levels = UInt8[Array, "*event"] | Event


class Scaler(NamedTuple):
    """x = low + (1 - low)(k + u - 1/2)/(L - 1) for levels k in 0..L-1, and back.

    At u = 1/2 x is in [low, 1]; u ~ U[0, 1) dequantises. `low` is -1, or 0 for networks that were trained on [0, 1]. If
    `levels` is 0, points stay as they are.
    """

    levels: int
    dequantize: bool
    low: float = -1.0

    @property
    def cell(self) -> float:
        """The width of a level in x."""
        return (1 - self.low) / (self.levels - 1)

    @property
    def _offset(self) -> float:
        """(L - 1) x at k + u = 0."""
        return self.low * (self.levels - 1) - (1 - self.low) / 2

    def encode(self, key: Key[Array, ""], k: Levels) -> Float[Array, "*event"]:
        """Returns x of the levels k [*event]."""
        return self.place(k, jax.random.uniform(key, k.shape) if self.dequantize else 0.5)

    def place(self, k: Levels, u: Event | float) -> Float[Array, "*event"]:
        """Returns the x at u in the cells of the levels k."""
        return ((1 - self.low) * (k + u) + self._offset) / (self.levels - 1) if self.levels else k

    def decode(self, x: Float[Array, "*event"]) -> Float[Array, "*event"] | UInt8[Array, "*event"]:
        """Returns the level k in whose cell x lies, as uint8."""
        if not self.levels:
            return x
        k_and_u = (x * (self.levels - 1) - self._offset) / (1 - self.low)
        return jnp.clip(jnp.floor(k_and_u), 0, self.levels - 1).astype(jnp.uint8)

    def display(self, k: np.ndarray) -> np.ndarray:
        """Returns the levels as 0..255, for a picture."""
        return k if not self.levels else np.round(k * (255 / (self.levels - 1))).astype(np.uint8)

    def bits_per_dim(self, log_prob: Scalar, size: int) -> Scalar:
        """-log2 p(k + u)/D = -log2 p(x)/D - log2(cell), in the mean a bound on -log2 P(k)/D (Theis et al. 2016, sec. 3.1).

        If the cell is 1/L or 2/L wide, the second term is log2 L or log2(L/2): the 8 and the 7 of the papers. For points it is
        -log2 p(x)/D alone.
        """
        return -log_prob / size / math.log(2) - (math.log2(self.cell) if self.levels else 0.0)


def scale(config: Config) -> Scaler:
    """Returns the scaler of a config's data."""
    return Scaler(config.data.levels, config.data.dequantize, {"symmetric": -1.0, "unit": 0.0}[config.data.range])
