"""Projections: idempotent, self-adjoint, and of the space that they say."""

import re

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samplers import coarse, grey

sizes = st.integers(1, 4)


def images(shape, seed):
    return jnp.asarray(np.random.default_rng(seed).standard_normal((2, *shape)), float)


def is_orthogonal_projection(P, shape, seed):
    x, y = images(shape, seed)
    assert P(x).shape == x.shape
    np.testing.assert_allclose(P(P(x)), P(x), atol=1e-6)
    assert float(jnp.vdot(P(x), y)) == pytest.approx(float(jnp.vdot(x, P(y))), abs=1e-4)


@settings(max_examples=8, deadline=None)
@given(sizes, sizes, st.integers(2, 5), st.integers(0, 100))
def test_grey_is_an_orthogonal_projection_onto_equal_channels(height, width, channels, seed):
    is_orthogonal_projection(grey, (height, width, channels), seed)
    x, y = images((height, width, channels), seed)
    np.testing.assert_array_equal(grey(x)[..., 0], grey(x)[..., -1])
    equal = jnp.broadcast_to(y[..., :1], y.shape)
    np.testing.assert_allclose(grey(equal), equal, atol=1e-6)


@settings(max_examples=8, deadline=None)
@given(sizes, sizes, sizes, st.sampled_from([(), (1,), (3,)]), st.integers(0, 100))
def test_coarse_is_an_orthogonal_projection_onto_equal_blocks(factor, height, width, channels, seed):
    is_orthogonal_projection(coarse(factor), (factor * height, factor * width, *channels), seed)
    small = images((height, width, *channels), seed)[0]
    blocks = small.repeat(factor, 0).repeat(factor, 1)
    np.testing.assert_allclose(coarse(factor)(blocks), blocks, atol=1e-6)


@pytest.mark.parametrize(
    ("P", "shape", "says"),
    [
        (grey, (8, 8, 1), "grey takes an image [H, W, C] of two channels or more, and this is of shape (8, 8, 1)"),
        (grey, (3,), "grey takes an image [H, W, C] of two channels or more, and this is of shape (3,)"),
        (coarse(3), (28, 28, 1), "coarse(3): blocks of 3 x 3 do not fill 28 x 28; those of the nearest sizes, 2 and 4, do"),
        (coarse(4), (8, 6, 3), "coarse(4): blocks of 4 x 4 do not fill 8 x 6; those of the nearest size, 2, do"),
        (coarse(0), (4, 4), "coarse(0): blocks of 0 x 0 do not fill 4 x 4; those of the nearest size, 1, do"),
        (coarse(2), (8,), "coarse takes an image [H, W, ...], and this is of shape (8,)"),
    ],
)
def test_an_event_that_does_not_fit_is_refused(P, shape, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        P(jnp.zeros(shape))
