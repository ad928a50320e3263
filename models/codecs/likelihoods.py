"""Likelihoods p(x | z): laws of x whose parameters a decoder emits."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.stats import norm
from jaxtyping import Array, Float, Key

from models.codecs.levels import LevelCount, Levels, Low
from sde_lib.base import Event, Positive, Scalar
from sde_lib.cells import log_cell

Emitted = Float[Array, "*emitted"]
"""What the decoder emits."""


class Likelihood(NamedTuple):
    """A law of x [*space, C] by its parameters: those `emitted` [*space, channels(C)], and those that are not, `own`.

    channels(C) -> int
    init() -> own                            () if all are emitted
    log_prob(own, emitted, x) -> nats        a log-density, summed over x
    mean(own, emitted) -> x
    draw(own, key, emitted) -> x

    A law of L grey levels on [low, 1] is a density too, which is constant on each cell, (1 - low)/(L - 1) wide:
    log p(x) = log P(level of x) - D log width. So it takes x dequantised or not, and bits/dim are those of the levels if the
    width is accounted for as for any density (`Scaler.bits_per_dim`, or the cost of `affine`).
    """

    channels: Callable[[int], int]
    init: Callable[[], Any]
    log_prob: Callable[[Any, Emitted, Event], Scalar]
    mean: Callable[[Any, Emitted], Event]
    draw: Callable[[Any, Key[Array, ""], Emitted], Event]


def gaussian(std: Positive | None = None) -> Likelihood:
    """p(x | z) = N(x; emitted, std^2 I); `std` None: one number for all x, which is learned and starts at 1.

    The most likely std^2 is the mean squared error, so that no weight of the distortion is to be tuned: the sigma-VAE of Rybkin
    et al. (2021).
    """
    init, std_of = _deviation(std)
    return Likelihood(
        channels=lambda c: c,
        init=init,
        log_prob=lambda own, emitted, x: norm.logpdf(x, emitted, std_of(own)).sum(),
        mean=lambda own, emitted: emitted,
        draw=lambda own, key, emitted: emitted + std_of(own) * jax.random.normal(key, emitted.shape),
    )


def discretized_gaussian(levels: LevelCount = 256, low: Low = -1.0, std: Positive | None = None) -> Likelihood:
    """P(level | z) = the mass of N(emitted, std^2 I) on the level's cell, those of the first and the last open outward.

    `levels` on [`low`, 1]; `std` as of `gaussian`. The mean is that of the Gaussian, within [low, 1]. Ho et al. (2020), eq. 13.
    """
    grid, (init, std_of) = Levels(levels, low), _deviation(std)

    def log_prob(own: Any, emitted: Emitted, x: Event) -> Scalar:
        std, x = std_of(own), grid.nearest(x)
        log_mass = log_cell((x - emitted) / std, grid.width / (2 * std), *grid.ends(x))
        return log_mass.sum() - x.size * math.log(grid.width)

    def draw(own: Any, key: Key[Array, ""], emitted: Emitted) -> Event:
        return grid.nearest(emitted + std_of(own) * jax.random.normal(key, emitted.shape))

    return Likelihood(lambda c: c, init, log_prob, lambda own, emitted: jnp.clip(emitted, low, 1.0), draw)


def bernoulli(low: Low = -1.0) -> Likelihood:
    """P(x = 1 | z) = sigmoid(emitted) = 1 - P(x = low | z), for x of two levels; grey ones count as the nearer of the two.

    Kingma & Welling (2014), app. C.1.
    """
    grid = Levels(2, low)

    def log_prob(own: tuple[()], emitted: Emitted, x: Event) -> Scalar:
        _, last = grid.ends(x)
        return jax.nn.log_sigmoid(jnp.where(last, emitted, -emitted)).sum() - x.size * math.log(grid.width)

    def mean(own: tuple[()], emitted: Emitted) -> Event:
        return low + grid.width * jax.nn.sigmoid(emitted)

    def draw(own: tuple[()], key: Key[Array, ""], emitted: Emitted) -> Event:
        return low + grid.width * jax.random.bernoulli(key, jax.nn.sigmoid(emitted))

    return Likelihood(lambda c: c, lambda: (), log_prob, mean, draw)


def _deviation(std: Positive | None) -> tuple[Callable[[], Any], Callable[[Any], Scalar]]:
    """Returns `init` of the own parameters, and std as a function of them: they are log std, or () if `std` is fixed."""
    if std is None:
        return lambda: jnp.zeros(()), jnp.exp
    return lambda: (), lambda own: std
