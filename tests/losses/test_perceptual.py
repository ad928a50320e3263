"""The distance by features: LPIPS by hand, of directions alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from losses import perceptual

KEYS = jax.random.split(jax.random.key(0), 6)
A, B = jax.random.normal(KEYS[0], (3, 4)), jax.random.normal(KEYS[1], (3, 6))
HEADS = [jnp.abs(jax.random.normal(KEYS[2], (4,))), jnp.abs(jax.random.normal(KEYS[3], (6,)))]
X, Y = jax.random.normal(KEYS[4], (2, 5, 8, 3))


def features(x):
    """Two layers, the second at half the resolution."""
    return [x @ A, x[:, ::2] @ B]


def by_hand(x, y, heads):
    total = 0.0
    for f, g, w in zip(features(x), features(y), heads, strict=True):
        f, g = (np.array(each, np.float64) for each in (f, g))
        for place in np.ndindex(f.shape[:2]):
            difference = f[place] / np.linalg.norm(f[place]) - g[place] / np.linalg.norm(g[place])
            total += (np.array(w) * difference**2).sum() / np.prod(f.shape[:2])
    return total


def test_it_is_lpips():
    assert float(perceptual(features, HEADS)(X, Y)) == pytest.approx(by_hand(X, Y, HEADS), rel=1e-5)
    assert float(perceptual(features)(X, Y)) == pytest.approx(by_hand(X, Y, [1.0, 1.0]), rel=1e-5)


def test_only_directions_count():
    distance = perceptual(features, HEADS)
    assert float(distance(X, 3 * X)) == pytest.approx(0, abs=1e-10)
    assert float(distance(2 * X, 0.1 * Y)) == pytest.approx(float(distance(X, Y)), rel=1e-5)


def test_its_slope_is_finite_where_features_are_zero():
    slope = jax.grad(perceptual(features, HEADS))(jnp.zeros_like(X), Y)
    assert jnp.isfinite(slope).all()
