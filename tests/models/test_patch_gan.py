"""The discriminator of latent diffusion's first stages: its published size, its patches, and its normalisation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from models import PatchGAN
from models.build import abstract
from models.layers.norm import BatchNorm


def test_it_has_the_published_size():
    """That of pix2pix, whose three convolutions before the last have no bias, as each has a normalisation after it."""
    net = nnx.state(abstract(PatchGAN, (256, 256, 3)), nnx.Param)
    assert sum(leaf.size for leaf in jax.tree.leaves(net)) == 2_765_633


@pytest.mark.slow
def test_a_logit_sees_a_patch_of_70_pixels(monkeypatch):
    """Without the normalisation, by which each sees the whole batch."""
    monkeypatch.setattr(BatchNorm, "__call__", lambda self, x: x)
    net = PatchGAN((128, 128, 1), width=1, rngs=nnx.Rngs(0))
    slope = jax.jit(jax.grad(lambda x: net(x)[0, 7, 7, 0]))(jnp.ones((1, 128, 128, 1)))[0, :, :, 0]
    rows, columns = (np.flatnonzero(np.abs(slope).sum(axis)) for axis in (1, 0))
    assert np.ptp(rows) + 1 == np.ptp(columns) + 1 == 70


def test_batch_norm_is_of_batch_and_pixels():
    """Each channel of a x + b is standardised, whatever a > 0 and b; and then scaled and shifted."""
    norm, x = BatchNorm(3, rngs=nnx.Rngs(0)), jax.random.normal(jax.random.key(0), (4, 5, 6, 3))
    scaled = 100 * x + jnp.arange(3.0)
    np.testing.assert_allclose(norm(scaled), norm(x), atol=1e-4)
    norm.scale[...], norm.bias[...] = jnp.arange(1.0, 4.0), jnp.arange(3.0)
    np.testing.assert_allclose(norm(x).mean((0, 1, 2)), jnp.arange(3.0), atol=1e-5)
    np.testing.assert_allclose(norm(x).std((0, 1, 2)), jnp.arange(1.0, 4.0), rtol=1e-4)
