"""Several SDEs as one, of which a traced number chooses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sdes import ISOTROPIC

from sde_lib.one_of import OneOf

SDES = tuple(ISOTROPIC.values())
T = jnp.linspace(0.02, 0.98, 7)


def curves(sde):
    """All that programs ask of an SDE at times t, and at a state x."""
    x = jnp.array([0.3, -1.2])
    of_t = {name: jax.vmap(getattr(sde, name))(T) for name in ("alpha", "sigma", "log_snr", "level", "diffusion", "spread")}
    drift = jax.vmap(sde.drift, (None, 0))(x, T)
    way = jax.vmap(lambda t: sde.posterior(x, 2 * x, t, t / 2))(T)
    back = jax.vmap(sde.time_at)(of_t["log_snr"])
    ends = sde.t_min, sde.prior_mean, sde.prior_log_prob(x), sde.prior_kl(x)
    return of_t, drift, way, back, jax.tree.map(jnp.asarray, ends)


program = jax.jit(lambda which: curves(OneOf(which, SDES)))


@pytest.mark.parametrize("name", ISOTROPIC)
def test_it_is_the_one_whose_number_it_has(name):
    which = list(ISOTROPIC).index(name)
    ours, own = program(jnp.int32(which)), jax.jit(lambda: curves(SDES[which]))()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6), ours, own)
    assert program._cache_size() == 1
