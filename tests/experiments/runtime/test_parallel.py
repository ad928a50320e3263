"""Two devices compute what one does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.runtime import devices, processes


def loss(w, x):
    return jnp.mean((jnp.sin(x @ w) - x[:, :1]) ** 2)


def test_pmapped_is_pmap():
    """Three steps of gradient descent on two devices equal those of jax.pmap with a pmean of the gradients."""
    assert jax.device_count() == 2
    w = jax.random.normal(jax.random.key(0), (4, 1))
    batches = jax.random.normal(jax.random.key(1), (3, 32, 4))

    def advance(w, batches):
        def step(w, x):
            value, gradient = jax.value_and_grad(loss)(w, x)
            return w - 0.1 * gradient, value

        return jax.lax.scan(step, w, batches)

    ours, losses = devices.pmapped(advance)(jax.device_put(w + 0, devices.replicated()), devices.split(batches, axis=1))

    def per_device(w, x):
        value, gradient = jax.value_and_grad(loss)(w, x)
        return w - 0.1 * jax.lax.pmean(gradient, "data"), jax.lax.pmean(value, "data")

    step, theirs, values = jax.pmap(per_device, "data"), jnp.stack([w] * 2), []
    for batch in batches:
        theirs, value = step(theirs, batch.reshape(2, 16, 4))
        values.append(value[0])
    np.testing.assert_allclose(ours, theirs[0], rtol=1e-5)
    np.testing.assert_allclose(losses, values, rtol=1e-5)


@pytest.mark.parametrize("n", [1, 8, 13, 32])
def test_in_batches_is_vmap(n):
    """Rows of any number come back in order from batches of sixteen over two devices."""
    rows = jnp.arange(n, dtype=jnp.float32), jax.random.split(jax.random.key(0), n)
    function = lambda scale, row, shift: scale * row[0] + shift + jax.random.normal(row[1])
    expected = jax.vmap(lambda row: function(2.0, row, 1.0))(rows)
    got = devices.in_batches(devices.mapped(function), 2.0, rows, 16, 1.0)
    np.testing.assert_allclose(got, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("n", "most", "sizes"), [(1, 320, [2]), (3, 64, [4]), (64, 64, [64]), (257, 256, [130] * 2), (20, 8, [8] * 3)]
)
def test_the_work_follows_the_rows(n, most, sizes):
    """All batches are of one size, so of one program, and hold no more rows than the two devices need."""
    calls, told = [], []
    got = devices.in_batches(lambda _, rows: calls.append(len(rows)) or rows, None, np.arange(n), most, show=told.append)
    np.testing.assert_array_equal(got, np.arange(n))
    assert calls == sizes
    assert told[-1] == n


def test_joining_needs_three_words():
    with pytest.raises(Exception, match="write auto or HOST:PORT,N,I"):
        processes.join("localhost")
