"""A network of images as one of their cosine codes."""

from __future__ import annotations

from typing import Any

import jax
from jaxtyping import Array

from models.codecs.cosine import frequencies, positions
from models.functional import Functional


def in_space(net: Functional) -> Functional:
    """C net(C^T z, c_noise), on cosine codes z = C x: the network sees images, and what it emits is coded.

    C is orthogonal, so that the noise of a code is that of its image. Hoogeboom & Salimans (2023), sec. 4.
    """

    def apply(params: Any, z: Array, *others: Any) -> Array:
        return jax.vmap(frequencies)(net.apply(params, jax.vmap(positions)(z), *others))

    return Functional(net.init, apply)
