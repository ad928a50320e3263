"""The affine codec: a scale of data or codes that is known beforehand."""

from __future__ import annotations

from typing import Annotated

import jax.numpy as jnp
from annotated_types import Gt
from jax.typing import ArrayLike
from jaxtyping import Array, Key

from models.codec import Codec
from sde_lib.base import Event, Scalar


def affine(mean: ArrayLike = 0.0, std: Annotated[ArrayLike, Gt(0)] = 1.0) -> Codec:
    """z = (x - mean)/std, and x = mean + std z: cost = -log |det dz/dx| = sum log std.

    `mean`, `std`: constants of any shape that broadcasts to that of x: one number, one for each channel, or for each element.
    With those of many codes z is standardised; Rombach et al. (2022)'s latents are at std = 1/0.18215.
    """
    m, s = jnp.asarray(mean), jnp.asarray(std)

    def encode(params: tuple[()], key: Key[Array, ""], x: Event) -> tuple[Event, Scalar]:
        return (x - m) / s, jnp.sum(jnp.broadcast_to(jnp.log(s), x.shape))

    def decode(params: tuple[()], key: Key[Array, ""] | None, z: Event) -> Event:
        return m + s * z

    return Codec(lambda key, x: (), encode, decode)
