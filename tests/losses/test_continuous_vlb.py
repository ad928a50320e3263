"""The bound in continuous time: its value on every SDE, and the gradients that a schedule learns its ends and interior by."""

from functools import partial
from unittest.mock import patch

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from cubature import nodes, noise
from oracle import GAUSSIAN, Mixture, Normal
from sdes import KIN
from slow import slow_for

from losses import continuous_vlb, dsm, importance, latent_vlb, likelihood, prior_term, reconstruction_term
from losses.times import spread
from sde_lib import LearnedVPSDE, LogisticSDE, LogLinearVPSDE, PolynomialVPSDE

X_0, KEY, D = jnp.array([0.4, -0.9]), jax.random.key(7), 2
ERROR = jnp.array([0.3, -0.2])
ROUGH = tuple(np.random.default_rng(0).normal(0, 1, 9).tolist())


def wrong_by(sde, x_0, d):
    """A score that sees x_0 and is off by eps_hat - eps = d at every noise."""
    return lambda x, t: -((x - sde.alpha(t) * x_0) / sde.sigma(t) + d) / sde.sigma(t)


@slow_for(*KIN)
@pytest.mark.parametrize("width", [None, 0.125])
def test_its_integral_is_the_bound(sde, width):
    """int -lambda'/2 d^2 dt = (lambda(t_min) - lambda(1))/2 d^2 in each coordinate, L_T, and L_0 by the noise alone."""
    start, n = min(0.05, float(sde.time_at(0.0))), 400
    loss, times = continuous_vlb(sde, wrong_by(sde, X_0, ERROR), width, start), importance(sde, start)

    @jax.jit
    def integral():
        t, inverse_density = times.sample(KEY, None, n)
        return jnp.mean(inverse_density * jax.vmap(lambda t: loss(KEY, X_0, t))(t))

    with patch.object(jax.random, "uniform", lambda key: jnp.float32(1 / (2 * n))):
        got = float(integral())
    range_of_log_snr = np.asarray(sde.log_snr(start)) - np.asarray(sde.log_snr(1.0))
    last = reconstruction_term(sde, lambda x, t: jnp.zeros(2), width)(KEY, X_0, start)
    exact = float(np.sum(range_of_log_snr / 2 * np.asarray(ERROR) ** 2) + prior_term(sde, X_0) + last)
    assert D * got == pytest.approx(exact, rel=5e-3)


def learned(knots, first=8.0, last=-4.0):
    return LearnedVPSDE(first, last, jnp.asarray(knots, float))


def of_times(sde, n=4000, score=GAUSSIAN.score, key=KEY):
    """l at n even t of one example and one draw of noise: the error depends on the log-SNR alone."""
    loss = continuous_vlb(sde, score(sde), None)
    return jax.vmap(lambda t: loss(key, X_0, t))((jnp.arange(n) + 0.5) / n)


def test_the_bound_does_not_depend_on_the_interior():
    """Its variance does."""
    with jax.enable_x64(True):
        even, rough = (np.asarray(jax.jit(lambda k: of_times(learned(k)))(jnp.asarray(k))) for k in (np.zeros(9), ROUGH))
        assert rough.mean() == pytest.approx(even.mean(), rel=1e-5)
        assert abs(rough.var() / even.var() - 1) > 0.1


@pytest.mark.slow
def test_the_bound_moves_the_ends():
    """The gradient in log_snr_max and log_snr_min is that of l written out, at every t."""

    def plain(sde, t):
        ends = prior_term(sde, X_0) + reconstruction_term(sde, lambda x, t: jnp.zeros(2), None)(KEY, X_0, 0.0)
        return dsm(sde, GAUSSIAN.score(sde), likelihood)(KEY, X_0, t) / 2 + ends / D

    def gradients(loss):
        return [jax.grad(lambda ends, t: loss(learned(ROUGH, *ends), t))((8.0, -4.0), t) for t in (0.03, 0.4, 0.93)]

    with jax.enable_x64(True):
        mine = gradients(lambda sde, t: continuous_vlb(sde, GAUSSIAN.score(sde), None)(KEY, X_0, t))
        np.testing.assert_allclose(mine, gradients(plain), rtol=1e-9)


def test_the_variance_moves_the_interior():
    """The mean gradient in the knots is that of int (l_1/12)^2 dt, 12 from end to end, differentiated through the score."""

    def second_moment(knots):
        sde = learned(knots)
        loss = dsm(sde, GAUSSIAN.score(sde), likelihood)
        l_1 = jax.vmap(lambda t: loss(KEY, X_0, t))((jnp.arange(4000) + 0.5) / 4000) / 2
        return jnp.mean((l_1 / 12) ** 2)

    with jax.enable_x64(True):
        mine = jax.jit(jax.grad(lambda k: jnp.mean(of_times(learned(k)))))(jnp.asarray(ROUGH))
        exact = jax.jit(jax.grad(second_moment))(jnp.asarray(ROUGH))
        np.testing.assert_allclose(mine, exact, atol=1e-4 * np.abs(exact).max())


def test_a_schedule_that_is_not_learned_has_no_gradient_of_its_own():
    """The score is all that the mean depends on then: its gradient is that of `dsm` at half the likelihood weight."""
    sde = LogLinearVPSDE(8.0, -4.0)
    score = lambda w: Mixture(GAUSSIAN.means, w, GAUSSIAN.weights).score(sde)
    of_bound = jax.grad(lambda w: continuous_vlb(sde, score(w), None)(KEY, X_0, 0.4))(0.6)
    of_dsm = jax.grad(lambda w: dsm(sde, score(w), likelihood)(KEY, X_0, 0.4) / 2)(0.6)
    assert float(of_bound) == pytest.approx(float(of_dsm), rel=1e-5)


@pytest.mark.slow
def test_every_option_of_arrays_is_moved_by_the_bound():
    """Of `PolynomialVPSDE` the gradient in a, b and c is that of half of `dsm` at the likelihood weight."""
    options = {"a": jnp.array([0.5, 0.1]), "b": jnp.array([-0.3, 0.7]), "c": jnp.array([1.0, 0.4])}

    def of(loss):
        return jax.grad(lambda options: loss(sde := PolynomialVPSDE(8.0, -4.0, **options), GAUSSIAN.score(sde)))(options)

    mine = of(lambda sde, score: continuous_vlb(sde, score, None)(KEY, X_0, 0.4))
    plain = of(lambda sde, score: dsm(sde, score, likelihood)(KEY, X_0, 0.4) / 2)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), mine, plain)


C = jnp.array([[1.0, 0.8], [0.8, 1.5]])
PATHS = {
    "together": {},
    "one first": {"a": jnp.array([3.0, -2.0]), "b": jnp.array([-1.0, 0.5])},
    "one last": {"b": jnp.array([4.0, -0.5]), "c": jnp.array([0.3, 1.0])},
}


def along(path, score):
    """D times the mean over N(0, C), its noise and t of l, from log-SNR 8 to -6 in both coordinates: of quadratics, exactly."""
    sde = PolynomialVPSDE(8.0 * jnp.ones(2), -6.0, **path)
    loss, root, (points, weights) = continuous_vlb(sde, score(sde), None), jnp.linalg.cholesky(C), nodes(2, 4)

    def at(point):
        with noise(point[2:]):
            return jnp.mean(jax.vmap(lambda t: loss(KEY, root @ point[:2], t))((jnp.arange(1000) + 0.5) / 1000))

    return D * jnp.tensordot(weights, jax.vmap(at)(points), 1)


@pytest.mark.slow
def test_by_a_score_of_one_law_several_log_snrs_may_take_any_path():
    """The integral is log det(I + SNR C)/2 between the ends (Guo et al. 2005), and nothing moves a, b and c but chance."""
    ends = float(jnp.trace(C) * jnp.exp(-6.0) / 2 + jnp.log(2 * jnp.pi) + 1 - 8.0)  # L_T and L_0
    of_law = Normal(jnp.zeros(2), C).score
    values, slopes = zip(
        *(jax.jit(jax.value_and_grad(lambda p: along(p, of_law)))(path) for path in PATHS.values()), strict=True
    )
    np.testing.assert_allclose(np.array(values) - ends, 7.92198, atol=2e-3)
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(slopes)) < 2e-3
    of_none = lambda sde: lambda x, t: -jnp.stack([x[0] + 0.5 * x[1], x[1]])  # no gradient
    values = [float(jax.jit(lambda path=path: along(path, of_none))()) for path in PATHS.values()]
    assert np.ptp(values) > 0.05


V = 2.0
NORMAL = Mixture(jnp.zeros((1, 8)), V**0.5, jnp.ones(1))


def mean_loss(sde, key, n):
    """The mean of l over n examples of N(0, V I), each at a t of its own, under the exact score."""
    data, t_key, noise = jax.random.split(key, 3)
    x_0 = jax.vmap(NORMAL.sample)(jax.random.split(data, n))
    loss = continuous_vlb(sde, NORMAL.score(sde), None)
    return jnp.mean(jax.vmap(loss)(jax.random.split(noise, n), x_0, spread(t_key, n)))


@pytest.mark.slow
def test_the_ends_of_normal_data_move_by_the_closed_form():
    """The bound is (log 2 pi e - l_0 + log(1 + V e^l_0) - log(1 + V e^l_1) + V e^l_1)/2 per dimension, from end to end."""

    def bound(ends):
        first, last = (V * jnp.exp(end) for end in ends)
        return (jnp.log1p(first) - ends[0] - jnp.log1p(last) + last) / 2

    ends, keys = (1.0, -1.0), jax.random.split(KEY, 40)
    gradient = jax.grad(lambda ends, key: mean_loss(LearnedVPSDE(*ends, ROUGH), key, 500))
    each = jax.jit(jax.vmap(gradient, (None, 0)))(ends, keys)
    for got, exact in zip(each, jax.grad(bound)(ends), strict=True):
        assert float(got.mean()) == pytest.approx(float(exact), abs=4.5 * float(got.std()) / len(keys) ** 0.5)


def unevenness(sde):
    """Variance over squared mean of E l_1 = -lambda' sigmoid(lambda + log V)/2 at even t."""
    of = lambda t: -jax.grad(sde.log_snr)(t) * jax.nn.sigmoid(sde.log_snr(t) + jnp.log(V))
    values = jax.vmap(of)((jnp.arange(4096) + 0.5) / 4096)
    return float(values.var() / values.mean() ** 2)


@pytest.mark.slow
def test_on_normal_data_the_interior_becomes_importance_sampling():
    """log(1 + V SNR) falls linearly in t, as `importance` with prior_variance V draws it, and no variance is left between t."""
    optimizer, first = optax.adam(optax.cosine_decay_schedule(0.1, 1200)), jnp.zeros(33)

    def step(carry, key):
        knots, state = carry
        gradient = jax.grad(lambda knots: mean_loss(LearnedVPSDE(8.0, -3.0, knots), key, 256))(knots)
        update, state = optimizer.update(gradient, state)
        return (optax.apply_updates(knots, update), state), None

    train = jax.jit(lambda carry: jax.lax.scan(step, carry, jax.random.split(KEY, 1200))[0][0])
    sde = LearnedVPSDE(8.0, -3.0, train((first, optimizer.init(first))))
    t = jnp.linspace(0.0, 1.0, 513)
    l = np.asarray(jax.vmap(lambda t: jax.nn.softplus(sde.log_snr(t) + jnp.log(V)))(t))
    np.testing.assert_allclose(l, l[0] + t * (l[-1] - l[0]), atol=0.02 * l[0])
    u, inverse_density = importance(sde, prior_variance=V).sample(KEY, None, 512)
    np.testing.assert_allclose(u, spread(KEY, 512), atol=0.02)
    assert np.median(np.abs(np.asarray(inverse_density) - 1)) < 0.05
    assert unevenness(sde) < 0.02 < 0.1 < unevenness(LearnedVPSDE(8.0, -3.0, first))


CODEC, SDE = {"a": jnp.array([0.7, -1.2]), "log_s": jnp.array([-0.7, -0.2])}, LogLinearVPSDE(13.3, -12.0)


def test_a_codec_descends_the_bound_with_its_score():
    """z = a x + s n at the cost log q(z | x), under the score of N(0, I): D times the loss is KL(q || N(0, I)) in the mean."""

    def divergence(codec):
        return jnp.sum((jnp.exp(2 * codec["log_s"]) + (codec["a"] * X_0) ** 2 - 1) / 2 - codec["log_s"])

    def encode(codec, key, x):
        n = jax.random.normal(key, (2,))
        return codec["a"] * x + jnp.exp(codec["log_s"]) * n, -jnp.sum(n**2 / 2 + codec["log_s"]) - jnp.log(2 * jnp.pi)

    def loss(codec, key, t):
        joint = latent_vlb(partial(encode, codec), continuous_vlb(SDE, lambda z, t: -z, None))(key, X_0, t)
        return D * (joint.cost + joint.score)

    n = 20_000
    t, keys = spread(KEY, n), jax.random.split(KEY, n)
    values, gradients = jax.jit(jax.vmap(jax.value_and_grad(loss), (None, 0, 0)))(CODEC, keys, t)
    exact, slopes = jax.value_and_grad(divergence)(CODEC)
    assert float(values.mean()) == pytest.approx(float(exact), abs=4.5 * float(values.std()) / n**0.5)
    for name, slope in slopes.items():
        tolerance = 4.5 * np.asarray(gradients[name]).std(0) / n**0.5
        np.testing.assert_array_less(np.abs(np.asarray(gradients[name]).mean(0) - slope), tolerance)


def test_a_nonlinear_sde_is_refused_by_name():
    with pytest.raises(TypeError, match=r"continuous_vlb needs alpha.*LogisticSDE is not a LinearSDE; ism, ssm"):
        continuous_vlb(LogisticSDE(), lambda x, t: x)
