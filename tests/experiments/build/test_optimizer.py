"""Weight decay is optax's AdamW for what is trained, to the last bit, and leaves constants as they are."""

import jax
import numpy as np
import optax
from flax import nnx

from experiments.build.optimizer import make_optimizer
from experiments.config.schema import Train
from models.layers.noise import Fourier


class Net(nnx.Module):
    """A product of fixed waves, with a bias that begins behind a zero."""

    def __init__(self, rngs):
        self.waves = Fourier(8, rngs=rngs)
        self.kernel = nnx.Param(jax.random.normal(rngs.params(), (8,)))
        self.gate, self.bias = nnx.Param(np.float32(0)), nnx.Param(np.float32(3))

    def __call__(self, c):
        return self.waves(c) @ self.kernel[...] + self.gate[...] * self.bias[...]


def test_decay_is_of_what_is_trained():
    graph, params = nnx.split(Net(nnx.Rngs(0)))
    c, y = jax.random.normal(jax.random.key(1), (2, 16))
    gradient = jax.jit(jax.grad(lambda params: ((nnx.merge(graph, params)(c) - y) ** 2).mean()))
    ours = make_optimizer(Train(steps=10, batch=1, warm_up=0, learning_rate=0.1, weight_decay=2.0))
    theirs = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(optax.constant_schedule(0.1), weight_decay=2.0))
    runs = {}
    for optimizer in (ours, theirs):
        at, state, path = params, optimizer.init(params), []
        for _ in range(3):
            update, state = optimizer.update(gradient(params), state, at)
            at = optax.apply_updates(at, update)
            path.append(at)
        runs[optimizer] = path, jax.tree.structure(state)
    (mine, here), (adamw, there) = runs[ours], runs[theirs]
    assert here == there  # checkpoints fit
    for one, other in zip(mine, adamw, strict=True):
        np.testing.assert_array_equal(one.waves.frequencies[...], params.waves.frequencies[...])
        assert (other.waves.frequencies[...] != params.waves.frequencies[...]).all()
        np.testing.assert_array_equal(one.kernel[...], other.kernel[...])
        np.testing.assert_array_equal(one.gate[...], other.gate[...])
    assert mine[-1].bias[...] == 3  # whose gradient is `gate`, 0 at these parameters
