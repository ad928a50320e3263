"""The first stage with a codebook: its gradients by hand, its codes in decode, and a codebook that is all in use."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from models import vq_autoencoder
from models.codecs.vq import nearest, unused
from models.functional import Functional

KEYS = jax.random.split(jax.random.key(0), 4)


def scaled(start):
    """x -> a x for a vector a, which is its only parameter."""
    return Functional(lambda key, x: jnp.asarray(start), lambda a, x, c_noise, y, key: a * x)


def test_the_nearest_is_the_nearest():
    points, x = jax.random.normal(KEYS[0], (7, 3)), jax.random.normal(KEYS[1], (4, 5, 3))
    squares = ((np.array(x)[..., None, :] - np.array(points)) ** 2).sum(-1)
    np.testing.assert_array_equal(nearest(points, x), squares.argmin(-1))


@pytest.mark.parametrize("legacy", [False, True], ids=["as in the paper", "as published"])
def test_its_gradients_are_straight_through(legacy):
    """The decoder's passes the codebook by; of the squares, |sg z - e|^2 moves codes, and |z - sg e|^2 the encoder.

    Every code is drawn to the one z of this example, to which one is nearest.
    """
    beta, a, w = 0.7, np.array([1.5, -0.5], np.float32), np.array([0.8, 1.2], np.float32)
    codec = vq_autoencoder(scaled(a), scaled(w), codes=3, commitment=0.25, usage=0.3, legacy=legacy)
    x, codebook = jnp.array([[0.45, 1.0]]), np.array([[5.0, 5.0], [0.5, -0.6], [-4.0, 0.0]], np.float32)
    params = codec.init(KEYS[0], x) | {"codebook": jnp.array(codebook)}
    z, e = a * x[0], codebook[1]
    to_codebook, to_encoder = (0.25, 1.0) if legacy else (1.0, 0.25)
    loss, slope = jax.jit(jax.value_and_grad(codec.loss))(params, KEYS[1], x, beta)
    squares = (1.25 - 0.3) * ((z - e) ** 2).mean() + 0.3 * ((codebook - z) ** 2).mean()
    assert float(loss) == pytest.approx(float(abs(x - w * e).sum() + beta * x.size * squares), rel=1e-5)
    outward = -np.sign(x[0] - w * e)
    np.testing.assert_allclose(slope["decoder"], outward * e, rtol=1e-5)
    np.testing.assert_allclose(slope["encoder"], (outward * w + beta * to_encoder * 2 * (z - e)) * x[0], rtol=1e-5)
    own = np.array([0 * e, to_codebook * 2 * (e - z), 0 * e])
    np.testing.assert_allclose(slope["codebook"], beta * (own + 0.3 / 3 * 2 * (codebook - z)), rtol=1e-5)


def test_it_quantises_in_decode_and_has_no_density():
    codec = vq_autoencoder(scaled([1.0, 2.0]), scaled([1.0, 1.0]), codes=5)
    x = jax.random.normal(KEYS[0], (4, 2))
    params = codec.init(KEYS[1], x) | {"codebook": jax.random.normal(KEYS[2], (5, 2))}
    z, cost = codec.encode(params, KEYS[3], x)
    np.testing.assert_allclose(z, x * jnp.array([1.0, 2.0]))
    of_codes = codec.decode(params, None, z)
    np.testing.assert_array_equal(of_codes, codec.decode(params, KEYS[3], of_codes))
    np.testing.assert_array_equal(of_codes, params["codebook"][nearest(params["codebook"], z)])
    assert (float(cost), codec.density) == (0.0, False)


def test_a_distance_counts_once_for_each_number():
    x = jax.random.normal(KEYS[0], (4, 2))
    nets = scaled([1.0, 2.0]), scaled([1.0, 1.0])
    plain, ours = vq_autoencoder(*nets), vq_autoencoder(*nets, distance=lambda x, y: 3.0)
    params = plain.init(KEYS[1], x)
    extra = ours.loss(params, KEYS[2], x, 1.0) - plain.loss(params, KEYS[2], x, 1.0)
    assert float(extra) == pytest.approx(3.0 * x.size, rel=1e-5)


def test_what_is_unused_is_by_how_far():
    """On a line: of the codes 0, 1, 10 and 14 for z at 0 and 2, 10 is to be nearer by 8^2 - 1 to win 2, and 14 by 12^2 - 1."""
    codebook, z = jnp.array([[0.0], [1.0], [10.0], [14.0]]), jnp.array([[[0.0]], [[2.0]]])
    value, slope = jax.value_and_grad(unused)(codebook, z)
    assert float(value) == (0 + 0 + 63 + 143) / 4
    np.testing.assert_allclose(slope[:, 0], [0, -2 / 4, 16 / 4, 24 / 4])
    assert float(unused(codebook[:2], z)) == 0.0


ANGLES = 2 * jnp.pi * jnp.arange(8) / 8
CENTRES = jnp.stack([jnp.cos(ANGLES), jnp.sin(ANGLES)], axis=-1)


def clustered(key, n):
    """Examples [16, 2] whose places are points of eight clusters on a circle."""
    which, noise = jax.random.split(key)
    return CENTRES[jax.random.randint(which, (n, 16), 0, 8)] + 0.05 * jax.random.normal(noise, (n, 16, 2))


def trained(usage, start):
    """How often each of 16 codes is the nearest, and the mean square, after 500 steps from codes about `start`."""
    codec = vq_autoencoder(scaled([1.0, 1.0]), scaled([1.0, 1.0]), codes=16, usage=usage)
    params = codec.init(KEYS[0], jnp.zeros((16, 2)))
    codebook, adam = start + 0.1 * jax.random.normal(KEYS[1], (16, 2)), optax.adam(0.02)

    def loss(codebook, key):
        one = lambda x: codec.loss(params | {"codebook": codebook}, key, x, 1.0)
        return jax.vmap(one)(clustered(key, 8)).mean()

    def step(state, key):
        codebook, memory = state
        update, memory = adam.update(jax.grad(loss)(codebook, key), memory)
        return (optax.apply_updates(codebook, update), memory), None

    train = jax.jit(partial(jax.lax.scan, step))
    (codebook, _), _ = train((codebook, adam.init(codebook)), jax.random.split(KEYS[2], 500))
    z = clustered(KEYS[3], 500).reshape(-1, 2)
    k = nearest(codebook, z)
    return np.bincount(k, minlength=16) / len(z), float(jnp.sum((z - codebook[k]) ** 2, axis=-1).mean())


@pytest.mark.slow
def test_all_codes_come_into_use():
    """From among the clusters each cluster gets codes of its own; without the term most codes are the nearest to nothing."""
    used, error = trained(0.01, jnp.zeros(2))
    assert used.min() > 0
    assert error < 2 * 0.05**2
    plain, worse = trained(0.0, jnp.zeros(2))
    assert (plain == 0).sum() > 8
    assert worse > 10 * error


@pytest.mark.slow
def test_nearly_all_come_into_use_from_afar():
    """From where one code is the nearest to everything, and a few crowd in the first cluster that they meet."""
    used, plain = (trained(usage, 3 * CENTRES[0])[0] for usage in (0.01, 0.0))
    assert (used == 0).sum() <= 3
    assert (plain == 0).sum() >= 14
