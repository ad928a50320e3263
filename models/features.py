"""The features of a network that was trained to see: what a perceptual distance compares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array

from models.functional import pure
from sde_lib.base import Event, Scalar


def features(
    net: Callable[..., nnx.Module], c_in: Scalar = 1.0, c_noise: Scalar = 0.0
) -> Callable[[Any, Event], tuple[Array, ...]]:
    """features(params, x) -> (f_1, ..., f_L), each [*space, C_l], by the method of that name of `net`, from c_in x at c_noise.

    `net`: an NNX class or a partial of one, as for `functional`; of `Classifier` or `VGG`, say. `c_in` and `c_noise` are those
    of the noise level at which a network of noisy images is to look. Raises ValueError if it has no such method.
    """
    _, module = pure(net)

    def of(params: Any, x: Event) -> tuple[Array, ...]:
        whole: Any = module(params, x.shape)
        if not hasattr(whole, "features"):
            raise ValueError(f"{type(whole).__name__} has no method `features`: take Classifier")
        return tuple(f[0] for f in whole.features(jnp.asarray(c_in * x)[None], jnp.asarray(c_noise)[None]))

    return of
