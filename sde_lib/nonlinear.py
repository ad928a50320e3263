"""SDEs that are not linear: p(x_t | x_0) is not used, only drift, diffusion and prior are."""

from __future__ import annotations

import math

import flax.struct
import jax
import jax.numpy as jnp
from jax.scipy.stats import logistic
from jaxtyping import Array, Float, Key

from sde_lib.base import SDE, Event, NonNegative, Positive, Scalar


@flax.struct.dataclass
class LangevinSDE(SDE):
    """Langevin dynamics towards a prior p of your choice, which they leave as it is:

        dx = beta(t)/2 grad log p(x) dt + sqrt(beta(t)) dw,        beta(t) = beta_min + t (beta_max - beta_min)

    Required: `prior_sample`, `prior_log_prob`. Towards N(0, I) it is `VPSDE`, whose beta this is. The probability flow,
    dx/dt = beta(t)/2 grad log(p/p_t), descends KL(p_t || p) (Jordan, Kinderlehrer & Otto 1998), exponentially fast if p has a
    spectral gap: tails no heavier than exponential, and no modes far apart.
    """

    beta_min: NonNegative = 0.1
    beta_max: Positive = 20.0

    def drift(self, x: Event, t: Scalar) -> Event:
        """beta(t)/2 grad log p(x)."""
        return self.diffusion(t) ** 2 / 2 * jax.grad(self.prior_log_prob)(x)

    def diffusion(self, t: Scalar) -> Scalar:
        """sqrt(beta(t))."""
        return jnp.sqrt(self.beta_min + t * (self.beta_max - self.beta_min))


@flax.struct.dataclass
class LogisticSDE(LangevinSDE):
    """Langevin dynamics towards the logistic law of each coordinate, p(x) = sech^2(x/2s)/4s:

        dx = -beta(t)/2s tanh(x/2s) dt + sqrt(beta(t)) dw

    It is for data with exponential tails, which no flow of bounded slope makes of a normal law (Jaini et al. 2020): here scores
    stay bounded, and what is far comes back at a constant speed. It is also a yardstick for methods that know f and g alone,
    as its p(x_t | x_0) has a closed form, on which nothing here depends: in y = x/2s and the time tau = int beta/4s^2 dt it is
    dy = -tanh(y) dtau + dw, of a Schroedinger operator without reflection (Poeschl & Teller 1933), so that

        P(y > a | y_0) = (e^a Phi((y_0 - a - tau)/sqrt(tau)) + e^-a Phi((y_0 - a + tau)/sqrt(tau))) / (2 cosh a)

    `std`: the prior's standard deviation, pi s/sqrt(3).
    """

    std: Positive = 1.0

    def _scale(self) -> Scalar:
        return math.sqrt(3) / math.pi * self.std

    def prior_sample(self, key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "..."]:
        """x_1 of logistic coordinates."""
        return self._scale() * jax.random.logistic(key, shape)

    def prior_log_prob(self, x: Event) -> Scalar:
        """log p(x) = -2 log cosh(x/2s) - log 4s, summed over the event."""
        return logistic.logpdf(x, scale=self._scale()).sum()
