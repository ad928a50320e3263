"""The network of a hierarchical VAE: features up a pyramid of resolutions, and groups of codes down it."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from models.layers.affine import Conv, Fields, linear
from models.layers.norm import GroupNorm
from models.layers.pyramid import ANY, pyramid
from models.networks.autoencoder import Doubling, Residual
from models.ranges import Depth, Multipliers, Width


class Moments(nnx.Module):
    """(mu, log sigma) of a normal law at each position, both held to (-5, 5) by 5 tanh(./5)."""

    def __init__(self, channels_in: int, latent: int, *, rngs: nnx.Rngs):
        self.map = linear(channels_in, 2 * latent, rngs=rngs)

    def __call__(self, h: Fields) -> tuple[Fields, Fields]:
        mu, log_sigma = jnp.split(5 * jnp.tanh(self.map(nnx.silu(h)) / 5), 2, axis=-1)
        return mu, log_sigma


class LadderGroup(nnx.Module):
    """One group of codes: its prior of the state s, the residual of its posterior, of s and features, and s with the codes.

    `finer`: the channels at twice the resolution, to which the merged state goes; 0: it stays.
    """

    def __init__(self, channels: int, latent: int, top: bool, finer: int, axes: int, *, rngs: nnx.Rngs):
        self.prior = None if top else Moments(channels, latent, rngs=rngs)
        self.posterior = Moments(2 * channels, latent, rngs=rngs)
        self.codes, self.block = linear(latent, channels, rngs=rngs), Residual(channels, axes, rngs=rngs)
        self.double = Doubling(channels, finer, axes, rngs=rngs) if finer else None

    def residual(self, s: Fields, h: Fields) -> tuple[Fields, Fields]:
        """(d_mu, log d_sigma)."""
        return self.posterior(jnp.concatenate([s, h], axis=-1))

    def merge(self, s: Fields, z: Fields) -> Fields:
        """The state below these codes."""
        s = self.block(s + self.codes(z))
        return s if self.double is None else self.double(s)


class Ladder(nnx.Module):
    """`groups` of codes at each resolution, each of `latent` channels, the top at the coarsest.

    `shape`: of an event, an image [H, W, C], a signal [L, C] or a volume [D, H, W, C]; `channels`: those that it emits.
    `width`: channels at full resolution; `multipliers`: of the width, one per resolution, each half the one before.
    The form is NVAE's (Vahdat & Kautz 2020), without its depthwise convolutions, squeeze and excitation, and spectral norms.
    Raises ValueError if the shape cannot be halved.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        channels: int,
        width: Width = 32,
        multipliers: Multipliers = (1, 2),
        groups: Depth = 2,
        latent: Width = 4,
        *,
        rngs: nnx.Rngs,
    ):
        axes, stages = len(shape) - 1, pyramid(shape, width, multipliers, groups, (), axes=ANY)
        conv, (finest, top) = partial(Conv, axes=axes, rngs=rngs), (stages[0], stages[-1])
        self.first = conv(shape[-1], finest.channels)
        self.halve = nnx.List([conv(fine.channels, coarse.channels, stride=2) for fine, coarse in pairwise(stages)])
        self.blocks = nnx.List([nnx.List([Residual(n.channels, axes, rngs=rngs) for _ in range(groups)]) for n in stages])
        self.top = nnx.Param(jax.random.normal(rngs.params(), (*top.sides, top.channels)))
        down, falling = [], stages[::-1]
        for n, fine in zip(falling, [*falling[1:], None], strict=True):
            for j in range(groups):
                finer = fine.channels if fine and j == groups - 1 else 0
                down.append(LadderGroup(n.channels, latent, not down, finer, axes, rngs=rngs))
        self.groups = nnx.List(down)
        self.norm, self.last = GroupNorm(finest.channels), conv(finest.channels, channels)

    def features(self, x: Fields) -> tuple[Fields, ...]:
        """The features of each group, from the top down."""
        h, features = self.first(x), []
        for i, blocks in enumerate(self.blocks):
            h = self.halve[i - 1](h) if i else h
            for block in blocks:
                h = block(h)
                features.append(h)
        return tuple(reversed(features))

    def start(self) -> Float[Array, "1 *space C"]:
        """The state above all codes, which is learned."""
        return self.top[...][None]

    def emit(self, s: Fields) -> Fields:
        """The parameters of the likelihood."""
        return self.last(nnx.silu(self.norm(s)))
