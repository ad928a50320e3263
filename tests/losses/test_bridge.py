"""Bridges between two ends of a Gaussian law, of which everything is known in closed form."""

from unittest.mock import patch

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brownian import Brownian
from cubature import nodes
from slow import slow_for

from losses import bridge, dsm, likelihood, sigma2
from samplers import ancestral, uniform_grid
from sde_lib import EDMSDE, VPSDE, LogisticSDE, fast_random

MEAN, VARIANCE, GAIN, NOISE = 0.3, 0.49, 0.5, 0.2
"""x_0 ~ N(MEAN, VARIANCE), and x_1 = GAIN x_0 + NOISE n."""
COVARIANCE, END = GAIN * VARIANCE, GAIN**2 * VARIANCE + NOISE**2
SDES = {"DDBM VE": EDMSDE(0.01, 1.0), "DDBM VP": VPSDE(0.1, 2.0), "I2SB": Brownian(0.7)}
HEARD = (True, False)
KEY = jax.random.key(0)


def denoised(sde, x_1, x_t, t):
    """E[x_0 | x_t, x_1], or E[x_0 | x_t] if x_1 is None: x_t = a x_1 + b x_0 + s z with a and b of `posterior`."""
    zero, one = jnp.zeros(()), jnp.ones(())
    a, b, s = sde.posterior(one, zero, 1.0, t)[0], *sde.posterior(zero, one, 1.0, t)
    if x_1 is None:
        covariance, variance = a * COVARIANCE + b * VARIANCE, a**2 * END + 2 * a * b * COVARIANCE + b**2 * VARIANCE + s**2
        return MEAN + covariance / variance * (x_t - (a * GAIN + b) * MEAN)
    mean = MEAN + COVARIANCE / END * (x_1 - GAIN * MEAN)
    variance = VARIANCE - COVARIANCE**2 / END
    gain = jnp.where(s > 0, b * variance / (b**2 * variance + s**2), 0.0)  # at t = 1 there is nothing more to learn from x_t
    return mean + gain * (x_t - a * x_1 - b * mean)


def score_of(sde, x_1):
    """The score by which Tweedie's formula gives `denoised`."""
    return lambda x, t: (sde.alpha(t) * denoised(sde, x_1, x, t) - x) / sde.sigma(t) ** 2


def test_the_bridge_of_brownian_motion_is_linear_between_its_ends():
    """N((1 - t) x_0 + t x_1, epsilon t (1 - t)): I2SB's, eq. 11, at a constant beta."""
    mean, std = Brownian(0.7).posterior(jnp.array(2.0), jnp.array(-1.0), 1.0, 0.3)
    assert float(mean) == pytest.approx(0.7 * -1.0 + 0.3 * 2.0, rel=1e-5)
    assert float(std) == pytest.approx((0.7 * 0.3 * 0.7) ** 0.5, rel=1e-5)


@pytest.mark.parametrize("heard", HEARD)
@pytest.mark.parametrize("name", SDES)
def test_the_minimiser_denoises(name, heard):
    """d/d delta of the mean loss of s + delta h is 0 at the exact s, and 2 w delta E h^2 beside it; h of degree two."""
    sde, t, weight = SDES[name], 0.4, likelihood
    points, weights = nodes(3, 3)
    h = lambda x: x**2 - 0.5 * x + 0.2

    def mean(of):
        def at(point):
            x_0 = MEAN + VARIANCE**0.5 * point[0]
            x_1 = GAIN * x_0 + NOISE * point[1]
            with patch.object(jax.random, "normal", lambda key, shape: point[2]):
                return of(x_0, x_1)

        return weights @ jax.vmap(at)(points)

    def loss(delta):
        def of(x_0, x_1):
            exact = score_of(sde, x_1 if heard else None)
            return bridge(sde, lambda x, t: exact(x, t) + delta * h(x), x_1, weight)(KEY, x_0, t)

        return mean(of)

    def size(x_0, x_1):
        at, std = sde.posterior(x_1, x_0, 1.0, t)
        return h(at + std * jax.random.normal(KEY, ())) ** 2

    slope = jax.jit(jax.grad(loss))
    assert float(slope(0.5)) == pytest.approx(float(weight(sde, t) * mean(size)), rel=5e-3)
    assert abs(float(slope(0.0))) < 2e-3 * float(slope(0.5))


@slow_for("DDBM VP", "I2SB")
@pytest.mark.parametrize("heard", HEARD)
@pytest.mark.parametrize("name", SDES)
def test_ancestral_from_x_1_has_the_law_of_x_0(name, heard, monkeypatch):
    """Mean, variance and covariance with x_1, exactly, of weak order 1; a network that does not hear x_1 loses the last."""
    sde = SDES[name]

    def moments(n):
        grid, now = jnp.append(uniform_grid(sde, n, 1 / n)[:-1], 0.0), {}
        monkeypatch.setattr(fast_random, "normal", lambda key, shape, dtype=None: now["z"])

        def end(x_1, z):
            step = ancestral(sde, score_of(sde, x_1 if heard else None))

            def move(x, at):
                t, s, now["z"] = at
                return step.update(jax.random.key(0), x, (), t, s)[0], None

            return jax.lax.scan(move, x_1, (grid[:-1], grid[1:], z))[0]

        @jax.jit
        def of():
            at = jnp.asarray(GAIN * MEAN), jnp.zeros(n)
            of_x_1, of_z = jax.grad(end, (0, 1))(*at)
            return end(*at), of_x_1**2 * END + jnp.sum(of_z**2), of_x_1 * END

        return np.array(of())

    with jax.enable_x64(True):
        coarse, fine = moments(200), moments(400)
    truth = np.array([MEAN, VARIANCE, COVARIANCE])
    np.testing.assert_allclose(2 * fine[:2] - coarse[:2], truth[:2], atol=4e-3)
    coupling = 2 * fine[2] - coarse[2]
    if heard:
        assert coupling == pytest.approx(COVARIANCE, abs=2e-3)
    else:
        assert coupling < 0.97 * COVARIANCE


def test_at_its_end_a_bridge_is_x_1_and_on_noise_it_is_denoising_score_matching():
    """No draw at t = 1; and if x_1 is noise that knows nothing, the mean loss is that of `dsm`, at x_t of its law."""
    sde, x_0 = VPSDE(), jnp.array([0.3, -0.8])
    score = lambda x, t: jnp.sin(x) - x
    at_end = [bridge(SDES["I2SB"], score, 2 * x_0)(jax.random.key(k), x_0, 1.0) for k in (0, 1)]
    assert float(at_end[0]) == pytest.approx(float(at_end[1]), rel=1e-6)
    n, t = 20_000, 0.4

    def both(key):
        x_1 = sde.perturb(x_0, jax.random.normal(jax.random.fold_in(key, 1), (2,)), 1.0)
        return bridge(sde, score, x_1, sigma2)(key, x_0, t), dsm(sde, score, sigma2)(key, x_0, t)

    mine, theirs = (np.asarray(a) for a in jax.jit(jax.vmap(both))(jax.random.split(jax.random.key(0), n)))
    assert abs(mine.mean() - theirs.mean()) < 4 * np.hypot(mine.std(), theirs.std()) / n**0.5


def test_a_nonlinear_sde_is_refused_by_name():
    with pytest.raises(TypeError, match=r"bridge needs alpha\(t\) and sigma\(t\), and LogisticSDE is not"):
        bridge(LogisticSDE(), lambda x, t: x, jnp.zeros(2))
