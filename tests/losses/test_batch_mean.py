"""batch_mean against the loop over examples, and against an integral in closed form."""

import jax
import jax.numpy as jnp
import pytest
from oracle import GAUSSIAN
from slow import one_in

import losses
from sde_lib import VPSDE

DRAWS = [losses.uniform, losses.importance, losses.log_normal, losses.loss_aware]


@one_in(4)
@pytest.mark.parametrize("times", DRAWS, ids=lambda times: times.__name__)
def test_it_is_the_mean_over_the_examples(times):
    """1/n sum_i l(x_i, t_i) / p(t_i), one example at a time."""
    sde, key = VPSDE(), jax.random.key(1)
    x = jax.random.normal(jax.random.key(2), (6, 2))
    loss = losses.dsm(sde, GAUSSIAN.score(sde))
    t_key, example_key = jax.random.split(key)
    t, inverse_density = times(sde).sample(t_key, times(sde).init(), 6)
    terms = [
        w * loss(k, x_0, t_i) for w, k, x_0, t_i in zip(inverse_density, jax.random.split(example_key, 6), x, t, strict=True)
    ]
    assert losses.batch_mean(loss, times(sde), key, x) == pytest.approx(float(sum(terms)) / 6, rel=1e-5)


@pytest.mark.parametrize("times", [losses.uniform, losses.importance, losses.loss_aware], ids=lambda times: times.__name__)
def test_it_estimates_the_integral_over_t(times):
    """The loss x_0^2 t has the integral (1 - t_min^2)/2 E x_0^2 over t, whatever draws t."""
    sde, t_min = VPSDE(), 0.01
    x = jnp.full((4096, 1), 2.0)
    mean = losses.batch_mean(lambda key, x_0, t: x_0[0] ** 2 * t, times(sde, t_min=t_min), jax.random.key(0), x)
    assert mean == pytest.approx(4 * (1 - t_min**2) / 2, rel=0.02)


def test_each_example_has_its_own_noise():
    """Equal examples at one t have different losses: the mean is not that of one."""
    sde = VPSDE()
    loss, x, key = losses.dsm(sde, lambda x, t: 0 * x), jnp.zeros((8, 2)), jax.random.key(0)
    one_time = losses.discrete(sde, 2)._replace(sample=lambda key, memory, n: (jnp.full(n, 0.5), jnp.ones(n)))
    values = jax.vmap(loss, (0, 0, None))(jax.random.split(jax.random.split(key)[1], 8), x, 0.5)
    assert jnp.unique(values).size == 8
    assert losses.batch_mean(loss, one_time, key, x) == pytest.approx(float(values.mean()), rel=1e-6)
