"""Parameterisations against their papers; networks behind one boundary."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx
from slow import one_in

import models
from models import DDPM, MLP, Coefs, score_model
from models.functional import functional
from models.layers.norm import most_groups
from sde_lib import VESDE, VPSDE, RectifiedFlowSDE

TARGETS = {
    "eps": lambda a, s, x_0, e: e,
    "x0": lambda a, s, x_0, e: x_0,
    "v": lambda a, s, x_0, e: (a * e - s * x_0) / np.hypot(a, s),
    "score": lambda a, s, x_0, e: -e / s,
}


@pytest.mark.parametrize("name", TARGETS)
def test_each_target_gives_back_eps(sde, name):
    """eps_hat = skip x + out target is eps itself, whatever the SDE."""
    x_0, e, t = 0.7, -1.3, 0.4
    a, s = np.asarray(sde.alpha(t)), np.asarray(sde.sigma(t))
    c = getattr(models, name)(sde, t, 1.0)
    np.testing.assert_allclose(c.skip * (a * x_0 + s * e) + c.out * TARGETS[name](a, s, x_0, e), e, rtol=1e-4)
    assert jnp.ndim(c.c_noise) == 0


def test_velocity_gives_back_eps(sde):
    """eps_hat = skip x + out u is eps itself at u = alpha' x_0 + sigma' eps, whatever the SDE."""
    x_0, e, t = jnp.array([0.7, 0.2]), jnp.array([-1.3, 0.6]), 0.4
    x, u = jax.jvp(lambda t: sde.perturb(x_0, e, t), (t,), (1.0,))
    c = models.velocity(sde, t, 1.0)
    np.testing.assert_allclose(c.skip * x + c.out * u, e, rtol=2e-3)


def test_velocity_of_the_rectified_flow():
    """eps = (1 - end) x + alpha u."""
    sde = RectifiedFlowSDE()
    for t in (1e-3, 0.4, 1.0):
        c = models.velocity(sde, t, 1.0)
        np.testing.assert_allclose([c.skip, c.out], [0.999, sde.alpha(t)], rtol=1e-4)


def test_edm_is_karras_table_1():
    """On VE: c_skip = sd^2/(s^2 + sd^2), c_out = s sd/sqrt(s^2 + sd^2), c_in = 1/sqrt(..), c_noise = log(s)/4."""
    sde, t, sd = VESDE(), 0.6, 0.5
    s = float(sde.sigma(t))
    c = models.edm(sde, t, sd)
    # D = x - s eps_hat = (1 - s skip) x - s out F
    assert 1 - s * float(c.skip) == pytest.approx(sd**2 / (s**2 + sd**2), rel=1e-4)
    assert -s * float(c.out) == pytest.approx(s * sd / np.hypot(s, sd), rel=1e-4)
    assert float(c.c_in) == pytest.approx(1 / np.hypot(s, sd), rel=1e-4)
    assert float(c.c_noise) == pytest.approx(np.log(s) / 4, rel=1e-4)


def test_edm_is_minus_v_at_unit_data(sde):
    """One function of x, up to the network's sign."""
    edm, v = models.edm(sde, 0.3, 1.0), models.v(sde, 0.3, 1.0)
    np.testing.assert_allclose(np.array([edm.c_in, edm.skip, edm.out]), np.array([v.c_in, v.skip, -v.out]), rtol=1e-6)


def test_vp_needs_no_input_scale():
    assert float(models.eps(VPSDE(), 0.3, 1.0).c_in) == pytest.approx(1.0, rel=1e-6)


class LinenNet(linen.Module):
    @linen.compact
    def __call__(self, x, c_noise, y=None, key=None):
        return linen.Dense(x.shape[-1])(x) + c_noise[:, None]


@pytest.mark.parametrize(
    "net", [partial(MLP, width=16), MLP((3,), width=16, rngs=nnx.Rngs(0)), LinenNet()], ids=["nnx class", "nnx module", "linen"]
)
def test_every_kind_of_network_is_a_score(net):
    """score = -(skip x + out net(c_in x, c_noise)) / sigma with the network called by hand; batched by vmap alike."""
    sde, x, t = VPSDE(), jnp.array([[0.1, 0.2, 0.3], [-1.0, 0.4, 2.0]]), 0.35
    model = score_model(net, sde, models.v)
    params = jax.tree.map(lambda a: a + 0.1, model.init(jax.random.key(0), x[0]))
    c = Coefs(*(float(a) for a in models.v(sde, t, 1.0)))
    out = functional(net).apply(params, c.c_in * x, jnp.full(2, c.c_noise), None, None)
    by_hand = -(c.skip * x + c.out * out) / sde.sigma(t)
    batched = jax.vmap(model.apply, (None, 0, None))(params, x, t)
    np.testing.assert_allclose(batched, by_hand, rtol=1e-4, atol=1e-5)


def test_a_module_keeps_its_own_parameters():
    module = MLP((3,), width=16, rngs=nnx.Rngs(7))
    params = score_model(module, VPSDE()).init(jax.random.key(0), jnp.zeros(3))
    np.testing.assert_array_equal(params["first"]["kernel"], module.first.kernel[...])


@pytest.fixture(scope="module")
def unet():
    """A small U-Net, compiled once: call(params, x, c_noise, y, key), its first parameters, others moved off zero, and x."""
    net = functional(partial(DDPM, width=8, multipliers=(1, 2), blocks=1, attention=(4,), dropout=0.5))
    x = jax.random.normal(jax.random.key(1), (1, 8, 8, 3))
    quickly = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}  # a sixth of the compilation
    params = jax.jit(net.init, compiler_options=quickly)(jax.random.key(0), x[0])
    return jax.jit(net.apply), params, jax.tree.map(lambda a: a + 0.05, params), x


@pytest.mark.slow
def test_ddpm_starts_at_zero_and_hears_the_noise_level(unet):
    """The last convolution starts at zero; with parameters moved off it, c_noise changes the output."""
    call, params, moved, x = unet
    assert not call(params, x, jnp.zeros(1), None, None).any()
    assert float(jnp.abs(call(moved, x, jnp.zeros(1), None, None) - call(moved, x, jnp.ones(1), None, None)).max()) > 1e-3


@pytest.mark.parametrize("embedding", ["sinusoidal", "fourier"])
def test_mlp_starts_at_zero_and_hears_the_noise_level(embedding):
    net, x = functional(partial(MLP, width=16, embedding=embedding)), jnp.ones((2, 3))
    params = net.init(jax.random.key(0), x[0])
    assert not net.apply(params, x, jnp.zeros(2), None, None).any()
    quiet, loud = net.apply(jax.tree.map(lambda a: a + 0.05, params), x, jnp.array([0.0, 1.0]), None, None)
    assert float(jnp.abs(quiet - loud).max()) > 1e-3


def test_dropout_needs_a_key(unet):
    """No key: one answer. Two keys: two."""
    call, _, moved, x = unet
    first, second = (call(moved, x, jnp.zeros(1), None, jax.random.key(k)) for k in (0, 1))
    assert float(jnp.abs(first - second).max()) > 1e-3


def test_attention_that_never_occurs_is_an_error():
    with pytest.raises(ValueError, match=r"attention \[16\] never occur; the resolutions are \[8, 4\]"):
        DDPM((8, 8, 1), multipliers=(1, 2), attention=(16,), rngs=nnx.Rngs(0))


def test_a_side_that_cannot_be_halved_is_an_error():
    with pytest.raises(ValueError, match="divisible by 4"):
        DDPM((10, 8, 1), multipliers=(1, 2, 2), attention=(), rngs=nnx.Rngs(0))


@pytest.mark.parametrize("channels", [1, 3, 8, 30, 128, 200])
def test_groups_divide_the_channels(channels):
    assert channels % most_groups(channels) == 0
    assert most_groups(128) == 32


def test_cifar_ddpm_has_the_published_size():
    """35,746,307 parameters, Ho et al. (2020)'s 35.7 M, by shapes alone."""
    net = partial(DDPM, width=128, multipliers=(1, 2, 2, 2), blocks=2, attention=(16,))
    params = jax.eval_shape(functional(net).init, jax.random.key(0), jnp.zeros((32, 32, 3)))
    assert sum(a.size for a in jax.tree.leaves(params)) == 35_746_307


@pytest.mark.parametrize(
    ("conditioning", "label"),
    [
        (models.time, lambda sde, t: 999 * t),
        (partial(models.index, n=50), lambda sde, t: 50 * t - 1),
        (partial(models.index, n=4000, scale=0.25), lambda sde, t: (4000 * t - 1) / 4),
        (partial(models.rung, n=11), lambda sde, t: 10 * (1 - t)),
        (models.log_noise, lambda sde, t: np.mean(np.log(sde.sigma(t) / sde.alpha(t))) / 4),
        (partial(models.log_noise, scale=1.0, factor=0.5), lambda sde, t: np.mean(np.log(0.5 * sde.sigma(t) / sde.alpha(t)))),
    ],
    ids=["time", "index", "scaled index", "rung", "quarter log", "log sigma"],
)
def test_the_network_hears_what_its_paper_tells_it(sde, conditioning, label):
    """c_noise is the label at t and c_in is 1 where the input is not scaled; skip and out are the parameterisation's."""
    plain, told = models.v(sde, 0.3, 0.5), models.conditioned(models.v, conditioning, scale_input=False)(sde, 0.3, 0.5)
    assert float(told.c_noise) == pytest.approx(float(label(sde, 0.3)), rel=1e-4)
    np.testing.assert_array_equal(told.c_in, np.ones(jnp.shape(plain.c_in)))
    np.testing.assert_array_equal(told.skip, plain.skip)
    np.testing.assert_array_equal(told.out, plain.out)


def test_labels_of_ddpm_and_ncsn_are_whole_at_their_times():
    """i - 1 at DDPM's t = i/n; rung 0 at sigma_max, n - 1 at sigma_min, whose sigma is the ladder's."""
    ve, n = VESDE(), 10
    np.testing.assert_allclose([models.index(ve, i / n, n) for i in range(1, n + 1)], np.arange(n), atol=1e-5)
    for label, sigma in enumerate(ve.ladder(n)):
        t = ve.time_at(-2 * jnp.log(sigma))
        assert float(models.rung(ve, t, n)) == pytest.approx(label, abs=1e-3)


def equations(jaxpr):
    """Of a jaxpr and of all inside it."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in equation.params.values():
            if hasattr(inner, "jaxpr") or hasattr(inner, "eqns"):
                yield from equations(getattr(inner, "jaxpr", inner))


@pytest.mark.slow
def test_bfloat16_stays_close_and_keeps_float32_parameters():
    """The products run in bfloat16, which is within 2 % of float32, and gradients and results come back in float32."""
    net = partial(DDPM, width=8, multipliers=(1,), blocks=1, attention=(), dropout=0.0)
    x = jax.random.normal(jax.random.key(1), (1, 4, 4, 1))
    params = jax.tree.map(lambda a: a + 0.05, functional(net).init(jax.random.key(0), x[0]))
    full, half = (functional(net, compute).apply(params, x, jnp.zeros(1), None, None) for compute in ("float32", "bfloat16"))
    assert half.dtype == jnp.float32
    assert 0 < float(jnp.abs(full - half).max()) < 0.02 * float(jnp.abs(full).max())
    products = [
        e.invars[0].aval.dtype
        for e in equations(jax.make_jaxpr(functional(net, "bfloat16").apply)(params, x, jnp.zeros(1), None, None).jaxpr)
        if e.primitive.name in ("convolution", "dot_general")
    ]
    assert products.count(jnp.bfloat16) == len(products) > 5


def test_a_network_that_computes_in_float32_regardless_is_refused():
    net, x = functional(LinenNet(), "bfloat16"), jnp.ones((1, 3))
    params = net.init(jax.random.key(0), x[0])
    with pytest.raises(TypeError, match="the network computes in float32, whatever the dtype of its input"):
        net.apply(params, x, jnp.zeros(1), None, None)


@pytest.mark.slow
def test_rematerialisation_gives_the_same_gradient_and_computes_again():
    """Equal gradients, dropout included, from more products; a network without blocks is refused."""
    net = partial(DDPM, width=8, multipliers=(1,), blocks=1, attention=(), dropout=0.5)
    x = jax.random.normal(jax.random.key(1), (1, 4, 4, 1))
    params = jax.tree.map(lambda a: a + 0.05, functional(net).init(jax.random.key(0), x[0]))

    def gradient(remat):
        call = functional(net, remat=remat).apply
        return jax.grad(lambda p: (call(p, x, jnp.zeros(1), None, jax.random.key(2)) ** 2).sum())

    kept, again = (jax.jit(gradient(remat))(params) for remat in (False, True))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * float(jnp.abs(a).max() + 1)), kept, again)
    counts = [
        sum(e.primitive.name == "convolution" for e in equations(jax.make_jaxpr(gradient(remat))(params).jaxpr))
        for remat in (False, True)
    ]
    assert counts[1] > counts[0] > 0
    with pytest.raises(ValueError, match="MLP has no models"):
        score_model(functional(partial(MLP, width=8), remat=True), VPSDE()).apply(
            functional(partial(MLP, width=8)).init(jax.random.key(0), jnp.zeros(3)), jnp.zeros(3), 0.5
        )


@one_in(2)
@pytest.mark.parametrize("net", [partial(MLP, width=16), partial(DDPM, width=8, multipliers=(1,), blocks=1, attention=())])
def test_a_label_is_heard_and_none_is_the_last_row(net):
    net, x = functional(partial(net, classes=3)), jnp.ones((2, 4, 4, 1))
    params = net.init(jax.random.key(0), x[0])
    params = jax.tree.map(lambda a: a + 0.05 * jax.random.normal(jax.random.key(1), a.shape), params)
    say = lambda y: np.asarray(net.apply(params, x, jnp.zeros(2), y, None))
    one, other = say(jnp.array([0, 1]))
    assert np.abs(one - other).max() > 1e-4
    np.testing.assert_allclose(say(None), say(jnp.array([3, 3])), rtol=1e-6)


def test_a_network_that_centres_sees_two_x_minus_one():
    """On x in [0, 1] as without on 2 x - 1."""
    small = partial(DDPM, width=8, multipliers=(1,), blocks=1, attention=())
    x = jax.random.uniform(jax.random.key(0), (1, 4, 4, 1))
    params = jax.tree.map(lambda a: a + 0.05, functional(small).init(jax.random.key(1), x[0]))
    centred = functional(partial(small, centre_input=True)).apply(params, x, jnp.zeros(1), None, None)
    np.testing.assert_allclose(centred, functional(small).apply(params, 2 * x - 1, jnp.zeros(1), None, None), rtol=1e-6)


def test_waves_are_refused_in_bfloat16():
    """2^8 pi x of an x of eight bits is noise."""
    net, x = partial(DDPM, width=8, multipliers=(1,), blocks=1, attention=(), waves=(7, 8)), jnp.ones((1, 4, 4, 1))
    params = jax.eval_shape(functional(net).init, jax.random.key(0), x[0])
    with pytest.raises(ValueError, match="waves"):
        jax.eval_shape(functional(net, "bfloat16").apply, params, x, jnp.zeros(1), None, None)
