"""The layers that are written for speed against plain ones: group normalisation and dropout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from slow import one_in, slow_for

from models.layers.dropout import Dropout
from models.layers.norm import GroupNorm, standardize

KEYS = jax.random.split(jax.random.key(0), 4)


def published(norm, x):
    """Wu & He (2018), eq. 1 to 4 and 6."""
    grouped = x.reshape(len(x), -1, norm.groups, x.shape[-1] // norm.groups)
    y = standardize(grouped, (1, 3), norm.eps).reshape(x.shape)
    return y if norm.scale is None else y * norm.scale[...] + norm.bias[...]


@one_in(2)
@slow_for("()", "(5,)")
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("space", [(), (5,), (4, 3)], ids=str)
def test_group_norm_is_the_published_one(space, affine):
    """Value, gradient, and the derivative of the gradient."""
    norm = GroupNorm(12, 3, affine=affine)
    if affine:
        norm.scale[...], norm.bias[...] = jax.random.normal(KEYS[0], (2, 12))
    x, ct = jax.random.normal(KEYS[1], (2, 2, *space, 12))
    for function in (
        lambda f: f(x),
        lambda f: jax.vjp(f, x)[1](ct)[0],
        lambda f: jax.jvp(jax.grad(lambda x: f(x)[0, ..., 0].sum()), (x,), (ct,))[1],
    ):
        np.testing.assert_allclose(function(norm), function(lambda x: published(norm, x)), rtol=2e-4, atol=2e-5)


def test_group_norm_survives_a_large_mean():
    """Of a thousand deviations: by mean(x^2) - mean(x)^2 nothing would be left of float32."""
    norm, x = GroupNorm(8, 2), jax.random.normal(KEYS[0], (2, 4, 4, 8))
    np.testing.assert_allclose(norm(x + 1000.0), norm(x), atol=2e-3)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_keeps_its_share_and_the_mean(rate):
    """Of every number, over keys, and of every key, over numbers; what is kept is larger, and so is its gradient."""
    n = 400
    draw = jax.vmap(lambda key: Dropout(rate)(jnp.ones(n), key))(jax.random.split(KEYS[0], n))
    kept = np.asarray(draw > 0)
    np.testing.assert_allclose(draw[kept], 1 / (1 - rate), rtol=1e-6)
    deviations = lambda share, n: (share - (1 - rate)) / np.sqrt(rate * (1 - rate) / n)
    assert abs(deviations(kept.mean(), n * n)) < 4
    for axis in (0, 1):
        z = deviations(kept.mean(axis), n)
        assert 0.8 < z.std() < 1.2
        assert np.abs(z).max() < 5
    gradient = jax.grad(lambda x: Dropout(rate)(x, KEYS[1]).sum())(jnp.ones(n))
    np.testing.assert_array_equal(gradient, Dropout(rate)(jnp.ones(n), KEYS[1]))
    np.testing.assert_array_equal(Dropout(rate)(jnp.ones(n), None), 1.0)
