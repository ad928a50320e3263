"""Bits and normal numbers against chance."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from sde_lib import fast_random


def test_bits_of_the_hash_are_those_of_chance():
    """Each bit is half the time 1, and agrees with a neighbour's, another key's or another bit as often as chance has it."""
    n = 1 << 14
    words = np.asarray(jax.vmap(lambda key: fast_random.bits(key, (n,)))(jax.random.split(jax.random.key(0), 8)))
    bits = (words[:, :, None] >> np.arange(32, dtype=np.uint32)) & 1
    signs = 1.0 - 2.0 * bits.reshape(8, n, 32)
    bound = 5.5 / np.sqrt(n)
    assert np.abs(signs.mean(1)).max() < bound
    for lag in (1, 2, 32, 256):
        assert np.abs((signs[:, lag:] * signs[:, :-lag]).mean(1)).max() < bound
    assert np.abs((signs[1:] * signs[:-1]).mean(1)).max() < bound
    across = np.einsum("kni,knj->kij", signs, signs) / n
    assert np.abs(across - np.eye(32)).max() < bound


def test_normal_numbers_are_normal():
    """By distribution, tails and moments; neighbours, far ones and those of two keys are independent, and so their squares."""
    n = 1 << 20
    z = np.asarray(jax.vmap(lambda key: fast_random.normal(key, (n,)))(jax.random.split(jax.random.key(0), 2)), float)
    assert scipy.stats.kstest(z[0], "norm").pvalue > 1e-3
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((z**power).mean() - moment) < 4 * np.sqrt(variance / z.size)
    beyond = 2 * scipy.stats.norm.sf(4) * z.size
    assert abs((np.abs(z) > 4).sum() - beyond) < 4 * np.sqrt(beyond)
    for a, b in ((z[0, 1:], z[0, :-1]), (z[0, 3072:], z[0, :-3072]), (z[0], z[1])):
        assert abs(np.corrcoef(a, b)[0, 1]) < 5 / np.sqrt(n)
        assert abs(np.corrcoef(a**2, b**2)[0, 1]) < 5 / np.sqrt(n)


def test_the_ends_are_finite_and_the_draw_is_a_function_of_the_key():
    ends = jnp.array([0, 2**32 - 1], jnp.uint32)
    u = ((ends >> 9).astype(jnp.float32) + 0.5) * 2.0**-22 - 1
    np.testing.assert_array_equal(u, [-1 + 2.0**-23, 1 - 2.0**-23])
    assert np.isfinite(jax.lax.erf_inv(u)).all()
    key = jax.random.key(1)
    np.testing.assert_array_equal(fast_random.normal(key, (3, 5)).ravel(), jax.jit(lambda: fast_random.normal(key, (15,)))())
    with jax.enable_x64(True):
        assert fast_random.normal(key, (3,)).dtype == jnp.float64
        assert fast_random.normal(key, (3,), jnp.dtype("float32")).dtype == jnp.float32
