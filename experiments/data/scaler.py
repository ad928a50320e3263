"""The scaler maps grey levels and floats to the numbers that a network sees, and back."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, UInt8

from experiments.config.schema import Config
from experiments.data.moments import Moments
from sde_lib.base import Event, Scalar

Levels = UInt8[Array, "*event"] | Event


class Scaler(NamedTuple):
    """The map from an example k, as it is in the data, to the x that a network sees:

        x = low + (1 - low)(k + u - 1/2)/(L - 1)    for grey levels k in 0..L-1
        x = (k - mean)/std                          for floats k, where `levels` is 0; without `moments`, x = k

    At u = 1/2 the x of levels is in [low, 1]; u ~ U[0, 1) dequantises. `low` is -1, or 0 for networks that were trained on
    [0, 1]. `moments` are those of each channel, or one mean and one std for all.
    """

    levels: int
    dequantize: bool
    low: float = -1.0
    moments: Moments | None = None

    @property
    def cell(self) -> float:
        """The width in x of a unit of k: of a level; of floats the geometric mean of 1/std over the channels."""
        if self.levels:
            return (1 - self.low) / (self.levels - 1)
        return 1.0 if self.moments is None else math.exp(-np.log(self.moments.std).mean())

    @property
    def _offset(self) -> float:
        """(L - 1) x at k + u = 0."""
        return self.low * (self.levels - 1) - (1 - self.low) / 2

    def encode(self, key: Key[Array, ""], k: Levels) -> Float[Array, "*event"]:
        """Returns x of the example k [*event]."""
        return self.place(k, jax.random.uniform(key, k.shape) if self.dequantize else 0.5)

    def place(self, k: Levels, u: Event | float) -> Float[Array, "*event"]:
        """Returns the x at u in the cells of the levels k; of floats k, which have no cells, their x."""
        if self.levels:
            return ((1 - self.low) * (k + u) + self._offset) / (self.levels - 1)
        if self.moments is None:
            return k
        mean, std = np.asarray(self.moments, np.float32)
        return (k - mean) / std

    def decode(self, x: Float[Array, "*event"]) -> Float[Array, "*event"] | UInt8[Array, "*event"]:
        """Returns the level k in whose cell x lies, as uint8; of floats k = mean + std x."""
        if not self.levels:
            if self.moments is None:
                return x
            mean, std = np.asarray(self.moments, np.float32)
            return x * std + mean
        k_and_u = (x * (self.levels - 1) - self._offset) / (1 - self.low)
        return jnp.clip(jnp.floor(k_and_u), 0, self.levels - 1).astype(jnp.uint8)

    def display(self, k: np.ndarray) -> np.ndarray:
        """Returns the levels as 0..255, for a picture; floats as they are."""
        if not self.levels:
            return k
        grey = np.round(np.arange(self.levels) * (255 / (self.levels - 1))).astype(np.uint8)
        return grey[k]  # k as float64 would take eight times its memory

    def log_prob(self, log_prob: Scalar, size: int) -> Scalar:
        """Returns log p(k) = log p(x) + D log(cell) in nats, in the units of the data, for k of D = `size` numbers."""
        return log_prob + size * math.log(self.cell)

    def bits_per_dim(self, log_prob: Scalar, size: int) -> Scalar:
        """-log2 p(k + u)/D = -log2 p(x)/D - log2(cell), in the mean a bound on -log2 P(k)/D (Theis et al. 2016, sec. 3.1).

        If the cell is 1/L or 2/L wide, the second term is log2 L or log2(L/2): the 8 and the 7 of the papers. For floats it is
        the mean of log2 std over the channels: the bits are those of the density in the units of the data.
        """
        return -log_prob / size / math.log(2) - math.log2(self.cell)


def scale(config: Config, moments: Moments | None = None) -> Scaler:
    """Returns the scaler of a config's data; `moments`: those of each channel, which data.standardise may ask for."""
    data = config.data
    by = moments.over(data.standardise) if moments else None
    return Scaler(data.levels, data.dequantize, {"symmetric": -1.0, "unit": 0.0}[data.range], by)
