"""The convolution of fewer products: the identity that it rests on, and the plain convolution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.cpu import winograd
from models.cpu.correlation import correlate, plain

AROUND = ((1, 1), (1, 1))


def arrays(*shapes):
    return [jax.random.normal(key, shape) for key, shape in zip(jax.random.split(jax.random.key(0), 3), shapes, strict=False)]


def test_the_form_is_the_product_of_polynomials():
    """sum_p A_pi G_pk B_pn is 1 where n = i + k, and 0 elsewhere."""
    i, k, n = np.ogrid[:4, :3, :6]
    found = np.einsum("pi,pk,pn->ikn", winograd.A, winograd.G, winograd.B)
    np.testing.assert_allclose(found, n == i + k, atol=1e-15)


@pytest.mark.parametrize("padding", [AROUND, ((0, 2), (2, 0)), ((3, -1), (0, 2))], ids=str)
def test_it_is_the_plain_convolution(padding):
    """And its adjoint in the kernel, to the rounding of float64; in float32 to a few millionths."""
    with jax.enable_x64(True):
        x, W, y = (array.astype(jnp.float64) for array in arrays((2, 4, 8, 5), (3, 3, 5, 6), (2, 4, 8, 6)))
        expected, pull = jax.vjp(lambda W: plain(x, W, padding), W)
        np.testing.assert_allclose(winograd.correlate(x, W, padding), expected, atol=1e-12)
        np.testing.assert_allclose(winograd.kernel_adjoint(x, y, padding), pull(y)[0], atol=1e-12)
        narrow = winograd.correlate(x.astype(jnp.float32), W.astype(jnp.float32), padding)
        assert narrow.dtype == jnp.float32
        np.testing.assert_allclose(narrow, expected, atol=1e-5 * float(jnp.abs(expected).max()))


def test_wide_convolutions_are_made_of_it():
    """Value, gradients and their derivatives, in programs without a convolution, each kind a function of its own."""
    x, W, y = arrays((2, 4, 4, 128), (3, 3, 128, 128), (2, 4, 4, 128))

    def derivatives(convolution):
        def gradients(x, W):
            value, pull = jax.vjp(lambda x, W: convolution(x, W, AROUND), x, W)
            return value, pull(y)

        return jax.jit(lambda x, W: jax.jvp(gradients, (x, W), (x, W)))

    ours = derivatives(correlate)
    for found, expected in zip(*(jax.tree.leaves(made(x, W)) for made in (ours, derivatives(plain))), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5 * float(jnp.abs(expected).max()))
    if jax.default_backend() == "cpu":
        text = ours.lower(x, W).compile().as_text()
        assert "convolution(" not in text
        assert text.count(" call(") >= 3


@pytest.mark.parametrize(
    ("W", "y", "dtype"),
    [
        ((3, 3, 128, 64), (1, 4, 4, 64), "float32"),
        ((3, 3, 128, 128), (1, 4, 6, 128), "float32"),
        ((4, 3, 128, 128), (1, 4, 4, 128), "float32"),
        ((3, 3, 128, 128), (1, 4, 4, 128), "bfloat16"),
    ],
)
def test_others_are_not(W, y, dtype):
    assert winograd.pays((3, 3, 128, 128), (1, 4, 4, 128), jnp.float32)
    assert not winograd.pays(W, y, jnp.dtype(dtype))
