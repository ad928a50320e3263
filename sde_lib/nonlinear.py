"""An SDE that is not linear: p(x_t | x_0) is not known, only f and g are."""

import jax
import jax.numpy as jnp

from sde_lib.base import SDE


class Nonlinear(SDE):
    """dx = -x^3 dt + dw, the least that an SDE is: drift, diffusion and prior."""

    def drift(self, x, t):
        return -(x**3)

    def diffusion(self, t):
        return jnp.ones(())

    def prior_sample(self, key, shape):
        return jax.random.normal(key, shape)

    def prior_log_prob(self, x):
        return -jnp.sum(x**2) / 2
