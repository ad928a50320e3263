"""Normalisation: over groups of channels, the channels of a token, the batch, the pixels. Moments are taken in float32."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from models.cpu.materialized import materialized


def standardize(x: Float[Array, "..."], axes: Sequence[int], eps: float) -> Float[Array, "..."]:
    """(x - mean) / sqrt(var + eps) over `axes`, in float32 and returned in it."""
    x = x.astype(jnp.float32)
    centred = x - x.mean(axes, keepdims=True)
    return centred * jax.lax.rsqrt((centred**2).mean(axes, keepdims=True) + eps)


class GroupNorm(nnx.Module):
    """a standardize(x) + b over space and each of `groups` groups of channels (Wu & He 2018).

    `groups` None: the most of at least four channels, up to 32, that divide them (Song et al. 2021). Without `affine`, a = 1
    and b = 0.
    """

    def __init__(self, channels: int, groups: int | None = None, eps: float = 1e-6, affine: bool = True):
        self.groups, self.eps = groups or most_groups(channels), eps
        self.scale = nnx.Param(jnp.ones(channels)) if affine else None
        self.bias = nnx.Param(jnp.zeros(channels)) if affine else None

    def __call__(self, x: Float[Array, "B *space C"]) -> Float[Array, "B *space C"]:
        # Sums over the pixels of each channel, and the rest on [B, C]: in the backward pass they are such sums again.
        dtype, x, space = x.dtype, materialized(x).astype(jnp.float32), tuple(range(1, x.ndim - 1))
        mean = self._of_groups(x.mean(space, keepdims=True))
        var = self._of_groups(((x - mean) ** 2).mean(space, keepdims=True))
        a, b = jax.lax.rsqrt(var + self.eps), 0.0
        if self.scale is not None and self.bias is not None:
            a, b = a * self.scale[...], self.bias[...]
        return (a * x + (b - a * mean)).astype(dtype)

    def _of_groups(self, m: Float[Array, "B *ones C"]) -> Float[Array, "B *ones C"]:
        """The mean over the group of each channel."""
        grouped = m.reshape(len(m), self.groups, -1)
        return jnp.broadcast_to(grouped.mean(-1, keepdims=True), grouped.shape).reshape(m.shape)


class LayerNorm(nnx.Module):
    """a standardize(x) + b over the channels, the last axis (Ba et al. 2016). Without `affine`, a = 1 and b = 0."""

    def __init__(self, channels: int, eps: float = 1e-6, affine: bool = True):
        self.eps = eps
        self.scale = nnx.Param(jnp.ones(channels)) if affine else None
        self.bias = nnx.Param(jnp.zeros(channels)) if affine else None

    def __call__(self, x: Float[Array, "... C"]) -> Float[Array, "... C"]:
        return _scaled(standardize(x, (-1,), self.eps), self.scale, self.bias, x.dtype)


class BatchNorm(nnx.Module):
    """a standardize(x) + b over the batch at hand and the pixels of each channel (Ioffe & Szegedy 2015); a starts near 1."""

    def __init__(self, channels: int, eps: float = 1e-5, *, rngs: nnx.Rngs):
        self.eps = eps
        self.scale = nnx.Param(1 + 0.02 * jax.random.normal(rngs.params(), (channels,)))
        self.bias = nnx.Param(jnp.zeros(channels))

    def __call__(self, x: Float[Array, "B *space C"]) -> Float[Array, "B *space C"]:
        return _scaled(standardize(x, tuple(range(x.ndim - 1)), self.eps), self.scale, self.bias, x.dtype)


class InstanceNormPlus(nnx.Module):
    """gamma (standardize(x) + alpha m) + beta over the pixels of each channel; m its mean, standardised over the channels.

    InstanceNorm++ (Song & Ermon 2019, app. A.1), which keeps how the means of the channels differ; gamma multiplies both terms,
    and m has the unbiased variance, in their code. With `rungs`, gamma, alpha and beta are the row of a table that a label
    0 ... rungs - 1 of the noise selects.
    """

    def __init__(self, channels: int, rungs: int = 0, eps: float = 1e-5, *, rngs: nnx.Rngs):
        if channels < 2:
            raise ValueError("the mean of one channel has no variance: this norm needs a width of at least 2")
        self.channels, self.eps = channels, eps
        near_one = lambda *shape: 1 + 0.02 * jax.random.normal(rngs.params(), shape)
        if rungs:
            self.table = nnx.Param(jnp.concatenate([near_one(rungs, 2 * channels), jnp.zeros((rungs, channels))], axis=1))
        else:
            self.gamma, self.alpha = nnx.Param(near_one(channels)), nnx.Param(near_one(channels))
            self.beta = nnx.Param(jnp.zeros(channels))

    def __call__(self, x: Float[Array, "B H W C"], label: Int[Array, " B"] | None = None) -> Float[Array, "B H W C"]:
        if label is None:
            gamma, alpha, beta = self.gamma[...], self.alpha[...], self.beta[...]
        else:
            gamma, alpha, beta = jnp.split(self.table[label][:, None, None, :], 3, axis=-1)
        means = x.mean((1, 2), keepdims=True, dtype=jnp.float32)
        biased = self.channels / (self.channels - 1)  # variance = biased x the mean of the squares
        m = standardize(means, (-1,), self.eps / biased) / biased**0.5
        return (gamma * (standardize(x, (1, 2), self.eps) + alpha * m) + beta).astype(x.dtype)


def most_groups(channels: int) -> int:
    """The most groups of at least four channels, up to 32, that divide `channels`."""
    return max(g for g in range(1, min(32, max(channels // 4, 1)) + 1) if channels % g == 0)


def _scaled(standard: Array, scale: nnx.Param | None, bias: nnx.Param | None, dtype: jnp.dtype) -> Array:
    if scale is None or bias is None:
        return standard.astype(dtype)
    return (standard * scale[...] + bias[...]).astype(dtype)
