"""SDEs of drift and diffusion alone, with all that serves them, against the Fokker-Planck equation and closed forms."""

from functools import cache, partial

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from fokker_planck import Law, law
from oracle import Mixture
from scipy.special import expit, ndtr
from sdes import NONLINEAR
from slow import one_in, slow_for

import models
from losses import ism, sigma2, ssm, ssm_vr
from losses.forward import forward
from models.functional import Functional
from samplers import adaptive_sde, euler_maruyama, heun, log_prob, probability_flow, quadratic_grid, sample
from sde_lib import VPSDE, LangevinSDE, LogisticSDE, check

DATA = Mixture(jnp.array([[-1.0], [1.0]]), 0.25, jnp.array([0.3, 0.7]))
T_MIN = 1e-3
named = pytest.mark.parametrize("name", NONLINEAR)


def density(x):
    """That of the data."""
    normal = lambda m: np.exp(-(((x - m) / DATA.std) ** 2) / 2) / (DATA.std * np.sqrt(2 * np.pi))
    return sum(float(w) * normal(float(m)) for w, (m,) in zip(DATA.weights, DATA.means, strict=True))


@cache
def law_of(name):
    """The law of x_t on the SDE of that name, from the data on."""
    return law(NONLINEAR[name], density)


def prior_of(sde):
    """The density of x_1, as a law that does not change."""
    p = np.exp(np.asarray(jax.vmap(lambda x: sde.prior_log_prob(x[None]))(jnp.linspace(-8, 8, 1601)), np.float64))
    return Law(np.stack([p, p]), 8.0)


def survival(a, y_0, tau):
    """P(y > a | y_0) of dy = -tanh(y) dtau + dw."""
    return expit(2 * a) * ndtr((y_0 - a - tau) / np.sqrt(tau)) + expit(-2 * a) * ndtr((y_0 - a + tau) / np.sqrt(tau))


@one_in(3)
@pytest.mark.parametrize("t", [0.1, 0.4, 1.0])
def test_the_fokker_planck_equation_has_the_closed_forms(t):
    """The density of the mixture on VP; and on the logistic SDE its distribution function, of draws of x_0 by quadrature."""
    on_vp, logistic = law_of("Plain"), law_of("LogisticSDE")
    exact = np.exp(jax.vmap(lambda x: DATA.log_prob(VPSDE(), x[None], t))(jnp.asarray(on_vp.x)))
    np.testing.assert_allclose(on_vp.at(t), exact, atol=2e-4)
    z, weight = np.polynomial.hermite_e.hermegauss(60)
    x_0 = (np.asarray(DATA.means) + DATA.std * z).ravel()
    weight = np.outer(DATA.weights, weight / weight.sum()).ravel()
    two_s, dx = 2 * np.sqrt(3) / np.pi, logistic.x[1] - logistic.x[0]
    a, tau = (logistic.x[:-1] + dx / 2) / two_s, (0.1 * t + 9.95 * t**2) / two_s**2
    exact = 1 - weight @ survival(a, x_0[:, None] / two_s, tau)
    np.testing.assert_allclose(np.cumsum(logistic.at(t))[:-1] * dx, exact, atol=2e-4)


@named
def test_an_sde_keeps_its_promises(name):
    """Those of `check`; draws of x_1 have their density, whose mass is 1; and x_1 has forgotten the data to 1 % of its mass."""
    sde = NONLINEAR[name]
    check(sde)
    prior = prior_of(sde)
    dx = prior.x[1] - prior.x[0]
    assert prior.p[0].sum() * dx == pytest.approx(1, abs=1e-4)
    assert prior.distance(np.asarray(sde.prior_sample(jax.random.key(0), (20_000,))), 0.0) < 1.63 / 20_000**0.5
    assert np.abs(law_of(name).at(1.0) - prior.p[0]).sum() * dx / 2 < 0.01


def test_langevin_dynamics_leave_their_prior_as_it_is():
    sde = LogisticSDE(std=0.8)
    prior = prior_of(sde).p[0]
    still = law(sde, lambda x: prior, times=101)
    np.testing.assert_allclose(still.at(1.0), still.at(0.0), rtol=1e-3, atol=1e-12)


def test_langevin_dynamics_towards_a_normal_law_are_vp():
    @flax.struct.dataclass
    class Normal(LangevinSDE):
        def prior_sample(self, key, shape):
            return jax.random.normal(key, shape)

        def prior_log_prob(self, x):
            return jax.scipy.stats.norm.logpdf(x).sum()

    x, t = jnp.array([0.3, -1.2]), 0.4
    for sde in (Normal(), Normal(0.2, 5.0)):
        vp = VPSDE(sde.beta_min, sde.beta_max)
        np.testing.assert_allclose(sde.drift(x, t), vp.drift(x, t), rtol=1e-5)
        assert float(sde.diffusion(t)) == pytest.approx(float(vp.diffusion(t)), rel=1e-5)
        assert float(sde.sigma(t)) == pytest.approx(float(vp.integral(t)) ** 0.5, rel=1e-5)


@slow_for("Plain")
@named
def test_sigma_is_that_of_x_t_as_t_vanishes(name):
    """sigma^2 = int g^2 of `SDE`: the variance of x_t given x_0 over it is 1 to the order of t; the level is its logarithm."""
    sde, t = NONLINEAR[name], 2e-3
    x = jax.jit(jax.vmap(lambda key: forward(sde, 20)(key, jnp.ones(1), t)))(jax.random.split(jax.random.key(0), 20_000))
    assert float(x.std()) == pytest.approx(float(sde.sigma(t)), rel=0.02)
    assert float(sde.noise_level(t)) == pytest.approx(float(sde.sigma(t)), rel=1e-5)
    assert float(sde.level(t)) == pytest.approx(-2 * np.log(sde.sigma(t)), rel=1e-5)


@slow_for("Plain")
@named
def test_simulated_draws_have_the_law_of_x_t(name):
    sde, n = NONLINEAR[name], 20_000

    @jax.jit
    @jax.vmap
    def drawn(key):
        data_key, key = jax.random.split(key)
        x_0 = DATA.sample(data_key)
        return jax.vmap(lambda t: forward(sde)(key, x_0, t))(jnp.array([0.1, 0.4, 1.0]))

    x = np.asarray(drawn(jax.random.split(jax.random.key(0), n)))
    for i, t in enumerate((0.1, 0.4, 1.0)):
        assert law_of(name).distance(x[:, i], t) < 1.63 / n**0.5 + 2e-3


SAMPLERS = {
    "euler_maruyama": (euler_maruyama, 400, 10_000),
    "heun": (heun, 60, 10_000),
    "probability_flow": (partial(probability_flow, rtol=1e-3, atol=1e-3), 1, 2_000),
    "adaptive_sde": (partial(adaptive_sde, rtol=0.02, atol=0.003), 1, 1_000),
}


@slow_for("euler_maruyama", "adaptive_sde", "probability_flow", "Plain")
@pytest.mark.parametrize("by", SAMPLERS)
@named
def test_samplers_draw_from_the_data(name, by):
    """By the score of the law on the grid, to Kolmogorov's distance of exact draws, and 0.01 for the sampler's own bias."""
    sde, (make, steps, n) = NONLINEAR[name], SAMPLERS[by]
    step, grid = make(sde, law_of(name).score()), quadratic_grid(sde, steps, T_MIN)

    @jax.jit
    @jax.vmap
    def drawn(key):
        prior_key, step_key = jax.random.split(key)
        return sample(step_key, step, sde.prior_sample(prior_key, (1,)), grid)[0]

    x = np.asarray(drawn(jax.random.split(jax.random.key(0), n)))
    assert law_of(name).distance(x, T_MIN) < 1.63 / n**0.5 + 0.01


@pytest.mark.slow
@named
def test_the_flow_has_the_density_of_the_data(name):
    """log p of two coordinates, each of the law on the grid."""
    sde, exact = NONLINEAR[name], law_of(name)
    x = jnp.array([[-1.2, 0.8], [0.1, 1.3], [-0.7, -1.0]])
    log_p = jax.jit(jax.vmap(partial(log_prob, sde, exact.score(), t_min=T_MIN, rtol=1e-3, atol=1e-3)))(x)
    np.testing.assert_allclose(log_p, [sum(exact.log_prob(float(a), T_MIN) for a in row) for row in x], atol=0.03)


@pytest.mark.slow
@named
def test_the_score_minimises_the_objectives(name):
    """The slope of the mean loss of s + delta h in delta is 2 delta w E h^2: zero at the score of the grid's law."""
    sde, exact, n, t = NONLINEAR[name], law_of(name), 20_000, 0.2
    score, h = exact.score(), lambda x: jnp.sin(2 * x)

    def slope(make, delta, key):
        data_key, key = jax.random.split(key)
        mean = lambda delta: make(sde, lambda x, t: score(x, t) + delta * h(x), sigma2, 40)(key, DATA.sample(data_key), t)
        return jax.grad(mean)(delta)

    squares = np.sum(exact.at(t) * np.sin(2 * exact.x) ** 2) * (exact.x[1] - exact.x[0])
    for make in (ism, ssm, ssm_vr):
        slopes = jax.jit(jax.vmap(partial(slope, make), (None, 0)))
        for delta in (0.0, 0.5):
            got = np.asarray(slopes(delta, jax.random.split(jax.random.key(0), n)))
            expected = 2 * delta * float(sde.sigma(t)) ** 2 * squares
            assert abs(got.mean() - expected) < 4.5 * got.std() / n**0.5 + 2e-3, make.__name__


NET = Functional(lambda key, x: (), lambda params, x, c_noise, y, key: jnp.sin(x) + c_noise[:, None])
"""A network of x and of its noise level."""


@named
def test_a_network_is_a_score_in_units_of_the_noise(name):
    """x enters as it is, and log(sigma)/4 beside it; eps is -sigma times the score."""
    sde, x, t = NONLINEAR[name], jnp.array([0.3, -1.2]), 0.4
    sigma = float(sde.sigma(t))
    net = np.sin(x) + np.log(sigma) / 4
    expected = {
        models.score: net,
        models.sigma_score: net / sigma,
        models.eps: -net / sigma,
        models.residual_eps: -(x + net) / sigma,
    }
    for by, score in expected.items():
        np.testing.assert_allclose(models.score_model(NET, sde, by).apply((), x, t), score, rtol=1e-4)


@one_in(4)
@pytest.mark.parametrize("by", ["x0", "v", "velocity", "edm"])
def test_what_is_predicted_by_alpha_is_refused_by_name(by):
    model = models.score_model(NET, LogisticSDE(), getattr(models, by))
    with pytest.raises(TypeError, match=f"parameterization {by} needs alpha.*LogisticSDE is not a LinearSDE; eps, score"):
        model.apply((), jnp.ones(2), 0.4)


@pytest.mark.slow
def test_a_network_learns_the_score():
    """An MLP by ssm_vr on the logistic SDE: its squared error over sigma^-2, in the mean over x_t, is below 4 %."""
    sde, exact = LogisticSDE(), law_of("LogisticSDE")
    model = models.score_model(partial(models.MLP, width=64, depth=2), sde)
    optimizer = optax.adam(optax.cosine_decay_schedule(3e-3, 3000))

    def mean(params, key):
        data_key, t_key, key = jax.random.split(key, 3)
        x = jax.vmap(DATA.sample)(jax.random.split(data_key, 512))
        t = (jnp.arange(512) + jax.random.uniform(t_key)) / 512
        loss = ssm_vr(sde, partial(model.apply, params), sigma2, 40)
        return jax.vmap(loss)(jax.random.split(key, 512), x, jnp.maximum(t, T_MIN)).mean()

    @jax.jit
    def train(state, key):
        params, memory = state
        update, memory = optimizer.update(jax.grad(mean)(params, key), memory)
        return (optax.apply_updates(params, update), memory), None

    params = model.init(jax.random.key(0), jnp.zeros(1))
    (params, _), _ = jax.lax.scan(train, (params, optimizer.init(params)), jax.random.split(jax.random.key(1), 3000))
    error = lambda x, t: sde.sigma(t) * (model.apply(params, x[None], t) - exact.score()(x[None], t))[0]
    for t in (0.02, 0.1, 0.3, 1.0):
        squares, weight = jax.vmap(error, (0, None))(jnp.asarray(exact.x[::8]), t) ** 2, exact.at(t)[::8]
        assert float(np.sum(weight * squares) / weight.sum()) < 0.04, t
