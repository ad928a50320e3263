"""The codec of phase space: data, and beside each of its numbers a velocity, or what else an augmented SDE has."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.scipy.stats import norm
from jaxtyping import Array, Key

from models.codec import Code, Codec
from sde_lib.augmented import AugmentedSDE
from sde_lib.base import Event, Scalar


def phase_space(sde: AugmentedSDE) -> Codec:
    """z = (x, v), with v ~ q the auxiliary variables of `sde` at t = 0: an event x [*event] as z [*event, k], of cost log q(v).

    log p(x) = log E_q[p(x, v)/q(v)] >= E_q[log p(x, v) - log q(v)], tighter with every draw of v, and exact if v is as
    independent of x under p as it is under q. Decoded, z is its x. Dockhorn et al. (2022), sec. 3.2.
    """

    def draw(params: tuple[()], key: Key[Array, ""], x: Event) -> Code:
        v = sde.auxiliary_std * jax.random.normal(key, (*x.shape, sde.k - 1))
        return jnp.concatenate([x[..., None], v], axis=-1)

    def encode(params: tuple[()], key: Key[Array, ""], x: Event) -> tuple[Code, Scalar]:
        z = draw(params, key, x)
        return z, norm.logpdf(z[..., 1:], scale=sde.auxiliary_std).sum()

    def decode(params: tuple[()], key: Key[Array, ""] | None, z: Code) -> Event:
        return z[..., 0]

    return Codec(lambda key, x: (), encode, decode, posterior=lambda params, x: x, draw=draw)
