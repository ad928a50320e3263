"""The gate to what is written for XLA:CPU: the program that each platform gets, and the switch."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from slow import one_in

from models import DDPM, functional

NET = functional(partial(DDPM, width=8, multipliers=(1, 2), blocks=1, attention=(2,), dropout=0.0))
X = jax.random.normal(jax.random.key(0), (2, 4, 4, 1))
PARAMS = jax.eval_shape(NET.init, jax.random.key(1), X[0])


def gradient():
    """The gradient of a training step's loss inside a scan, as a function that no cache knows."""

    def loss(params, x):
        return jnp.mean(NET.apply(params, x, jnp.ones(len(x)), None, None) ** 2)

    def steps(params, xs):
        return jax.lax.scan(lambda total, x: (jax.tree.map(jnp.add, total, jax.grad(loss)(params, x)), None), params, xs)[0]

    return jax.jit(steps)


def program(platform):
    """The program for `platform`, which need not be there."""
    xs = jax.ShapeDtypeStruct((2, *X.shape), X.dtype)
    return gradient().trace(PARAMS, xs).lower(lowering_platforms=(platform,)).as_text()


def assert_plain(text):
    """Every convolution and both of its gradients are one, but for the gradient of the data; and nothing is for XLA:CPU."""
    kernels = sum(len(leaf.shape) == 4 for leaf in jax.tree.leaves(PARAMS))
    assert text.count("stablehlo.convolution") == 3 * kernels - 1
    assert "stride = [2, 2]" in text
    assert "lhs_dilate = [2, 2]" in text
    for construct in ("optimization_barrier", "inlineable", "stablehlo.case"):
        assert construct not in text


@one_in(2)
@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_accelerators_get_plain_jax(platform):
    assert_plain(program(platform))


@pytest.mark.slow
def test_the_switch_makes_a_cpu_plain(monkeypatch):
    text = program("cpu")
    assert "inlineable" in text
    assert "lhs_dilate = [2, 2]" not in text
    monkeypatch.setenv("ONESDE_PLAIN", "1")
    assert_plain(program("cpu"))


@pytest.mark.slow
def test_both_programs_compute_the_same(monkeypatch):
    params = jax.tree.map(lambda a: 0.1 * jnp.cos(jnp.arange(a.size, dtype=a.dtype)).reshape(a.shape), PARAMS)
    fast = gradient()(params, X[None])
    monkeypatch.setenv("ONESDE_PLAIN", "1")
    for ours, plain in zip(*map(jax.tree.leaves, (fast, gradient()(params, X[None]))), strict=True):
        np.testing.assert_allclose(ours, plain, rtol=1e-3, atol=1e-4 * (1 + np.abs(plain).max()))
