"""The discretised mixture of logistics of PixelCNN++ (Salimans et al. 2017) as a likelihood."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import log_sigmoid
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, Key

from models.codecs.levels import LevelCount, Levels, Low
from models.codecs.likelihoods import Emitted, Likelihood
from sde_lib.base import Count, Event, Scalar


class Mixture(NamedTuple):
    """K components of laws of C channels, at each position of space."""

    log_pi: Float[Array, "*space K"]
    mean: Float[Array, "*space K C"]
    scale: Float[Array, "*space K C"]
    A: Float[Array, "*space K C C"]


def logistic_mixture(levels: LevelCount = 256, mixtures: Count = 10, low: Low = -1.0) -> Likelihood:
    """P(x | z) = sum_k pi_k prod_c P_kc(cell of x_c) at each position, P_kc logistic of mean m_kc + sum_{d < c} A_kcd x_d.

    Each component emits a logit, C means, C log scales and C (C - 1)/2 coefficients a, A = tanh(a). Scales are at least e^-7;
    `levels` are on [`low`, 1], their first and last cell open outward. Draws are levels; the mean is that of the logistics, its
    channels held to [low, 1] one after the other. Salimans et al. (2017), sec. 2.1 and 2.2.
    """
    grid = Levels(levels, low)

    def read(emitted: Emitted) -> Mixture:
        each = emitted.reshape(*emitted.shape[:-1], mixtures, -1)
        c = (math.isqrt(8 * each.shape[-1] + 1) - 3) // 2  # the root of `_numbers`
        logit, mean, log_scale, a = jnp.split(each, (1, 1 + c, 1 + 2 * c), axis=-1)
        A = jnp.zeros((*a.shape[:-1], c, c)).at[..., *np.tril_indices(c, -1)].set(jnp.tanh(a))
        return Mixture(jax.nn.log_softmax(logit[..., 0]), mean, jnp.exp(jnp.maximum(log_scale, -7.0)), A)

    def log_prob(own: tuple[()], emitted: Emitted, x: Event) -> Scalar:
        law, x = read(emitted), grid.nearest(x)
        first, last = (end[..., None, :] for end in grid.ends(x))
        d = (x[..., None, :] - law.mean - jnp.einsum("...kcd,...d->...kc", law.A, x)) / law.scale
        log_mass = _log_logistic_cell(d, grid.width / (2 * law.scale), first, last).sum(-1)
        return logsumexp(law.log_pi + log_mass, axis=-1).sum() - x.size * math.log(grid.width)

    def mean(own: tuple[()], emitted: Emitted) -> Event:
        law = read(emitted)
        of_each = _in_turn(law, lambda c, m: jnp.clip(m, low, 1.0))
        return jnp.einsum("...k,...kc->...c", jnp.exp(law.log_pi), of_each)

    def draw(own: tuple[()], key: Key[Array, ""], emitted: Emitted) -> Event:
        law, (which_key, noise_key) = read(emitted), jax.random.split(key)
        n = law.scale * jax.random.logistic(noise_key, law.mean.shape)
        of_each = _in_turn(law, lambda c, m: grid.nearest(m + n[..., c]))
        which = jax.random.categorical(which_key, law.log_pi)[..., None, None]
        return jnp.take_along_axis(of_each, which, axis=-2)[..., 0, :]

    return Likelihood(lambda c: mixtures * _numbers(c), lambda: (), log_prob, mean, draw)


def _numbers(c: int) -> int:
    """1 + c + c + c (c - 1)/2, of a component."""
    return (c + 1) * (c + 2) // 2


def _in_turn(law: Mixture, value: Callable[[int, Array], Array]) -> Float[Array, "*space K C"]:
    """x_c = value(c, m_c + sum_{d < c} A_cd x_d), one channel after the other."""
    x = jnp.zeros_like(law.mean)
    for c in range(x.shape[-1]):
        x = x.at[..., c].set(value(c, law.mean[..., c] + jnp.sum(law.A[..., c, :] * x, axis=-1)))
    return x


def _log_logistic_cell(d: Array, half: Array, first: Array, last: Array) -> Array:
    """log(sigmoid(b) - sigmoid(a)) of a cell from a = d - half to b = d + half, open to -inf if `first`, to inf if `last`.

    sigmoid(b) - sigmoid(a) = sigmoid(b) sigmoid(-a) (1 - e^(a - b)), of which no factor cancels. So a narrow cell, or one far
    out, needs no approximation; the source has the density there, log p - log 127.5.
    """
    below, above = log_sigmoid(d + half), log_sigmoid(half - d)
    both = jnp.log(-jnp.expm1(-2 * half))
    return jnp.where(last, 0.0, below) + jnp.where(first, 0.0, above) + jnp.where(first | last, 0.0, both)
