"""Codecs against the change of variables, chains of them against their parts, and autoencoders against score matching."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.fft
from oracle import MIXTURE
from ppca import CORRELATED, linear
from scipy.stats import multivariate_normal
from slow import slow_for
from training import trained

from experiments.data.scaler import Scaler
from losses import dsm
from models import (
    ConvDecoder,
    ConvEncoder,
    Perceptron,
    PooledEncoder,
    affine,
    autoencoder,
    chain,
    cosine,
    dequantize,
    frozen,
    gaussian,
    halves,
    plain,
    vae,
)
from models.flows.normalizing import normalizing
from sde_lib import VESDE, VPSDE

KEY = jax.random.key(0)
SHAPES = {"signal": (6, 1), "image": (4, 3, 2), "volume": (2, 3, 4, 1)}
BIJECTIONS = {
    "affine, numbers": (affine(0.3, 1.7), (4, 3, 2)),
    "affine, channels": (affine(np.array([0.3, -1.0]), np.array([0.4, 2.0])), (4, 3, 2)),
    "affine, elements": (affine(jnp.arange(6.0).reshape(6, 1), jnp.linspace(0.1, 3.0, 6)[:, None]), (6, 1)),
    **{f"cosine, {name}": (cosine(), shape) for name, shape in SHAPES.items()},
    "chain": (chain(affine(0.3, 1.7), cosine(), affine(0.0, np.array([0.4, 2.0]))), (4, 3, 2)),
}


@pytest.mark.parametrize("name", BIJECTIONS)
def test_the_cost_of_a_bijection_is_its_determinant(name):
    """cost = -log |det dz/dx|, by automatic differentiation; and x is decoded from its code."""
    codec, shape = BIJECTIONS[name]
    x = jax.random.normal(KEY, shape)
    params = codec.init(KEY, x)

    @jax.jit
    def both(x):
        z, cost = codec.encode(params, KEY, x)
        return codec.decode(params, None, z), cost, jax.jacfwd(lambda x: codec.encode(params, KEY, x)[0])(x)

    again, cost, jacobian = both(x)
    assert float(cost) == pytest.approx(-np.linalg.slogdet(jacobian.reshape(x.size, x.size))[1], rel=1e-4, abs=1e-4)
    np.testing.assert_allclose(again, x, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SHAPES)
def test_cosine_is_the_orthonormal_dct(name):
    x = np.random.default_rng(0).standard_normal(SHAPES[name]).astype(np.float32)
    z = jax.jit(lambda x: cosine().encode((), KEY, x)[0])(x)
    np.testing.assert_allclose(z, scipy.fft.dctn(x, axes=range(x.ndim - 1), norm="ortho"), rtol=1e-4, atol=1e-5)


def test_an_event_without_space_has_no_frequencies():
    with pytest.raises(ValueError, match=r"cosine needs axes of space, .* an event of shape \(2,\) has none; leave it out"):
        cosine().encode((), KEY, jnp.zeros(2))


def test_costs_of_a_chain_add_and_decoding_goes_back():
    """By hand: code of code, cost and cost, with the chain's own keys; a chain of none is the identity, of cost 0."""
    first, inner = affine(CORRELATED.mean, 2.0), CORRELATED.codec
    codec, params, x = chain(first, inner), ((), CORRELATED.params()), jnp.array([0.2, 0.5, -1.0])

    @jax.jit
    def both(x):
        z, cost = codec.encode(params, KEY, x)
        y, cost_1 = first.encode((), KEY, x)
        z_2, cost_2 = inner.encode(params[1], jax.random.split(KEY)[1], y)
        back = first.decode((), None, inner.decode(params[1], None, z))
        return (z, cost, codec.decode(params, None, z)), (z_2, cost_1 + cost_2, back)

    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-6), *both(x))
    assert jax.tree.structure(jax.eval_shape(codec.init, KEY, x)) == jax.tree.structure(params)
    nothing = chain()
    assert nothing.init(KEY, x) == ()
    assert nothing.encode((), KEY, x)[1] == 0
    assert nothing.decode((), KEY, nothing.encode((), KEY, x)[0]) is x


def test_a_chain_is_trained_by_its_one_loss():
    """The loss of the codec that has one, at the codes of those before it and with their cost; of two there is none."""
    first, inner, x = affine(0.5, 2.0), CORRELATED.codec, jnp.array([0.2, 0.5, -1.0])
    params = CORRELATED.params()
    whole = jax.jit(chain(first, inner).loss)(((), params), KEY, x, 0.5)
    alone = jax.jit(inner.loss)(params, jax.random.split(KEY)[1], (x - 0.5) / 2, 0.5)
    assert float(whole) == pytest.approx(3 * np.log(2.0) + float(alone), rel=1e-5)
    assert chain(first, first).loss is None
    assert chain(inner, inner).loss is None


def test_a_frozen_codec_has_nothing_to_train():
    codec, params, x = CORRELATED.codec, CORRELATED.params(), jnp.array([0.2, 0.5, -1.0])
    fixed = frozen(codec, params)
    assert fixed.init(KEY, x) == ()
    assert fixed.loss is None

    @jax.jit
    def coded(x):
        of = lambda codec, params: (codec.encode(params, KEY, x), codec.decode(params, KEY, x[:2]))
        return of(fixed, ()), of(codec, params)

    jax.tree.map(np.testing.assert_array_equal, *coded(x))


@pytest.mark.parametrize(("levels", "low"), [(256, -1.0), (17, 0.0), (2, -1.0)])
def test_a_dequantiser_and_a_scale_are_the_scaler(levels, low):
    """chain(dequantize, affine): x in the same cell, and -cost/D/log 2 the scaler's bits, its log of the width of a cell."""
    scaler = Scaler(levels, dequantize=True, low=low)
    codec = chain(dequantize(levels), affine(0.5 - low / scaler.cell, 1 / scaler.cell))
    k = jnp.arange(levels, dtype=jnp.uint8).reshape(-1, 1)
    x, cost = codec.encode(codec.init(KEY, k), KEY, k)
    u = x - scaler.place(k, 0.0)
    assert -1e-6 <= float(u.min()) <= float(u.max()) <= scaler.cell + 1e-6
    np.testing.assert_array_equal(codec.decode(((), ()), None, jnp.asarray(scaler.place(k, 0.5))), k)
    assert float(cost) == pytest.approx(-float(scaler.log_prob(0.0, k.size)), rel=1e-5, abs=1e-4)


@pytest.mark.parametrize("sde", [VPSDE(), VESDE()], ids=["VP", "VE"])
def test_codes_of_an_affine_codec_diffuse_as_an_affine_sde(sde):
    """x_t = m + s z_t is perturbed about m by alpha and s sigma, and log p_t(x_t) = log p_t(z_t) - cost, at a chain with the
    identity as alone."""
    m, s, t = 0.5, 2.0, 0.4
    alpha, sigma = float(sde.alpha(t)), float(sde.sigma(t))
    codec, (x, eps) = chain(affine(m, s), chain()), jnp.array([[0.9, -1.6], [0.3, -0.2]])
    z, cost = codec.encode(((), ()), KEY, x)
    z_t = sde.perturb(z, eps, t)
    x_t = codec.decode(((), ()), None, z_t)
    np.testing.assert_allclose(x_t, m + alpha * (x - m) + s * sigma * eps, rtol=1e-5, atol=1e-6)

    of_codes = replace(MIXTURE, means=(MIXTURE.means - m) / s, std=MIXTURE.std / s)
    variance = (alpha * MIXTURE.std) ** 2 + (s * sigma) ** 2
    parts = [multivariate_normal(m + alpha * (mean - m), variance * np.eye(2)).pdf(x_t) for mean in np.asarray(MIXTURE.means)]
    log_p = float(of_codes.log_prob(sde, z_t, t) - cost)
    assert log_p == pytest.approx(np.log(np.dot(MIXTURE.weights, parts)), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("sigma", [0.1, 1.0])
def test_denoising_is_score_matching(sigma):
    """|r(x + sigma n) - x|^2/2 = sigma^4 |psi + n/sigma|^2/2 with psi(x) = (r(x) - x)/sigma^2: D/2 of our dsm of weight 1 on
    an SDE of alpha = 1, with the same noise, example by example (Vincent 2011)."""
    size = partial(Perceptron, width=16, depth=1)
    codec = autoencoder(partial(size, emitted=(2,)), partial(size, emitted=(3,)), sigma)
    x, sde = jax.random.normal(KEY, (5, 3)), VESDE(0.01, 10.0)
    params = codec.init(KEY, x[0])
    r = lambda x: codec.decode(params, None, codec.encode(params, KEY, x)[0])
    matching = dsm(sde, lambda x, t: (r(x) - x) / sigma**2, weight=lambda sde, t: 1.0)
    t = sde.time_at(-2 * jnp.log(sigma))
    both = jax.jit(jax.vmap(lambda key, x: (codec.loss(params, key, x, 1.0) / sigma**4, 3 / 2 * matching(key, x, t))))
    np.testing.assert_allclose(*both(jax.random.split(KEY, 5), x), rtol=2e-3)


def test_an_autoencoder_has_no_density():
    codec, x = autoencoder(linear(2), linear(3)), jnp.array([0.2, 0.5, -1.0])
    assert not codec.density
    assert not chain(affine(), codec).density
    assert chain(affine(), CORRELATED.codec).density
    assert codec.encode(codec.init(KEY, x), KEY, x)[1] == 0


@slow_for("signal", "volume")
@pytest.mark.parametrize("shape", [(16, 2), (8, 12, 3), (4, 8, 4, 1)], ids=["signal", "image", "volume"])
def test_convolutions_go_down_and_back(shape):
    """A code has a quarter of each side, and what is decoded the shape of x."""
    codec = autoencoder(
        partial(ConvEncoder, channels=5, width=4, multipliers=(1, 2, 2)),
        partial(ConvDecoder, channels=shape[-1], width=4, multipliers=(1, 2, 2)),
    )
    x = jnp.zeros(shape)
    params = jax.eval_shape(codec.init, KEY, x)
    z = jax.eval_shape(codec.encode, params, KEY, x)[0]
    assert z.shape == (*(side // 4 for side in shape[:-1]), 5)
    assert jax.eval_shape(partial(codec.decode, key=None), params, z=z).shape == shape


@pytest.mark.slow
def test_a_pooled_code_is_a_mean_over_space():
    """Of what the encoder emits at each place: so an event of any sides has a vector, by the same parameters."""
    options = {"channels": 5, "width": 4, "multipliers": (1, 2)}
    conv, pooled = plain(partial(ConvEncoder, **options)), plain(partial(PooledEncoder, **options))
    x = jax.random.normal(KEY, (4, 6, 2))
    params = conv.init(KEY, x)
    np.testing.assert_allclose(pooled.apply(params, x), conv.apply(params, x).mean((0, 1)), atol=1e-6)
    longer = jnp.zeros((8, 2, 2))
    assert jax.eval_shape(pooled.apply, params, longer).shape == (5,)


@pytest.mark.parametrize(
    ("codec", "shape", "says"),
    [
        (autoencoder(linear(2), linear(4)), (3,), r"the decoder must emit \(3,\) for x of shape \(3,\), not \(4,\)"),
        (vae(linear(4), linear(3), gaussian()), (3, 1), r"the decoder must emit \(3, 1\) for x of shape \(3, 1\), not \(3,\)"),
        (vae(linear(3), linear(3), gaussian()), (3,), r"an even number of channels, not 3"),
        (autoencoder(partial(ConvEncoder, channels=2), linear(1)), (6, 4, 1), "3 resolutions need an image .* divisible by 4"),
        (autoencoder(linear(2), partial(ConvDecoder, channels=1)), (4, 4, 1), "which MLP takes, and in a codec Perceptron"),
    ],
    ids=["decoder", "axes", "odd", "side", "code without space"],
)
def test_networks_that_do_not_fit_are_refused(codec, shape, says):
    with pytest.raises(ValueError, match=says):
        jax.eval_shape(codec.init, KEY, jnp.zeros(shape))


HALVES = {
    "vae": CORRELATED.codec,
    "chain": chain(affine(0.3, 1.7), CORRELATED.codec, affine(0.1, 3.0)),
    "autoencoder": autoencoder(linear(2), linear(3)),
    "cosine": chain(affine(), cosine()),
}


@pytest.mark.parametrize("name", HALVES)
def test_a_code_is_a_draw_of_its_posterior_by_the_same_key(name):
    """To the bit, of fixed parameters too; and the posterior needs no key."""
    codec, x = HALVES[name], jax.random.normal(KEY, (3, 1) if name == "cosine" else (3,))
    params = codec.init(KEY, x)
    fixed = frozen(codec, params)
    for each, own in ((codec, params), (fixed, ())):
        posterior, draw = halves(each)
        for key in jax.random.split(KEY):
            np.testing.assert_array_equal(draw(own, key, posterior(own, x)), codec.encode(params, key, x)[0])


def test_what_reconstructs_says_so():
    """Its loss is that of the reconstruction, which is the mean of p(x | z) at the z of the same key."""
    x = jax.random.normal(KEY, (3,))
    both = chain(affine(0.3, 1.7), CORRELATED.codec)
    params = both.init(KEY, x)
    nats, x_hat = both.reconstruct(params, KEY, x, 0.7)
    assert float(nats) == float(both.loss(params, KEY, x, 0.7))
    (before, own), z = params, (x - 0.3) / 1.7
    z_hat = CORRELATED.codec.reconstruct(own, jax.random.split(KEY)[1], z, 0.7)[1]
    np.testing.assert_allclose(x_hat, 0.3 + 1.7 * z_hat, rtol=1e-6)
    assert before == ()
    assert chain(affine(), normalizing(affine())).reconstruct is None


@pytest.mark.slow
def test_a_linear_autoencoder_learns_the_principal_subspace():
    """Its loss falls to half the sum of the discarded eigenvalues of the covariance (Baldi & Hornik 1989)."""
    x = jnp.asarray(np.random.default_rng(0).standard_normal((400, 5)) * np.array([3.0, 2.0, 1.0, 0.5, 0.3]), jnp.float32)
    codec = autoencoder(linear(2), linear(5))
    params, loss = trained(codec, x, steps=3000)
    exact = np.linalg.eigvalsh(np.cov(x.T, bias=True))[:3].sum() / 2
    assert loss == pytest.approx(exact, rel=1e-2)
    assert params.keys() == {"encoder", "decoder"}
