"""Grey levels and back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.data.scaler import Scaler


@pytest.mark.parametrize("levels", [2, 17, 256])
@pytest.mark.parametrize("dequantize", [False, True])
@pytest.mark.parametrize("low", [-1.0, 0.0])
def test_decode_inverts_encode(levels, dequantize, low):
    """Every level, wherever in its cell but for float32's resolution of the ends; in the middle the ends are `low` and 1."""
    scaler, k = Scaler(levels, dequantize, low), jnp.arange(levels, dtype=jnp.uint8)
    x = jax.vmap(lambda u: scaler.place(k, u))(jnp.linspace(0.001, 0.999, 50) if dequantize else jnp.full(50, 0.5))
    np.testing.assert_array_equal(jax.vmap(scaler.decode)(x), np.tile(k, (50, 1)))
    if not dequantize:
        np.testing.assert_allclose(x[0, [0, -1]], [low, 1], atol=1e-6)


@pytest.mark.parametrize("levels", [17, 256])
@pytest.mark.parametrize("low", [-1.0, 0.0])
def test_uniform_levels_cost_log2_levels_bits(levels, low):
    """A density uniform on the dequantised range assigns every level 1/levels, hence log2(levels) bits."""
    width = (1 - low) * levels / (levels - 1)
    bits = Scaler(levels, True, low).bits_per_dim(jnp.asarray(-8 * np.log(width)), 8)
    assert float(bits) == pytest.approx(np.log2(levels), rel=1e-5)


def test_points_pass_through():
    x = jnp.array([0.3, -2.0])
    assert Scaler(0, False).encode(jax.random.key(0), x) is x
    assert float(Scaler(0, False).bits_per_dim(jnp.asarray(-np.log(2.0)), 1)) == pytest.approx(1.0)
