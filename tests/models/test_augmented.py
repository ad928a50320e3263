"""Networks as scores of augmented SDEs, and the codec that adds their variables."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen
from oracle import AUGMENTED_GAUSSIAN, GAUSSIAN
from sdes import AUGMENTED, Integrator

import models
from models import DDPM, MLP, functional, halves, phase_space, score_model, side_by_side
from sde_lib import CLD

KEY = jax.random.key(0)
SERVE = {models.eps, models.v, models.edm, models.score, models.sigma_score, models.residual_eps}
ALL = AUGMENTED | {"Integrator": Integrator()}


@pytest.fixture(params=ALL, ids=list(ALL))
def sde(request):
    return ALL[request.param]


class Net(linen.Module):
    """A network that emits a function of x and of the noise level, of the shape of x."""

    @linen.compact
    def __call__(self, x, c_noise, y=None, key=None):
        return jnp.sin(x) + c_noise.reshape(-1, *[1] * (x.ndim - 1))


def test_a_network_sees_the_variables_as_channels():
    """Those of a channel beside each other: x [B, H, W, C, k] as [B, H, W, C k], and back."""
    seen = []

    class Looks(linen.Module):
        @linen.compact
        def __call__(self, x, c_noise, y=None, key=None):
            seen.append(x)
            return 2 * x

    net, x = side_by_side(functional(Looks())), jax.random.normal(KEY, (3, 4, 4, 3, 2))
    np.testing.assert_array_equal(net.apply(net.init(KEY, x[0]), x, jnp.zeros(3), None, None), 2 * x)
    assert seen[-1].shape == (3, 4, 4, 6)
    np.testing.assert_array_equal(seen[-1][..., 2:4], x[..., 1, :])


@pytest.mark.parametrize(
    ("net", "shape"),
    [
        (partial(MLP, width=8), (3,)),
        (partial(MLP, width=8), ()),
        (partial(DDPM, width=4, multipliers=(1, 2), blocks=1, attention=()), (4, 4, 1)),
    ],
    ids=["points", "number", "images"],
)
def test_networks_of_ours_serve_it(sde, net, shape):
    x = jnp.zeros((*shape, sde.k))
    model = score_model(net, sde)
    assert jax.eval_shape(lambda key: model.apply(model.init(key, x), x, 0.5), KEY).shape == x.shape


@pytest.mark.parametrize("parameterization", models.PARAMETERIZATIONS, ids=lambda make: make.__name__)
def test_parameterisations_solve_for_the_noise(sde, parameterization):
    """score_k = -eps_hat/sigma_k with eps_hat as each defines it, and 0 for what noise does not enter; or it says why not."""
    x, t = jax.random.normal(KEY, (3, sde.k)), 0.4
    model = score_model(Net(), sde, parameterization, sigma_data=0.5)
    if parameterization not in SERVE:
        says = rf"parameterization {parameterization.__name__} needs alpha.*; eps, score and sigma_score serve any SDE"
        with pytest.raises(TypeError, match=says):
            model.apply({}, x, t)
        return
    r = sde.spread(t, 1.0 if parameterization is models.v else 0.5)
    a, s = jnp.sqrt(r**2 - sde.sigma(t) ** 2), sde.sigma(t)
    net = (jnp.sin(x / sde.spread(t, 0.5)) - sde.level(t) / 8)[:, -1]
    eps = {
        models.eps: net,
        models.score: (-s * net[:, None])[:, -1],
        models.sigma_score: -net,
        models.residual_eps: x[:, -1] + net,
        models.v: (s / r**2 * x + a / r * net[:, None])[:, -1],
        models.edm: (s / r**2 * x - a / r * net[:, None])[:, -1],
    }[parameterization]
    score = model.apply({}, x, t)
    np.testing.assert_allclose(score[:, -1], -eps / s[-1], rtol=2e-3, atol=1e-4)
    np.testing.assert_array_equal(score[:, :-1], 0)


def test_what_of_v_and_edm_is_left_to_learn_has_unit_variance(sde):
    """E|(eps - sigma/r^2 x)/(a/r)|^2 = 1 on data of that deviation, for the noised variable: the target of the network."""
    t, n = 0.3, 20_000
    z, x_0 = jax.random.normal(KEY, (n, sde.k)), jax.random.normal(jax.random.key(1), (n, 1)) * jnp.ones(sde.k)
    x_t = jax.vmap(lambda x_0, z: sde.perturb(x_0, z, t))(x_0, z)
    c = models.v(sde, t, 1.0)
    target = ((z - c.skip * x_t) / c.out)[:, -1]
    assert float(jnp.mean(target**2)) == pytest.approx(1.0, abs=0.05)
    assert float(jnp.mean(target * x_t[:, -1])) == pytest.approx(0.0, abs=0.05 * float(x_t[:, -1].std()))


def test_what_needs_alpha_says_so():
    for who, ask in {
        "mixed": lambda: models.mixed(score_model(partial(MLP, width=8), CLD()), CLD()),
        "class_model": lambda: models.class_model(partial(MLP, width=8), CLD(), 10),
    }.items():
        with pytest.raises(TypeError, match=rf"^{who} needs alpha.*CLD is not a LinearSDE; \w+"):
            ask()


def test_phase_space_draws_the_variables_beside(sde):
    """x stays, v ~ N(0, std^2) is drawn by the key, the cost is its log-density, and the halves are the whole."""
    codec, x = phase_space(sde), jax.random.normal(KEY, (2000, 3))
    z, cost = codec.encode(codec.init(KEY, x), jax.random.key(1), x)
    assert z.shape == (2000, 3, sde.k)
    np.testing.assert_array_equal(codec.decode((), None, z), x)
    np.testing.assert_allclose(z[..., 1:].std((0, 1)), sde.auxiliary_std, rtol=0.05)
    exact = jax.scipy.stats.norm.logpdf(z[..., 1:], scale=sde.auxiliary_std).sum()
    assert float(cost) == pytest.approx(float(exact), rel=1e-5)
    posterior, draw = halves(codec)
    np.testing.assert_array_equal(draw((), jax.random.key(1), posterior((), x)), z)


@pytest.mark.parametrize("name", AUGMENTED)
def test_each_draw_of_the_velocity_tells_the_density_of_the_data(name):
    """log p(x, v) - log q(v) = log p(x) whatever v: at t = 0 they are independent."""
    sde, x = AUGMENTED[name], jnp.array([0.4, -0.9])
    codec, exact = phase_space(sde), GAUSSIAN.std

    def density_by(key):
        z, cost = codec.encode((), key, x)
        return AUGMENTED_GAUSSIAN.log_prob(sde, z, 1e-8) - cost

    with jax.enable_x64(True):
        each = jax.vmap(density_by)(jax.random.split(KEY, 50))
        truth = jax.scipy.stats.norm.logpdf(x, GAUSSIAN.means[0], exact).sum()
    np.testing.assert_allclose(each, float(truth), atol=1e-3)
