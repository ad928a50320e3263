"""The bound of a diffusion whose schedule depends on a latent of the example."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import Array, Key

from losses.continuous_vlb import continuous_vlb
from losses.dsm import Loss
from sde_lib.base import Event, LinearSDE, Positive, Scalar, Score

Latent = Any
"""A tree of arrays."""


def latent_schedule(
    encode: Callable[[Key[Array, ""], Event], tuple[Latent, Scalar]],
    schedule: Callable[[Latent], LinearSDE],
    score: Callable[[LinearSDE, Latent], Score],
    width: Positive | None = 2 / 255,
    low: Scalar = -1.0,
) -> Loss:
    """l(x_0, t) = l_z(x_0, t) + KL(q(z | x_0) || p(z))/(D (1 - t_min)), l_z = `continuous_vlb` under the SDE of z ~ q(z | x_0).

    `encode`(key, x_0) -> (z, KL in nats); `schedule`(z) is an SDE, such as a `PolynomialVPSDE` whose a, b and c a network makes
    of z; `score`(sde, z) hears z. The integral over t bounds -log p(x_0)/D of the model that draws z ~ p(z), and x_0 given z on
    the SDE of z. Its gradient trains encoder, schedule and score: Sahoo et al. (2024, MuLAN), sec. 3. If lambda is a number for
    all coordinates, the encoder descends the variance by `continuous_vlb`, too; arrays have no such gradient. `width` and `low`
    are those of `reconstruction_term`. Returns `loss(key, x_0, t)`.
    """

    def loss(key: Key[Array, ""], x_0: Event, t: Scalar) -> Scalar:
        latent_key, noise_key = jax.random.split(key)
        z, kl = encode(latent_key, x_0)
        sde = schedule(z)
        bound = continuous_vlb(sde, score(sde, z), width, low=low)(noise_key, x_0, t)
        return bound + kl / (x_0.size * (1 - sde.t_min))

    return loss
