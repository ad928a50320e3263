"""log_prob against densities in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle import GAUSSIAN, MIXTURE

from samplers import encode, log_prob
from sde_lib import VPSDE, TableVPSDE


@pytest.mark.parametrize("data", [GAUSSIAN, MIXTURE], ids=["gaussian", "mixture"])
def test_log_prob_is_the_density(sde, data):
    """log p_{t_min}(x) of the exact score, once the prior's own error at the latent is taken out."""
    t_min = max(sde.t_min, 1e-3)

    def gap(x):
        encoding = encode(sde, data.score(sde), x, t_min=t_min, rtol=1e-5, atol=1e-5)
        prior_error = sde.prior_log_prob(encoding.latent) - data.log_prob(sde, encoding.latent, 1.0)
        return encoding.log_prob - prior_error - data.log_prob(sde, x, t_min), prior_error

    gaps, prior_errors = jax.jit(jax.vmap(gap))(jnp.array([[0.9, -0.1], [0.0, 0.3], [1.2, 0.4]]))
    kinks = isinstance(sde, TableVPSDE)  # where its drift jumps, a solver of order five is one of order one
    np.testing.assert_allclose(gaps, 0, atol=2e-2 if kinks else 5e-3)
    np.testing.assert_allclose(prior_errors, 0, atol=0.1)


def test_hutchinson_is_unbiased():
    """The mean over probes is the exact log-density, within four standard errors."""
    sde, x = VPSDE(), jnp.array([0.2, 0.4])
    exact = log_prob(sde, MIXTURE.score(sde), x)
    keys = jax.random.split(jax.random.key(0), 400)
    probed = jax.jit(jax.vmap(lambda key: log_prob(sde, MIXTURE.score(sde), x, key=key)))(keys)
    assert float(probed.std()) > 1e-4
    assert float(probed.mean()) == pytest.approx(float(exact), abs=4 * float(probed.std()) / 20)


def test_the_density_integrates_to_one():
    """Over a fine grid of the plane."""
    sde, side = VPSDE(), jnp.linspace(-3, 3, 61)
    points = jnp.stack(jnp.meshgrid(side, side), axis=-1).reshape(-1, 2)
    density = jnp.exp(jax.jit(jax.vmap(lambda x: log_prob(sde, MIXTURE.score(sde), x)))(points))
    assert float(density.sum()) * 0.01 == pytest.approx(1.0, abs=0.02)
