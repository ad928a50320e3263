"""The non-leaky augmentation of EDM (Karras et al. 2022, app. F.2): a random map of an image, of which the network hears.

    x -> T A R S F x

F mirrors x, S scales it, R turns it, A stretches it along one direction and squeezes it across, and T shifts it. The labels say
which map it was, and are zero for the identity. The network is sampled at zero, so that what the map does never leaks.
"""

from __future__ import annotations

import math
from functools import partial, reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from experiments.data.resampling import resampled
from sde_lib.base import Scalar

LABELS = 9
"""The number of labels of a map."""
SCALE, STRETCH, SHIFT = 0.2, 0.2, 0.125
"""The standard deviations of log2 of the factors of S and of A, and of T in widths and heights."""


class ImageMap(NamedTuple):
    """T A R S F, by the numbers that it is drawn by. At zeros it is the identity.

    `flips` [2]: 1 to mirror along the width, and along the height. `scale`, `stretch`, `shift` [2]: in standard deviations; T
    goes to the right and down. `angle`: of R, and `direction`: in which A stretches; radians, counter-clockwise.
    """

    flips: Float[Array, " 2"]
    scale: Scalar
    angle: Scalar
    stretch: Scalar
    direction: Scalar
    shift: Float[Array, " 2"]

    @property
    def labels(self) -> Float[Array, " 9"]:
        """The labels, in the order of the published code, whose networks know them by it.

        Two maps may share those of A: to squeeze in the opposite direction undoes the stretch, and is called the same.
        """
        turn = jnp.cos(self.angle) - 1, jnp.sin(self.angle)
        stretch = self.stretch * jnp.cos(self.direction), self.stretch * jnp.sin(self.direction)
        return jnp.stack([*self.flips, self.scale, *turn, *stretch, *self.shift])

    @property
    def inverse(self) -> Float[Array, "2 2"]:
        """The inverse of A R S F, on points (right, down)."""
        s = jnp.exp2(STRETCH * self.stretch)
        unstretch = _rotation(self.direction), jnp.diag(jnp.stack([1 / s, s])), _rotation(-self.direction)
        factors = jnp.diag(1 - 2 * self.flips), _rotation(-self.angle), *unstretch
        return reduce(partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST), factors) / jnp.exp2(SCALE * self.scale)


def draw_map(key: Key[Array, ""], p: float) -> ImageMap:
    """Draws S, R, A, T and the mirror along the height each with probability p, and the one along the width always.

    A mirror then has an even chance. Half of the stretches are along the width, the others in any direction.
    """
    kinds, coins, normals, angles = jax.random.split(key, 4)
    flip, scale, turn, stretch, shift = jax.random.bernoulli(kinds, p, (5,))
    mirror_x, mirror_y, oblique = jax.random.bernoulli(coins, 0.5, (3,))
    z = jax.random.normal(normals, (4,))
    angle, direction = jax.random.uniform(angles, (2,), minval=-math.pi, maxval=math.pi)
    flips = jnp.stack([mirror_x, flip & mirror_y]).astype(z.dtype)
    return ImageMap(flips, scale * z[0], turn * angle, stretch * z[1], (stretch & oblique) * direction, shift * z[2:])


def mapped(x: Float[Array, "H W C"], by: ImageMap) -> Float[Array, "H W C"]:
    """Returns T A R S F x."""
    height, width, _ = x.shape
    return resampled(x, by.inverse, SHIFT * by.shift * jnp.array([width, height]))


def augmented(key: Key[Array, ""], x: Float[Array, "H W C"], p: float) -> tuple[Float[Array, "H W C"], Float[Array, " 9"]]:
    """Returns the image under a map that `draw_map` draws, and the labels of that map."""
    by = draw_map(key, p)
    return mapped(x, by), by.labels


def _rotation(angle: Scalar) -> Float[Array, "2 2"]:
    """The rotation of points (right, down), counter-clockwise to the eye."""
    c, s = jnp.cos(angle), jnp.sin(angle)
    return jnp.stack([jnp.stack([c, s]), jnp.stack([-s, c])])
