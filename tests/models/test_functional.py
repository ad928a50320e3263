"""A network as functions: the programs that share its trace."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen

from models import functional, traced_once


def test_a_network_is_traced_once_for_all_programs():
    """JAX traces it under jit, vmap and grad on one shape, and then no more; the numbers are those of the network itself."""
    shapes = []

    class Remembers(linen.Module):
        @linen.compact
        def __call__(self, x, c_noise, y=None, key=None):
            shapes.append(x.shape)
            return linen.Dense(x.shape[-1])(jnp.tanh(x)) * c_noise[:, None]

    net = functional(Remembers())
    params, x = net.init(jax.random.key(0), jnp.zeros(3)), jax.random.normal(jax.random.key(1), (5, 1, 3))
    out = lambda net, x: net.apply(params, x, jnp.ones(1), None, None)
    once = traced_once(net)
    shapes.clear()
    forward = jax.jit(jax.vmap(lambda x: out(once, x)))(x)
    backward = jax.jit(jax.vmap(jax.grad(lambda x: out(once, x).sum())))(x)
    twice = jax.jit(lambda x: out(once, out(once, x)))(x[0])
    assert shapes == [(1, 3)]
    np.testing.assert_array_equal(forward, jax.jit(jax.vmap(lambda x: out(net, x)))(x))
    np.testing.assert_array_equal(backward, jax.jit(jax.vmap(jax.grad(lambda x: out(net, x).sum())))(x))
    np.testing.assert_array_equal(twice, jax.jit(lambda x: out(net, out(net, x)))(x[0]))
