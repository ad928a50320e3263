"""The likelihood that a flow is trained by."""

from __future__ import annotations

from typing import Any

from jax.scipy.stats import norm
from jaxtyping import Array, Key

from models.codec import Codec
from sde_lib.base import Event, Scalar


def normalizing(bijection: Codec) -> Codec:
    """The bijection, trained to make N(0, I) of the data, by

        -log p(x) = -log|det dz/dx| + |z|^2/2 + D/2 log 2 pi.

    Dinh et al. (2017), eqs. 2-3. The distortion of a flow is nothing, as z determines x, so that there is no rate to weigh
    against it: the loss is this one at every beta.
    """

    def loss(params: Any, key: Key[Array, ""], x: Event, beta: Scalar) -> Scalar:
        z, cost = bijection.encode(params, key, x)
        return cost - norm.logpdf(z).sum()

    return bijection._replace(loss=loss)
