"""The state of training, which each step takes and returns, and which a checkpoint holds."""

from __future__ import annotations

from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.build import averages
from experiments.build.experiment import Experiment
from experiments.config.schema import Config
from experiments.runtime import devices


class Tally(NamedTuple):
    """Sums of `loss` and `grad_norm` over the `n` steps since the last row of the log, and counts of non-finite steps.

    `skipped` counts all of those, `streak` the last ones in a row. They are state, so a resumed run logs the same rows.
    """

    loss: jax.Array
    grad_norm: jax.Array
    n: jax.Array
    skipped: jax.Array
    streak: jax.Array

    @staticmethod
    def zero() -> Tally:
        """Returns the tally of a run that has not begun."""
        return Tally(jnp.zeros(()), jnp.zeros(()), *(jnp.zeros((), jnp.int32) for _ in range(3)))

    def restarted(self) -> Tally:
        """Returns the tally after a row of the log: the sums are zero, the counts stay, and nothing waits for the devices."""
        loss, norm, n = jax.device_put((np.float32(0), np.float32(0), np.int32(0)), devices.replicated())
        return Tally(loss, norm, n, self.skipped, self.streak)


class State(NamedTuple):
    """All that a step of training takes and returns, and all that a checkpoint holds.

    `ema`: the averaged parameters: one tree, or a tuple of several (see `experiments.build.averages`).
    """

    step: jax.Array
    params: Any
    ema: Any
    opt: optax.OptState
    times: Any
    tally: Tally


UNOPTIMISED = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
"""XLA's options for a program that runs once on a CPU: it is compiled in a third of the time."""


def first_state(experiment: Experiment, optimizer: optax.GradientTransformation, key: jax.Array) -> State:
    """Returns the state at step 0."""
    params = experiment.initial(key)
    ema = averages.begin(experiment.config.train, params)
    return State(jnp.zeros((), jnp.int32), params, ema, optimizer.init(params), experiment.times.init(), Tally.zero())


def init_state(experiment: Experiment, optimizer: optax.GradientTransformation, key: jax.Array) -> State:
    """Returns the state at step 0, on every device or a share on each, as the config says."""
    init = partial(first_state, experiment, optimizer)
    shardings = placement(experiment.config, jax.eval_shape(init, key))
    options = UNOPTIMISED if jax.default_backend() == "cpu" else None
    return jax.jit(init, out_shardings=shardings, compiler_options=options)(key)


def placement(config: Config, state: State) -> Any:
    """Returns the sharding of every array of a state (or of its shapes)."""
    return devices.sharded(state) if config.train.shard else jax.tree.map(lambda _: devices.replicated(), state)


def named(tree: Any) -> dict[str, Any]:
    """Returns the leaves of a state, or of a part of one, by their paths, such as params/blocks/0/conv/kernel."""

    def part(key: Any) -> str:
        return str(next(getattr(key, field) for field in ("name", "key", "idx") if hasattr(key, field)))

    return {"/".join(map(part, path)): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def params_digest(params: Any) -> str:
    """Returns a hash of the parameters and of their names, whatever devices they are on."""
    content = sha256()
    by_name = {path.replace("/", "."): leaf for path, leaf in named(params).items()}
    for name, leaf in sorted(by_name.items()):
        content.update(name.encode() + devices.gather(leaf).tobytes())
    return content.hexdigest()[:16]
