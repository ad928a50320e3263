"""Flows against the Jacobian, their own inverse, and laws whose entropy is known."""

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.scipy.stats import norm
from oracle import MIXTURE
from slow import slow_for

from losses import continuous_bound
from models import glow, real_nvp, residual_flow
from models.codec import Codec, chain
from models.flows.actnorm import actnorm
from models.flows.coupling import coupling
from models.flows.mixing import flip, mix
from models.flows.multiscale import half, multiscale, squeeze, squeezed, unsqueeze
from models.flows.normalizing import normalizing
from models.flows.residual import residual
from models.flows.sequence import repeat, sequence
from sde_lib import VPSDE, LinearSDE

KEY = jax.random.key(0)
IDENTITY = Codec(lambda key, x: (), lambda params, key, x: (x, jnp.zeros(())), lambda params, key, z: z)
RESIDUAL = residual(8, lipschitz=0.9, exact=12, terms=2, stop=0.5)
SMALL = residual_flow(blocks=2, width=8)
FLOWS = {
    "actnorm": (actnorm(), (2, 2, 3)),
    "mix": (mix(), (2, 2, 3)),
    "flip": (flip(), (2, 3)),
    "coupling": (coupling(8, 2.0), (2, 2, 3)),
    "coupling of a vector": (coupling(8, 2.0), (5,)),
    "residual": (RESIDUAL, (2, 2, 3)),
    "residual of a vector": (RESIDUAL, (5,)),
    "half": (half(mix()), (3, 4)),
    "repeat": (repeat(sequence(actnorm(), mix()), 3), (2, 3)),
    "real_nvp": (real_nvp(couplings=3, width=8), (5,)),
    "real_nvp of an image": (real_nvp(levels=1, couplings=2, width=8), (2, 4, 1)),
    "glow": (glow(levels=1, steps=2, width=8), (2, 2, 3)),
    "glow of a signal": (glow(levels=2, steps=2, width=8), (4, 3)),
    "glow of a volume": (glow(levels=1, steps=1, width=8), (2, 2, 2, 1)),
    "residual_flow": (SMALL, (3,)),
    "residual_flow of an image": (residual_flow(levels=1, blocks=2, width=8), (2, 2, 2)),
}
SECONDS = (
    *("flip", "coupling of a vector", "residual of a vector", "half", "repeat", "real_nvp", "real_nvp of an image"),
    *("glow of a signal", "glow of a volume", "residual_flow", "residual_flow of an image"),
)


def moved(codec, x, by=0.3, seed=1):
    """Parameters of which none is zero."""
    rng = np.random.default_rng(seed)
    params = jax.eval_shape(codec.init, KEY, x)
    return jax.tree.map(lambda a: jnp.asarray(by * rng.standard_normal(a.shape), jnp.float32), params)


@slow_for(*SECONDS)
@pytest.mark.parametrize("name", FLOWS)
def test_it_is_a_bijection_of_this_determinant(name):
    """decode(encode(x)) = x, and the cost is -log|det dz/dx|; z has the shape of x."""
    codec, shape = FLOWS[name]
    x = jax.random.normal(jax.random.key(2), shape)
    params = moved(codec, x)

    @jax.jit
    def measure(params, x):
        encode = lambda x: codec.encode(params, KEY, x)
        (z, cost), J = encode(x), jax.jacfwd(lambda x: encode(x)[0])(x).reshape(x.size, x.size)
        return z, cost, jnp.linalg.slogdet(J)[1], codec.decode(params, None, z)

    z, cost, log_det, back = measure(params, x)
    assert z.shape == shape
    np.testing.assert_allclose(back, x, atol=2e-5)
    assert float(cost) == pytest.approx(-float(log_det), abs=2e-5)
    assert name == "flip" or abs(float(cost)) > 1e-3


def test_a_repetition_is_a_sequence():
    """Of the same parameters, and of an init that hands on the example, so that each actnorm centres what reaches it."""
    layer, x = sequence(actnorm(), coupling(4, 2.0), flip()), jax.random.normal(KEY, (2, 2, 4))
    thrice, one_by_one = repeat(layer, 3), sequence(layer, layer, layer)

    @jax.jit
    def both(params):
        each = tuple(jax.tree.map(lambda a, i=i: a[i], params) for i in range(3))
        return thrice.encode(params, KEY, x), one_by_one.encode(each, KEY, x)

    start = jax.jit(thrice.init)(KEY, x)
    for params in (moved(thrice, x), start):
        (z, cost), (z_1, cost_1) = both(params)
        np.testing.assert_allclose(z, z_1, atol=1e-5)
        assert float(cost) == pytest.approx(float(cost_1), abs=1e-5)
    np.testing.assert_allclose(both(start)[0][0].mean((0, 1)), 0, atol=1e-5)


def test_actnorm_starts_from_an_example():
    """Mean 0 in each channel, variance 1 over both; then a second moves nothing, nor the first if all pixels are alike."""
    noise = np.random.default_rng(0).standard_normal((8, 8, 2))
    x = np.float32(np.array([5.0, -2.0]) + np.array([3.0, 0.2]) * noise)
    start = jax.jit(lambda x: actnorm().init(KEY, x))
    encode = jax.jit(lambda params, x: actnorm().encode(params, KEY, x))
    z, _ = encode(start(x), x)
    np.testing.assert_allclose(z.mean((0, 1)), 0, atol=1e-5)
    assert float(z.var((0, 1)).mean()) == pytest.approx(1, abs=1e-5)
    for same in (z, x[0, 0], np.broadcast_to(x[0, 0], x.shape), np.zeros_like(x)):
        again, cost = encode(start(same), same)
        np.testing.assert_allclose(again, same, atol=1e-5)
        assert float(cost) == pytest.approx(0, abs=1e-4)


@pytest.mark.slow
def test_many_layers_start_as_well_as_few():
    """What an example says of the scale of the others: of digits, no worse than the identity does, and after 32 steps too."""
    from sklearn.datasets import load_digits

    x = jnp.asarray(load_digits().images[:100, :, :, None] / 16 - 0.5, jnp.float32)
    codec = glow(levels=3, steps=32, width=4)
    mean = jax.jit(lambda params: jax.vmap(codec.loss, (None, None, 0, None))(params, KEY, x, 1.0).mean())
    init = jax.jit(codec.init)
    assert float(mean(init(KEY, x[0]))) < float(mean(init(KEY, jnp.zeros_like(x[0]))))


@pytest.mark.slow
@pytest.mark.parametrize(
    "codec", [glow(levels=2, steps=2, width=4), real_nvp(levels=2, couplings=2, width=4)], ids=["glow", "real_nvp"]
)
def test_it_starts_as_an_affine_map(codec):
    """The last layer of every network is zero, so that the Jacobian is the same everywhere."""
    x, y = jax.random.normal(KEY, (2, 4, 4, 1))
    params = jax.jit(codec.init)(KEY, x)
    encode = jax.jit(lambda x: codec.encode(params, KEY, x))
    (z, cost), (w, cost_w), (middle, _) = encode(x), encode(y), encode((x + y) / 2)
    np.testing.assert_allclose((z + w) / 2, middle, atol=1e-4)
    assert float(cost) == pytest.approx(float(cost_w), abs=1e-5)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("sides", [(4, 8), (8,), (4, 4, 4)], ids=str)
def test_halves_of_cells_are_the_colours_of_a_checkerboard(sides):
    """And what two levels do not touch is where it was."""
    x = np.float32(np.indices(sides).sum(0)[..., None] % 2)
    light, dark = np.split(np.asarray(jax.jit(squeeze)(x)), 2, axis=-1)
    assert not light.any()
    assert dark.all()
    x = np.random.default_rng(0).standard_normal((*sides, 2), np.float32)
    untouched = multiscale(IDENTITY, 2)
    there = jax.jit(lambda x: (unsqueeze(squeeze(x)), untouched.encode(untouched.init(KEY, x), KEY, x)[0]))
    for same in there(x):
        np.testing.assert_array_equal(same, x)


def test_a_level_leaves_half_of_its_channels():
    """The lighter colour of the checkerboard goes on through the second level, and the darker one does not."""
    twice = Codec(lambda key, x: (), lambda params, key, x: (2 * x, jnp.zeros(())), lambda params, key, z: z / 2)
    z, _ = jax.jit(squeezed(half(squeezed(twice))).encode)((), KEY, np.ones((4, 4, 1), np.float32))
    np.testing.assert_array_equal(z[..., 0], 2 - np.indices((4, 4)).sum(0) % 2)


@pytest.mark.parametrize(
    ("codec", "shape", "message"),
    [
        (glow(levels=3), (28, 28, 1), r"levels = 3 need sides that 2\^3 divides, not those of \(28, 28, 1\); take 2"),
        (glow(levels=1), (7,), "take 0"),
        (real_nvp(levels=2), (8, 6, 1), "take 1"),
        (real_nvp(), (8, 8, 1), r"two channels, and \(8, 8, 1\) has one; take levels = 1, or a residual flow"),
        (residual_flow(levels=1), (5, 2), "take 0"),
        (residual_flow(), (), r"give it the shape \(1,\)"),
    ],
)
def test_other_shapes_are_refused_with_the_nearest_that_works(codec, shape, message):
    with pytest.raises(ValueError, match=message):
        codec.init(KEY, jnp.zeros(shape))


def test_the_loss_is_the_likelihood():
    """-log N(x; -b, e^-2s) of an affine flow, at every beta."""
    params = {"log_scale": jnp.array([0.5, -1.0]), "bias": jnp.array([0.3, 2.0])}
    codec, x = normalizing(actnorm()), jnp.array([0.4, -0.9])
    exact = -float(norm.logpdf(x, -params["bias"], jnp.exp(-params["log_scale"])).sum())
    for beta in (0.0, 1.0):
        assert float(codec.loss(params, KEY, x, beta)) == pytest.approx(exact, rel=1e-5)


def test_in_a_chain_its_loss_is_that_of_the_chain():
    """A flow of what a scaler gives: the cost of the scaler is part of -log p(x)."""
    scaler, x = actnorm(), jnp.array([0.4, -0.9])
    both = chain(scaler, normalizing(mix()))
    params = moved(both, x)
    z, cost = both.encode(params, KEY, x)
    assert float(both.loss(params, KEY, x, 1.0)) == pytest.approx(float(cost - norm.logpdf(z).sum()), rel=1e-5)


def test_glow_has_the_published_size():
    """3 levels of 32 steps at width 512, by the layers of Kingma & Dhariwal (2018), app. B: 43.9 million parameters."""
    params = jax.eval_shape(glow(levels=3, steps=32, width=512).init, KEY, jnp.zeros((32, 32, 3)))

    def step(C, width=512):
        network = (9 * C // 2 + 1) * width + (width + 1) * width + (9 * width + 1) * C
        return 2 * C + C**2 + network

    assert sum(a.size for a in jax.tree.leaves(params)) == 32 * (step(12) + step(24) + step(48)) == 43_948_416


@flax.struct.dataclass
class Larger(LinearSDE):
    """x_t = a z_t of an SDE of z."""

    of: LinearSDE
    a: float

    def alpha(self, t):
        return self.of.alpha(t)

    def sigma(self, t):
        return self.a * self.of.sigma(t)


def test_the_bound_of_data_is_the_bound_of_codes_and_the_cost():
    """INDM (Kim et al. 2022): the codes z = x/a diffuse, and x_t = a z_t is a linear SDE, with a bound of its own."""
    a, t_min, sde = 2.5, 1e-3, VPSDE()
    score = MIXTURE.score(sde)
    scaler = {"log_scale": -jnp.log(jnp.full(2, a)), "bias": jnp.zeros(2)}

    @jax.jit
    def bounds(key, x):
        z, cost = actnorm().encode(scaler, key, x)
        of_z = continuous_bound(sde, score, None, 20, t_min)(key, z)
        of_x = continuous_bound(Larger(sde, a), lambda x, t: score(x / a, t) / a, None, 20, t_min)(key, x)
        return of_z, cost, of_x

    for seed in range(3):
        of_z, cost, of_x = bounds(jax.random.key(seed), jnp.array([1.3, -2.1]))
        assert float(cost) == pytest.approx(2 * np.log(a))
        assert float(of_x.total) == pytest.approx(float(of_z.total + cost), rel=1e-3)
        assert float(of_x.diffusion) == pytest.approx(float(of_z.diffusion), rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("codec", [real_nvp(couplings=3, width=8), SMALL], ids=["real_nvp", "residual_flow"])
def test_the_bound_of_codes_and_the_cost_is_the_surprise_of_data(codec):
    """Under the exact score of codes, on data x = decode(z), whose density is p(z) |det dz/dx|; both by the decoder alone."""
    sde, n = VPSDE(), 2000
    params = moved(codec, jnp.zeros(2))
    bound = continuous_bound(sde, MIXTURE.score(sde), None, 50, 1e-3)

    def gap(key):
        data_key, bound_key, codec_key = jax.random.split(key, 3)
        z_0 = MIXTURE.sample(data_key)
        decode = lambda z: codec.decode(params, None, z)
        surprise = jnp.linalg.slogdet(jax.jacfwd(decode)(z_0))[1] - MIXTURE.log_prob(sde, z_0, 0.0)
        z, cost = codec.encode(params, codec_key, decode(z_0))
        return bound(bound_key, z).total + cost - surprise

    gaps = jax.jit(jax.vmap(gap))(jax.random.split(KEY, n))
    error = float(gaps.std()) / n**0.5
    assert error < 0.05
    assert abs(float(gaps.mean())) < 4 * error


def trained(codec, data, steps, batch, rate):
    """Parameters after `steps` of Adam, and the mean loss of other data at them."""
    init_key, key = jax.random.split(KEY)
    params = codec.init(init_key, data[0])
    optimizer = optax.adam(optax.cosine_decay_schedule(rate, steps))

    def mean(params, key, x):
        return jax.vmap(codec.loss, (None, 0, 0, None))(params, jax.random.split(key, len(x)), x, 1.0).mean()

    def step(state, key):
        params, opt = state
        draw, own = jax.random.split(key)
        x = data if batch is None else data[jax.random.randint(draw, (batch,), 0, len(data))]
        updates, opt = optimizer.update(jax.grad(mean)(params, own, x), opt)
        return (optax.apply_updates(params, updates), opt), None

    run = jax.jit(lambda params, key: jax.lax.scan(step, (params, optimizer.init(params)), jax.random.split(key, steps))[0][0])
    return run(params, key), jax.jit(mean)


def gaussian_nll(x):
    """The least that a Gaussian can be surprised by data, 1/2 log det 2 pi e C of their covariance."""
    return float(np.linalg.slogdet(2 * np.pi * np.e * np.cov(np.asarray(x, np.float64).T, bias=True))[1] / 2)


@pytest.mark.slow
def test_an_affine_flow_reaches_the_entropy_of_a_gaussian():
    """The most likely Gaussian has the moments of the data, and 1/2 log det 2 pi e C of theirs is its loss."""
    A = jnp.array([[1.0, 0.0, 0.0], [1.2, 0.6, 0.0], [-0.4, 0.3, 0.2]])
    data = jnp.array([0.5, -1.0, 2.0]) + jax.random.normal(KEY, (1000, 3)) @ A.T
    params, mean = trained(normalizing(sequence(actnorm(), mix())), data, 3000, None, 0.02)
    assert float(mean(params, KEY, data)) == pytest.approx(gaussian_nll(data), abs=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("codec", "steps", "batch", "rate"),
    [(real_nvp(width=32), 1000, 256, 5e-3), (glow(levels=0, width=32), 1000, 256, 5e-3), (residual_flow(), 2000, 64, 1e-2)],
    ids=["real_nvp", "glow", "residual_flow"],
)
def test_a_flow_of_moons_beats_a_gaussian(codec, steps, batch, rate):
    """By more than half a nat, on points that it was not trained on."""
    from experiments.data.toys import two_moons

    points = jnp.asarray(two_moons(6000, 0), jnp.float32)
    params, mean = trained(codec, points[:4000], steps, batch, rate)
    assert float(mean(params, KEY, points[4000:])) < gaussian_nll(points) - 0.5
