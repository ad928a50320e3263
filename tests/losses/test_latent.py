"""Codec and score together: the bound in x against the evidence, and each part's gradient against what it should descend."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ppca import DIAGONAL
from slow import slow_for

from losses import continuous_bound, dsm, importance, latent, likelihood, min_snr, prior_term, sigma2
from models import affine
from sde_lib import VESDE, VPSDE, LogisticSDE

KEY, T = jax.random.key(0), 0.4


def exact(sde, v=1.0):
    """The score of N(0, v I)."""
    return lambda x, t: -x / (sde.alpha(t) ** 2 * v + sde.sigma(t) ** 2)


def test_the_bound_of_codes_and_their_cost_is_the_evidence():
    """E[bound(z) + cost] = -log p(x), with probabilistic PCA's exact posterior and the exact score of its prior."""
    codec, params, x, sde = DIAGONAL.codec, DIAGONAL.params(), np.array([0.9, -1.1, 0.3]), VPSDE()
    bound = continuous_bound(sde, exact(sde), m=20)

    @jax.jit
    @jax.vmap
    def total(key):
        code_key, bound_key = jax.random.split(key)
        z, cost = codec.encode(params, code_key, jnp.asarray(x, jnp.float32))
        return bound(bound_key, z).total + cost

    totals = total(jax.random.split(KEY, 8000))
    assert float(totals.mean()) == pytest.approx(-DIAGONAL.log_prob(x), abs=5 * float(totals.std()) / 8000**0.5)


def test_it_is_the_cost_and_the_objective_of_the_code():
    """(cost + L_T(z))/D and l(z, t), with the keys of a split."""
    sde, codec, x = VPSDE(), affine(0.3, 2.0), jnp.array([0.5, -1.0, 0.2])
    objective = dsm(sde, exact(sde))
    ours = latent(sde, partial(codec.encode, ()), objective, sigma2)(KEY, x, T)
    z = (x - 0.3) / 2
    assert float(ours.cost) == pytest.approx(float(np.log(2) + prior_term(sde, z) / 3), rel=1e-5)
    assert float(ours.score) == pytest.approx(float(objective(jax.random.split(KEY)[1], z, T)), rel=1e-5)


WEIGHTS = {"likelihood": likelihood, "sigma2": sigma2, "min_snr": min_snr}


@slow_for("VE", "min_snr")
@pytest.mark.parametrize("weight", WEIGHTS.values(), ids=WEIGHTS)
@pytest.mark.parametrize("sde", [VPSDE(), VESDE()], ids=["VP", "VE"])
def test_the_encoder_descends_the_bound_whatever_trains_the_score(sde, weight):
    """z = a x of x ~ N(0, I) under the score of N(0, v I): the bound is -log N(a x; 0, v) - log a, of slope a/v - 1/a in a, and
    its mean over draws of t and noise is the gradient's."""
    a, v, n = 0.7, 1.3, 20_000
    times = importance(sde)
    t, inverse_density = times.sample(KEY, None, n)
    x = jax.random.normal(jax.random.key(1), (n, 2))

    def loss(a, key, x, t, inverse_density):
        encode = lambda key, x: (a * x, -x.size * jnp.log(a))
        part = latent(sde, encode, dsm(sde, exact(sde, v), weight), weight)(key, x, t)
        return part.cost + inverse_density * part.score

    slopes = jax.jit(jax.vmap(jax.grad(loss), (None, 0, 0, 0, 0)))(a, jax.random.split(KEY, n), x, t, inverse_density)
    # what is left out at t_min, the reconstruction, has a slope too: that of -log of its own end
    assert float(slopes.mean()) == pytest.approx(a / v - 1 / a, abs=5 * float(slopes.std()) / n**0.5 + 2e-3)


def test_the_score_descends_its_objective():
    """Its gradient is that of the objective at a constant code."""
    sde, x = VPSDE(), jnp.array([0.5, -1.0])
    encode = lambda key, x: (0.6 * x, 0.0)

    def ours(c):
        return latent(sde, encode, dsm(sde, exact(sde, c), min_snr), min_snr)(KEY, x, T).score

    def alone(c):
        return dsm(sde, exact(sde, c), min_snr)(jax.random.split(KEY)[1], 0.6 * x, T)

    assert float(jax.grad(ours)(1.3)) == pytest.approx(float(jax.grad(alone)(1.3)), rel=1e-5)


def test_codes_of_another_size_count_by_their_share():
    """d/(2 D) g^2/w of the gradient reaches the code: of one number for three of x a sixth, at the likelihood weight."""
    sde, x = VPSDE(), jnp.array([0.5, -1.0, 0.2])
    through = lambda shift, loss: loss(lambda key, x: (x[:1] + shift, 0.0))
    whole = lambda encode: latent(sde, encode, dsm(sde, exact(sde), likelihood))(KEY, x, T).score
    alone = lambda encode: dsm(sde, exact(sde), likelihood)(jax.random.split(KEY)[1], encode(KEY, x)[0], T)
    ours, theirs = (float(jax.grad(through)(0.0, loss)) for loss in (whole, alone))
    assert ours == pytest.approx(theirs / 6, rel=1e-5)


def test_a_nonlinear_sde_is_refused_by_name():
    with pytest.raises(TypeError, match=r"latent needs alpha\(t\) and sigma\(t\), and LogisticSDE is not"):
        latent(LogisticSDE(), lambda key, x: (x, 0.0), lambda key, x, t: 0.0)
