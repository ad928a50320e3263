"""One step of training: the objective's gradient, Adam, the average of parameters; masked where it is not finite."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from experiments.build.experiment import Experiment
from experiments.build.state import State, Tally
from experiments.data.dataset import Batch
from experiments.runtime import devices
from sde_lib.base import Scalar


class Drawn(NamedTuple):
    """What chance gives step i: times t [B] with 1/p(t) [B], and a key for each example."""

    t: jax.Array
    inverse_density: jax.Array
    keys: jax.Array


def draw(experiment: Experiment, base_key: jax.Array, times: Any, step: jax.Array, n: int) -> Drawn:
    """A function of the step's number and of what the draw of t has learned, `times`."""
    t_key, example_key = jax.random.split(jax.random.fold_in(base_key, step))
    t, inverse_density = experiment.times.sample(t_key, times, n)
    return Drawn(t, inverse_density, jax.random.split(example_key, n))


def example_loss(experiment: Experiment) -> Callable[[Any, jax.Array, Batch, jax.Array], Scalar]:
    """loss(params, key, example, t) of one example, whose label is left out as often as `train.label_dropout` says."""
    config, scaler = experiment.config, experiment.scaler

    def loss(params: Any, key: jax.Array, example: Batch, t: jax.Array) -> Scalar:
        data_key, noise_key, flip_key, dropout_key = jax.random.split(key, 4)
        x_0, y = scaler.encode(data_key, example.levels), example.y
        if config.data.flip:
            x_0 = jnp.where(jax.random.bernoulli(flip_key), x_0[:, ::-1], x_0)
        if y is not None and config.train.label_dropout:
            dropped = jax.random.bernoulli(jax.random.fold_in(key, 4), config.train.label_dropout)
            y = jnp.where(dropped, experiment.classes, y)  # which is every network's "no label"
        return experiment.loss(params, dropout_key, y)(noise_key, x_0, t)

    return loss


def make_step(
    experiment: Experiment, optimizer: optax.GradientTransformation, base_key: jax.Array
) -> Callable[[State, Batch], State]:
    """advance(state, batches [k, B, ...]) -> the state after k steps.

    A step whose loss or gradient is not finite changes nothing but its counts; after `train.bad_steps` of them on end the state
    stands still, so that whoever looks at it, however late, sees it as it was then.
    """
    config, times, one_loss = experiment.config.train, experiment.times, example_loss(experiment)
    whole = devices.whole if config.shard else lambda params: params

    def one_step(state: State, batch: Batch) -> State:
        drawn = draw(experiment, base_key, state.times, state.step, len(batch.levels))

        def mean_loss(params: Any, drawn: Drawn, batch: Batch) -> tuple[jax.Array, Scalar]:
            loss = jax.vmap(one_loss, (None, 0, 0, 0))(whole(params), drawn.keys, batch, drawn.t)
            return jnp.mean(drawn.inverse_density * loss), loss

        of_part = jax.value_and_grad(mean_loss, has_aux=True)
        (loss, by_example), gradient = in_parts(partial(of_part, state.params), config.accumulate, drawn, batch)
        norm = optax.global_norm(gradient)
        update, opt = optimizer.update(gradient, state.opt, state.params)
        params = optax.apply_updates(state.params, update)
        decay = jnp.minimum(config.ema, (1 + state.step) / (10 + state.step))  # warm-up: early averages forget fast
        ema = optax.incremental_update(params, state.ema, 1 - decay)

        # A finite norm also keeps Adam's second moment, the gradient squared, from overflow.
        finite, stands = jnp.isfinite(loss) & jnp.isfinite(norm), state.tally.streak >= config.bad_steps
        choose = lambda so, this, that: jax.tree.map(lambda a, b: jnp.where(so, a, b), this, that)
        counted = state.step + 1, _counted(state.tally, finite, loss, norm)
        step, tally = choose(stands, (state.step, state.tally), counted)
        learned = params, ema, opt, times.update(state.times, drawn.t, by_example)
        before = state.params, state.ema, state.opt, state.times
        params, ema, opt, memory = choose(finite & ~stands, learned, before)
        return State(step, params, ema, opt, memory, tally)

    def advance(state: State, batches: Batch) -> State:
        if len(batches.levels) > 1:
            return jax.lax.scan(lambda state, batch: (one_step(state, batch), None), state, batches)[0]
        return one_step(state, jax.tree.map(itemgetter(0), batches))

    return advance


def make_call(experiment: Experiment, optimizer: optax.GradientTransformation, base_key: jax.Array) -> Callable[..., State]:
    """advance(state, batches, *frozen): `make_step`'s on the parameters that adapters are trained on, where there are any.

    They are arguments, which a program reads; what it closes over is written into it, and compiled.
    """

    def advance(state: State, batches: Batch, *frozen: Any) -> State:
        whole = devices.whole(frozen) if experiment.config.train.shard else frozen
        return make_step(experiment.adapted(*whole), optimizer, base_key)(state, batches)

    return advance


def in_parts(of_part: Callable[..., Any], k: int, *batch: Any) -> Any:
    """((mean, by_example [B]), gradient) of a batch [B, ...] (any tree), by k parts of it one after the other: their mean.

    Part j is the examples j, j + k, ...: as many of every device's, so that none is sent to another.
    """
    if k == 1:
        return of_part(*batch)
    parts = jax.tree.map(lambda a: a.reshape(len(a) // k, k, *a.shape[1:]).swapaxes(0, 1), batch)

    def add(total: Any, part: Any) -> tuple[Any, jax.Array]:
        (mean, by_example), gradient = of_part(*part)
        return jax.tree.map(lambda a, b: a + b / k, total, (mean, gradient)), by_example

    (mean, _), gradient = jax.eval_shape(of_part, *jax.tree.map(lambda a: a[0], parts))
    zero = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), (mean, gradient))
    (mean, gradient), by_example = jax.lax.scan(add, zero, parts)
    return (mean, by_example.T.reshape(-1)), gradient


def _counted(tally: Tally, finite: jax.Array, loss: jax.Array, norm: jax.Array) -> Tally:
    """The tally after a step."""
    return Tally(
        tally.loss + jnp.where(finite, loss, 0.0),
        tally.grad_norm + jnp.where(finite, norm, 0.0),
        tally.n + finite,
        tally.skipped + ~finite,
        jnp.where(finite, 0, tally.streak + 1),
    )
