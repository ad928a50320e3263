"""Modules that are built from an event's shape."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest
from flax import nnx
from slow import one_in

from models import DDPM, MLP
from models.build import abstract, build
from models.functional import functional

NETS = {
    "MLP": (partial(MLP, width=8, depth=2), (2,)),
    "DDPM": (partial(DDPM, width=8, multipliers=(1,), attention=()), (4, 4, 1)),
}


def params(module):
    """The parameters as a plain tree."""
    return nnx.to_pure_dict(nnx.state(module, nnx.Param))


def assert_equal(one, other):
    """The same tree, to the bit."""
    assert jax.tree.structure(one) == jax.tree.structure(other)
    assert all(bool(jnp.array_equal(a, b)) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


@one_in(2)
@pytest.mark.parametrize("name", NETS)
def test_arrays_are_those_of_flax(name):
    """As `nnx.Rngs` draws them, at once and under `jit`."""
    net, shape = NETS[name]
    key = jax.random.key(7)
    theirs = params(net(shape, rngs=nnx.Rngs(key)))
    assert_equal(params(build(net, shape, key)), theirs)
    assert_equal(jax.jit(functional(net).init)(key, jnp.zeros(shape)), theirs)
    alike = jax.tree.map(
        lambda shape, array: (shape.shape, shape.dtype) == (array.shape, array.dtype),
        abstract(net, shape),
        net(shape, rngs=nnx.Rngs(0)),
    )
    assert jax.tree.all(alike)


def test_no_count_is_traced():
    """JAX would walk the whole trace for each parameter."""
    counted = []

    def net(shape, rngs):
        module = MLP(shape, width=8, depth=2, rngs=rngs)
        counted.append(rngs.default.count.get_value())
        return module

    jax.eval_shape(lambda key: params(build(net, (2,), key)), jax.random.key(0))
    abstract(net, (2,))
    assert not any(isinstance(count, jax.core.Tracer) for count in counted)
    assert [int(count) for count in counted] == [12, 12]  # a kernel and a bias of six layers


def test_a_network_is_built_once_for_all_its_traces():
    built = []

    def net(shape, rngs):
        built.append(shape)
        return MLP(shape, width=8, depth=2, rngs=rngs)

    init, apply = functional(net)
    x = jnp.ones((3, 2))
    one = init(jax.random.key(0), x[0])
    other = jax.tree.map(lambda leaf: leaf + 1, one)
    built.clear()
    y = [jax.jit(apply)(weights, x, jnp.ones(3), None, None) for weights in (one, other)]
    y += [apply(one, x, jnp.ones(3), None, None)]
    assert built == [(2,)]
    assert jnp.allclose(y[0], y[2], rtol=1e-5)
    assert not jnp.allclose(y[0], y[1])  # no trace leaves its parameters in another
