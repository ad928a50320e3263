"""Grey levels and back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from experiments.config.reading import read_config
from experiments.config.schema import Config
from experiments.data.moments import Moments, Spread
from experiments.data.scaler import Scaler, scale


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


MOMENTS = Moments((2.0, -300.0, 1e4), (0.1, 40.0, 5.0))


@pytest.mark.parametrize("shape", [(3,), (7, 3), (4, 5, 3), (2, 3, 4, 3)])
@pytest.mark.parametrize("standardise", ["channel", "scalar"])
def test_standardised_floats_come_back_in_their_units(shape, standardise):
    """They have mean 0 and std 1 by numpy, of each channel or of all numbers."""
    rng = np.random.default_rng(0)
    k = (rng.normal(size=(500, *shape)) * np.array(MOMENTS.std) + np.array(MOMENTS.mean)).astype(np.float32)
    scaler = Scaler(0, False, moments=Spread.of(k).moments.over(standardise))
    x = np.asarray(jax.jit(jax.vmap(lambda k: scaler.encode(jax.random.key(0), k)))(k))
    axes = None if standardise == "scalar" else tuple(range(k.ndim - 1))
    np.testing.assert_allclose(x.mean(axes, dtype=np.float64), 0, atol=2e-3)
    np.testing.assert_allclose(x.std(axes, dtype=np.float64), 1, atol=1e-3)
    np.testing.assert_allclose(scaler.decode(jnp.asarray(x)), k, rtol=1e-5, atol=1e-3)
    assert scaler.display(k) is k


@pytest.mark.parametrize("shape", [(3,), (7, 3), (4, 5, 3)])
def test_a_density_is_one_of_the_data_s_units(shape):
    """log N(k; mean, std^2) of each number is that of x = (k - mean)/std, less log std."""
    mean, std = np.array(MOMENTS.mean), np.array(MOMENTS.std)
    k = mean + std * np.random.default_rng(0).normal(size=shape)
    exact = norm.logpdf(k, mean, std).sum()
    scaler = Scaler(0, False, moments=MOMENTS)
    of_x = norm.logpdf(np.asarray(scaler.place(k, 0.5), np.float64)).sum()
    assert scaler.log_prob(of_x, k.size) == pytest.approx(exact, rel=1e-5)
    assert scaler.bits_per_dim(of_x, k.size) == pytest.approx(-exact / k.size / np.log(2), rel=1e-5)


@pytest.mark.slow
def test_a_config_says_by_what(in_root):
    config = lambda what: Config.model_validate(read_config("configs/toy2d/moons.py", [f"--config.data.standardise={what}"]))
    assert scale(config("none"), MOMENTS) == Scaler(0, False)
    assert scale(config("channel"), MOMENTS).moments == MOMENTS
    assert scale(config("scalar"), MOMENTS).moments == MOMENTS.over("scalar")
