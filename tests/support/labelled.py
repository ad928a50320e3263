"""A labelled mixture: p(x | y) and p(y | x_t) in closed form."""

import jax.numpy as jnp
from oracle import MIXTURE, Mixture

LABELLED = Mixture(MIXTURE.means[:1], MIXTURE.std, jnp.ones(1))
"""p(x | y), of the component with weight 0.3."""


def log_prob_y(sde):
    """log p(y | x_t) = log p(y) + log p_t(x | y) - log p_t(x)."""
    return lambda x, t: jnp.log(MIXTURE.weights[0]) + LABELLED.log_prob(sde, x, t) - MIXTURE.log_prob(sde, x, t)
