"""U-Nets that hear a label: half precision, remat, no label, dropout, alike for each of them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from published import relative_error
from slow import one_in

from models import functional
from models.networks.adm import ADM
from models.networks.edm_unet import EDMUNet
from models.networks.ldm_unet import LDMUNet

QUICKLY = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


@pytest.fixture(scope="module", params=[ADM, EDMUNet, pytest.param(LDMUNet, marks=pytest.mark.slow)])
def small(request):
    """A network of one resolution and three labels, parameters drawn anyhow, x, c_noise, and its output for the label 1."""
    rng = np.random.default_rng(0)
    build = partial(request.param, width=8, multipliers=(1,), blocks=1, attention=(), dropout=0.5, classes=3)
    x, c = jnp.array(rng.standard_normal((1, 4, 4, 3)), jnp.float32), jnp.ones(1)
    like = jax.eval_shape(functional(build).init, jax.random.key(0), x[0])
    params = jax.tree.map(lambda a: jnp.array(0.3 * rng.standard_normal(a.shape), jnp.float32), like)
    return build, params, x, c, functional(build).apply(params, x, c, jnp.array([1]), None)


@pytest.mark.slow
def test_half_precision_stays_close(small):
    build, params, x, c, out = small
    half = functional(build, compute="bfloat16").apply(params, x, c, jnp.array([1]), None)
    assert half.dtype == jnp.float32
    assert 0 < relative_error(half, out) < 0.03


@pytest.mark.slow
def test_forgetting_activations_keeps_the_gradient(small):
    build, params, x, c, _ = small
    loss = lambda params, remat: (functional(build, remat=remat).apply(params, x, c, None, None) ** 2).mean()
    gradient = lambda remat: jax.jit(jax.grad(partial(loss, remat=remat)), compiler_options=QUICKLY)(params)
    kept, forgotten = gradient(False), gradient(True)
    scale = max(float(abs(g).max()) for g in jax.tree.leaves(kept))
    jax.tree.map(lambda f, k: np.testing.assert_allclose(f, k, rtol=1e-4, atol=1e-5 * scale), forgotten, kept)


@one_in(2)
def test_no_label_is_none_or_the_last(small):
    build, params, x, c, labelled = small
    none, last = (functional(build).apply(params, x, c, y, None) for y in (None, jnp.array([3])))
    np.testing.assert_array_equal(none, last)
    assert relative_error(labelled, none) > 1e-3


def test_dropout_needs_a_key(small):
    build, params, x, c, out = small
    first, second = (functional(build).apply(params, x, c, jnp.array([1]), jax.random.key(k)) for k in (0, 1))
    assert min(relative_error(first, second), relative_error(first, out)) > 1e-3
