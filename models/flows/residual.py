"""A residual network as a bijection."""

from __future__ import annotations

from functools import partial
from typing import Any

from flax import nnx
from jaxtyping import Array, Key

from models.codec import Codec
from models.flows import log_det
from models.flows.contraction import inverse
from models.flows.shallow import Shallow
from models.flows.spectral import contractive
from models.functional import functional
from models.ranges import Width
from sde_lib.base import Event, Scalar


def lip_swish(x: Array) -> Array:
    """silu(x)/1.1, whose slopes are within +-1, and whose curvature is never zero for long. Chen et al. (2019), sec. 3.3."""
    return nnx.silu(x) / 1.1


def residual(width: Width, lipschitz: float, exact: int, terms: int, stop: float) -> Codec:
    """z = x + phi(x), phi a `Shallow` network of this `width` with Lip(phi) <= `lipschitz` < 1; log|det(I + dphi/dx)|.

    Behrmann et al. (2019); the bound on Lip(phi) is that of `contractive`, and holds at all parameters. `exact`: the most
    dimensions of an event at which the log-determinant is exact; beyond, it is `roulette`'s estimate, with `terms` and `stop`.
    `encode` draws it by its key.
    """
    net = functional(partial(Shallow, width=width, activation=lip_swish))

    def phi(params: Any, x: Event) -> Event:
        return net.apply(params, x[None], None, None, None)[0]

    def encode(params: Any, key: Key[Array, ""], x: Event) -> tuple[Event, Scalar]:
        params = contractive(params, x.shape[:-1], lipschitz)
        change = log_det.exact(phi, params, x) if x.size <= exact else log_det.roulette(key, phi, params, x, terms, stop)
        return x + phi(params, x), -change

    def decode(params: Any, key: Key[Array, ""] | None, z: Event) -> Event:
        return inverse(partial(phi, contractive(params, z.shape[:-1], lipschitz)), z, lipschitz)

    return Codec(net.init, encode, decode)
