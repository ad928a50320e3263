"""SDEs for training to find: whatever their numbers are, the log-SNR falls."""

from __future__ import annotations

from typing import Annotated

import flax.struct
import jax
import jax.numpy as jnp
from annotated_types import Len
from jaxtyping import Array, Float

from sde_lib.base import Scalar
from sde_lib.linear import SigmoidVP

Knots = Annotated[tuple[float, ...], Len(2, 1024)] | Float[Array, " knots"]


@flax.struct.dataclass
class LearnedVPSDE(SigmoidVP):
    """VP whose log-SNR falls from end to end by a clock c, alpha^2 = sigmoid(lambda) = 1 - sigma^2:

        lambda(t) = log_snr_max + (log_snr_min - log_snr_max) c(t),        c(t) = int_0^t r / int_0^1 r

    The rate r is linear between its values softplus(knots), at even times from 0 to 1. So c is a parabola between two knots,
    and `time_at` the root of one. With equal knots it is `LogLinearVPSDE`. Kingma et al. (2021), sec. 3.2, whose monotone
    network has no inverse and does not hold the ends. `losses.continuous_vlb` says by what they are learned.
    """

    log_snr_max: Scalar = 13.3
    log_snr_min: Scalar = -5.0
    knots: Knots = (0.0,) * 17

    def _clock(self) -> tuple[Float[Array, " knots"], Float[Array, " knots"]]:
        """dc/du at the knots, where u counts intervals between them, and c there."""
        rate = jax.nn.softplus(jnp.asarray(self.knots))
        c = jnp.concatenate([jnp.zeros(1), jnp.cumsum((rate[1:] + rate[:-1]) / 2)])
        return rate / c[-1], c / c[-1]

    def log_snr(self, t: Scalar) -> Scalar:
        """log_snr_max + (log_snr_min - log_snr_max) c(t)."""
        rate, c = self._clock()
        u = jnp.asarray(t) * (len(c) - 1)
        j = jnp.clip(jnp.floor(u), 0, len(c) - 2).astype(int)
        u = u - j
        c_t = c[j] + u * (rate[j] + u * (rate[j + 1] - rate[j]) / 2)
        return self.log_snr_max + (self.log_snr_min - self.log_snr_max) * c_t

    def time_at(self, log_snr: Scalar) -> Scalar:
        """The t with c(t) = (lambda - log_snr_max)/(log_snr_min - log_snr_max): the root, in the form that does not cancel."""
        rate, c = self._clock()
        c_t = (log_snr - self.log_snr_max) / (self.log_snr_min - self.log_snr_max)
        j = jnp.clip(jnp.searchsorted(c, c_t, side="right") - 1, 0, len(c) - 2)
        rest = c_t - c[j]
        last = jnp.sqrt(jnp.maximum(rate[j] ** 2 + 2 * (rate[j + 1] - rate[j]) * rest, 0.0))  # rounding, if the rate is small
        return (j + 2 * rest / (rate[j] + last)) / (len(c) - 1)
