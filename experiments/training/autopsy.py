"""A report on a step of training that was not finite. A step depends on the state and its number, so it can be repeated."""

from __future__ import annotations

import math
import traceback
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.build.experiment import Experiment, Frozen
from experiments.build.state import State, named
from experiments.data.dataset import Batch, Dataset
from experiments.randomness import Purpose, stream
from experiments.runtime import devices
from experiments.training.step import example_loss, step_noise
from losses import Joint
from sde_lib.base import Scalar


def autopsy(experiment: Experiment, data: Dataset, state: State, step: int) -> dict[str, Any]:
    """Returns the report on step `step`, from the `state` before it, as JSON values.

    It names the examples that were not finite, with their times and their places in the training data, and gives the norm of
    each module's gradient. An adversarial term is of no example, and so of no part of this.
    """
    config = experiment.config
    state = jax.tree.map(devices.gather, state)  # each process examines the whole batch by itself
    rows = data.batches.indices(step, config.train.batch)
    batch = data.batches.batch(step, config.train.batch, classes=experiment.classes)

    @jax.jit
    def examine(state: State, batch: Batch, frozen: Frozen) -> tuple[Any, ...]:
        one_loss = example_loss(experiment.adapted(frozen))
        noise = step_noise(experiment, stream(config.seed, Purpose.STEP), state.times, jnp.asarray(step), len(rows))

        # One example at a time: all of their gradients at once would not fit in memory.
        def add(total: Any, example: Any) -> tuple[Any, Any]:
            key, one, t, weight = example
            loss, gradient = jax.value_and_grad(lambda params: total_loss(one_loss(params, key, one, t), weight))(state.params)
            total = jax.tree.map(lambda a, g: a + weight * g / len(rows), total, gradient)
            return total, (loss, optax.global_norm(gradient))

        zero = jax.tree.map(jnp.zeros_like, state.params)
        examples = noise.keys, batch, noise.t, noise.inverse_density
        gradient, (loss, norm) = jax.lax.scan(add, zero, examples)
        return noise.t, loss, norm, jax.tree.map(lambda g: jnp.sqrt(jnp.sum(g**2)), gradient)

    frozen = jax.tree.map(devices.gather, experiment.frozen)
    t, loss, norm, modules = jax.device_get(examine(state, batch, frozen))
    bad = ~(np.isfinite(loss) & np.isfinite(norm))
    squares: dict[str, float] = {}
    for name, value in named(modules).items():
        module = name.rpartition("/")[0] or name
        squares[module] = squares.get(module, 0.0) + float(value) ** 2
    counts, edges = np.histogram(t[bad], bins=10, range=(0.0, 1.0))
    return {
        "step": step,
        "seed": config.seed,
        "config": config.digest(),
        "examples": [
            {
                "in_batch": int(i),
                "in_data": int(rows[i]),
                "t": float(t[i]),
                "loss": float(loss[i]),
                "grad_norm": float(norm[i]),
            }
            for i in np.flatnonzero(bad)
        ],
        "batch": len(rows),
        "t_histogram": {"edges": edges.tolist(), "not_finite": counts.tolist()},
        "modules": {module: square**0.5 for module, square in squares.items()},
        "parameters_finite": all(bool(np.isfinite(leaf).all()) for leaf in jax.tree.leaves(state.params)),
        "largest_parameter": max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(state.params)),
    }


def total_loss(loss: Joint, inverse_density: Scalar = 1.0) -> Scalar:
    """Returns the loss of which 1/p(t) multiplies the whole."""
    return loss.score + loss.cost / inverse_density


def sentence(report: dict[str, Any]) -> str:
    """Returns the report in a line."""
    examples = report["examples"]
    times = [example["t"] for example in examples]
    modules = [module for module, norm in report["modules"].items() if not math.isfinite(norm)]
    span = f", t from {min(times):.3g} to {max(times):.3g}" if times else ""
    where = f"; {len(modules)} of {len(report['modules'])} modules, as {modules[0]}" if modules else ""
    return f"in step {report['step']} {len(examples)} of {report['batch']} examples{span}{where}"


def first_nan(experiment: Experiment, data: Dataset, state: State, step: int) -> str | None:
    """Returns where the first nan or infinity of the step arises, as "file:line in function: operation"; None if none does."""
    config, one_loss = experiment.config, example_loss(experiment.adapted(experiment.frozen))
    batch = jax.tree.map(jnp.asarray, data.batches.batch(step, config.train.batch, classes=experiment.classes))
    noise = step_noise(experiment, stream(config.seed, Purpose.STEP), state.times, jnp.asarray(step), config.train.batch)
    gradient = jax.vmap(jax.value_and_grad(lambda *arguments: total_loss(one_loss(*arguments))), (None, 0, 0, 0))
    try:
        with jax.debug_nans(True), jax.debug_infs(True):
            jax.block_until_ready(gradient(state.params, noise.keys, batch, noise.t))
    except FloatingPointError as error:
        # The last frame that is ours or the user's.
        *_, last = (f for f in traceback.extract_tb(error.__traceback__) if "site-packages" not in f.filename)
        return f"{Path(last.filename).parent.name}/{Path(last.filename).name}:{last.lineno} in {last.name}: {last.line}"
    return None
