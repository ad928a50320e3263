"""A network of images as one of their cosine codes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models import cosine, in_space, score_model
from models.functional import Functional
from sde_lib import VPSDE, BlurringSDE

KEY, Z = jax.random.key(0), jax.random.normal(jax.random.key(1), (4, 3, 2))


def log_p(x):
    """A density of images."""
    return jnp.sum(jnp.cos(x)) - jnp.sum(x * jnp.roll(x, 1, axis=0)) - jnp.sum(x**2)


NET = Functional(lambda key, x: (), lambda params, x, c_noise, y, key: -jax.vmap(jax.grad(log_p))(x))
"""It emits -grad log p of the image that it sees, eps at sigma = 1."""


def image(z):
    return cosine().decode((), None, z)


@pytest.mark.slow
def test_the_score_of_images_is_that_of_their_codes():
    """C grad log p(C^T z) is the gradient of log p(C^T z) in z."""
    emitted = in_space(NET).apply((), Z[None], jnp.zeros(1), None, None)[0]
    np.testing.assert_allclose(-emitted, jax.grad(lambda z: log_p(image(z)))(Z), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_score_model_of_codes_is_one_of_images_coded():
    """On an SDE whose coordinates are alike; and with an alpha for each frequency it is a score of the code's shape."""
    x, sde = image(Z), VPSDE()
    of_code = score_model(in_space(NET), sde).apply((), Z, 0.3)
    np.testing.assert_allclose(image(of_code), score_model(NET, sde).apply((), x, 0.3), rtol=1e-4, atol=1e-5)
    assert score_model(in_space(NET), BlurringSDE((4, 3))).apply((), Z, 0.3).shape == Z.shape
