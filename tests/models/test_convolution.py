"""Convolutions and their derivatives against JAX's own, and the form in which they reach the compiler."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from slow import one_in

from experiments.build.build import build
from experiments.build.optimizer import make_optimizer
from experiments.build.state import first_state
from experiments.config.reading import read_config
from experiments.config.schema import Config
from experiments.data.dataset import Batch
from experiments.training.step import make_step
from models.cpu.bilinear import FEW
from models.cpu.convolution import Form, convolved, dense, dilated, same, sliced, strided
from models.cpu.convolution import plain as whole
from models.cpu.correlation import correlate, plain

KEYS = jax.random.split(jax.random.key(0), 3)


def images(*shape):
    return jax.random.normal(KEYS[0], shape)


def kernel(*shape):
    return jax.random.normal(KEYS[1], shape)


def derivatives(convolution, x, W):
    """By both operands: the gradient, its derivative along x, the gradient of each example, and of a vmap."""
    loss = lambda x, W: jnp.sum(jnp.sin(convolution(x, W)))
    gradient = jax.grad(loss, (0, 1))
    each = jax.vmap(jax.grad(lambda x, W: loss(x[None], W), (0, 1)), (0, None))
    mapped = jax.grad(lambda W: jax.vmap(lambda x: loss(x[None], W))(x).sum())
    many = jax.vmap(convolution, (None, -1), -1)(x, jnp.stack([W, 2 * W], -1))
    return gradient(x, W), jax.jvp(gradient, (x, W), (x, W))[1], each(x, W), mapped(W), many


@one_in(3)
@pytest.mark.parametrize("padding", [((1, 1), (1, 1)), ((0, 0), (0, 0)), ((2, 0), (1, 2))], ids=str)
@pytest.mark.parametrize("taps", [(3, 3), (1, 1), (2, 3)], ids=str)
def test_every_derivative_is_jax_s(taps, padding):
    x, W = images(4, 6, 5, 3), kernel(*taps, 3, 7)
    ours = derivatives(lambda x, W: correlate(x, W, padding), x, W)
    for found, expected in zip(
        *map(jax.tree.leaves, (ours, derivatives(lambda x, W: plain(x, W, padding), x, W))), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("n", [3, FEW + 1])
def test_kernels_of_their_own_are_convolutions_of_their_own(n):
    """Value and gradients; a few are as many in the program as well, in the form that XLA:CPU is fast at, and many are one."""
    x, W = images(n, 2, 4, 4, 3), kernel(n, 3, 3, 3, 5)
    loss = lambda x, W: jnp.sum(jnp.sin(correlate(x, W, ((1, 1), (1, 1)))))
    each = jax.jit(jax.value_and_grad(loss, (0, 1)))
    mapped = jax.jit(jax.vmap(each))
    for found, *expected in zip(*map(jax.tree.leaves, (mapped(x, W), *map(each, x, W))), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    grouped = re.findall(r"(?:feature|batch)_group_count = (?!1\b)\d", mapped.lower(x, W).as_text())
    assert bool(grouped) == (n > FEW)


@pytest.mark.slow
@pytest.mark.parametrize(
    "form", [Form(((1, 1),) * 3), Form(((0, 1), (2, 0), (1, 1)), stride=2), Form(((2, 2),) * 3, dilation=2)]
)
def test_a_volume_is_its_slices(form):
    x, W = images(2, 5, 6, 7, 3), kernel(3, 3, 3, 3, 4) / 9
    ours = derivatives(lambda x, W: sliced(x, W, form), x, W)
    xlas = derivatives(lambda x, W: whole(x, W, form), x, W)
    for found, expected in zip(*map(jax.tree.leaves, (ours, xlas)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-4)


def test_a_derivative_is_a_convolution_again():
    """Of second order in each operand, by finite differences."""
    check_grads(lambda x, W: jnp.sin(correlate(x, W, ((1, 0), (1, 1)))), (images(2, 4, 3, 2), kernel(2, 3, 2, 2)), 2, rtol=2e-2)


def reference(x, W, stride=1, padding="SAME", dilation=1):
    spec = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, W, (stride,) * 2, padding, rhs_dilation=(dilation,) * 2, dimension_numbers=spec)


def around(x, n, stride=1):
    return tuple(same(side, n, stride) for side in x.shape[1:3])


CASES = {
    "stride": (lambda n, s: lambda x, W: strided(x, W, s, around(x, n, s)), lambda n, s: lambda x, W: reference(x, W, s)),
    "one more at the end": (
        lambda n, s: lambda x, W: strided(x, W, s, ((0, n - 1),) * 2),
        lambda n, s: lambda x, W: reference(x, W, s, [(0, n - 1)] * 2),
    ),
    "dilation": (lambda n, d: lambda x, W: dilated(x, W, d), lambda n, d: lambda x, W: reference(x, W, dilation=d)),
    "none": (lambda n, s: lambda x, W: convolved(x, W, around(x, n)), lambda n, s: lambda x, W: reference(x, W)),
}


QUICK = [("stride", 3, 2), ("stride", 4, 2), ("one more at the end", 3, 2), ("dilation", 3, 2), ("none", 3, 2), ("none", 4, 2)]
OTHERS = [(case, n, by) for case in CASES for n, by in ((1, 2), (3, 3))]


@one_in(2)
@pytest.mark.parametrize(("case", "n", "by"), QUICK + [pytest.param(*other, marks=pytest.mark.slow) for other in OTHERS])
def test_every_kind_is_xla_s(case, by, n):
    """Value and gradients, on sides that the stride or the dilation divides and on others, down to one pixel."""
    make, expected = (made(n, by) for made in CASES[case])
    for side in (1, 5, 6) if case != "dilation" else (6,):
        x, W = images(2, side, side + (case != "dilation"), 3), kernel(n, n, 3, 4)
        value, pull = jax.vjp(make, x, W)
        wanted, wanted_pull = jax.vjp(expected, x, W)
        ct = jax.random.normal(KEYS[2], wanted.shape)
        for ours, theirs in zip((value, *pull(ct)), (wanted, *wanted_pull(ct)), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("side", [1, 2])
def test_small_maps_are_products(side):
    x, W, padding = images(3, side, side, 4), kernel(3, 3, 4, 5), ((1, 1), (1, 1))
    np.testing.assert_allclose(dense(x, W, padding), plain(x, W, padding), atol=1e-5)
    text = str(jax.make_jaxpr(lambda x, W: convolved(x, W, padding))(x, W))
    assert "dot_general" in text
    assert "convolution" not in text


NETS = {
    "DDPM": {"width": 8, "multipliers": (1, 1), "blocks": 1, "attention": ()},
    "NCSNpp": {"width": 8, "multipliers": (1, 1), "blocks": 1, "attention": (), "fir": False, "block": "ddpm"},
    "NCSN": {"width": 8, "multipliers": (1, 1), "dilations": (2,)},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_every_convolution_of_training_is_canonical(name):
    """In the compiled program of two steps a call, inside its loop too: stride 1, undilated, NHWC by HWIO."""
    overrides = [
        "--config.data.name=digits",
        "--config.data.levels=17",
        "--config.train.steps_per_call=2",
        "--config.train.batch=8",
    ]
    tree = read_config("configs/digits/vp.py", overrides)
    tree["net"] = {"name": name, **NETS[name]}
    experiment = build(Config.model_validate(tree), (8, 8, 1))
    optimizer = make_optimizer(experiment.config.train)
    state = jax.eval_shape(lambda: first_state(experiment, optimizer, jax.random.key(0)))
    batches = Batch(jax.ShapeDtypeStruct((2, 8, 8, 8, 1), np.uint8))
    text = jax.jit(make_step(experiment, optimizer, jax.random.key(1))).lower(state, batches).compile().as_text() or ""
    found = re.findall(r"= \S+ convolution\(.*", text)
    assert len(found) > 10
    for line in found:
        assert "dim_labels=b01f_01io->b01f" in line
        assert not re.search(r"stride=|lhs_dilate=|rhs_dilate=|rhs_reversal=|_group_count=", line), line
    assert "while(" in text
