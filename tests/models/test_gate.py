"""The gate to what is written for XLA:CPU: the program that each platform gets, and the switch."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

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
    xs = jax.ShapeDtypeStruct((2, *X.shape), X.dtype)
    return gradient().trace(PARAMS, xs).lower(lowering_platforms=(platform,)).as_text()


def is_plain(text):
    """Every convolution is one that JAX derives, of which the strided one's gradient dilates; nothing is for XLA:CPU."""
    of_cpu = ("optimization_barrier", "inlineable")
    return "stablehlo.convolution" in text and "lhs_dilate = [2, 2]" in text.replace("dilations", "dilate") and not any(
        each in text for each in of_cpu
    )


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_accelerators_get_plain_jax(platform):
    assert is_plain(program(platform))


def test_the_switch_makes_a_cpu_plain(monkeypatch):
    assert not is_plain(program("cpu"))
    monkeypatch.setenv("ONESDE_PLAIN", "1")
    text = program("cpu")
    assert is_plain(text)
    assert text.count("stablehlo.convolution") == program("cuda").count("stablehlo.convolution")


def test_both_programs_compute_the_same(monkeypatch):
    params = jax.tree.map(lambda a: 0.1 * jnp.cos(jnp.arange(a.size, dtype=a.dtype)).reshape(a.shape), PARAMS)
    fast = gradient()(params, X[None])
    monkeypatch.setenv("ONESDE_PLAIN", "1")
    for ours, plain in zip(*map(jax.tree.leaves, (fast, gradient()(params, X[None]))), strict=True):
        np.testing.assert_allclose(ours, plain, rtol=1e-3, atol=1e-4 * (1 + np.abs(plain).max()))
