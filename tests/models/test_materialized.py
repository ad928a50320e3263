"""The identity that XLA fuses nothing across."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.cpu.materialized import materialized

X = jax.random.normal(jax.random.key(0), (3, 4))


@pytest.mark.parametrize(("forward", "backward"), [(True, True), (True, False), (False, True), (False, False)])
def test_it_is_the_identity_and_its_own_adjoint(forward, backward):
    """Of every order and mode; in the compiled program it is one function on each way that it stands in, and none elsewhere."""
    kept = lambda x: materialized(x, forward, backward)
    f = lambda through: lambda x: jnp.sum(jnp.sin(through(x * x)))
    for derived in (lambda f: f, jax.grad, lambda f: jax.jvp(jax.grad(f), (X,), (X,))[1], lambda f: jax.vmap(jax.grad(f))(X)):
        ours, expected = derived(f(kept)), derived(f(lambda x: x))
        np.testing.assert_allclose(*((g(X) if callable(g) else g) for g in (ours, expected)), rtol=1e-6)
    if jax.default_backend() == "cpu":
        calls = lambda g: (jax.jit(g).lower(X).compile().as_text() or "").count(" call(")
        assert calls(f(kept)) == forward
        assert calls(lambda x: jax.vjp(kept, x)[1](jnp.sin(x))[0]) == backward


def test_what_passes_it_is_computed_once():
    """A chain of three consumers: each has a copy of the sine without it."""
    if jax.default_backend() != "cpu":
        return

    def sines(through):
        y = lambda x: through(jnp.sin(x) * 2)
        g = lambda x: (y(x).sum(0), y(x).sum(1), (y(x) ** 2).sum(0))
        return (jax.jit(g).lower(X).compile().as_text() or "").count(" sine(")

    assert sines(materialized) == 1
