"""A step of training: the objective's gradient, the optimiser, the averages of parameters; one that is not finite is masked."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from experiments.build import averages
from experiments.build.experiment import Experiment, Frozen
from experiments.build.state import State, Tally
from experiments.data.augmentation import augmented
from experiments.data.dataset import Batch
from experiments.runtime import devices
from experiments.training.adversarial import adversarial_gradient
from losses import Joint
from sde_lib.base import Scalar

COINS = {"label": 4, "vector": 6, "image": 7, "tokens": 8}
"""The fold of an example's key that says whether it is without the condition of that name."""


class StepNoise(NamedTuple):
    """The random numbers of a step: times t [B] with 1/p(t) [B], and a key for each example [B]."""

    t: jax.Array
    inverse_density: jax.Array
    keys: jax.Array


def step_noise(experiment: Experiment, base_key: jax.Array, times: Any, step: jax.Array, n: int) -> StepNoise:
    """Returns the random numbers of a step of n examples.

    They depend only on the step's number and on `times`, the memory of a draw of t that learns: a resumed run draws the same.
    """
    t_key, example_key = jax.random.split(jax.random.fold_in(base_key, step))
    t, inverse_density = experiment.times.sample(t_key, times, n)
    return StepNoise(t, inverse_density, jax.random.split(example_key, n))


def example_loss(experiment: Experiment) -> Callable[[Any, jax.Array, Batch, jax.Array], Joint]:
    """Returns loss(params, key, example, t) of one example, of which 1/p(t) multiplies the `score`.

    It is flipped, augmented, and without its label and other conditions, as often as `data.flip`, `train.augment`,
    `train.label_dropout` and the `dropout` of each condition say.
    """
    config = experiment.config

    def loss(params: Any, key: jax.Array, example: Batch, t: jax.Array) -> Joint:
        data_key, noise_key, flip_key, dropout_key = jax.random.split(key, 4)
        x_0, augment = experiment.event(data_key, flip_key, example.levels), {}
        # Folds, not more keys of the split, which would change the random numbers of every run without these.
        if config.train.augment:
            x_0, labels = augmented(jax.random.fold_in(key, 5), x_0, config.train.augment)
            augment = {"augment": labels}
        y = experiment.conditions_of(params, key, None if experiment.reads_codes else x_0, example.y)
        for name, dropout in experiment.dropouts.items():
            if dropout and name in y:
                dropped = jax.random.bernoulli(jax.random.fold_in(key, COINS[name]), dropout)
                null = experiment.classes if name == "label" else 0  # to every network the same as none
                y[name] = jnp.where(dropped, null, y[name])
        return experiment.loss(params, dropout_key, y | augment)(noise_key, x_0, t)

    return loss


def make_step(experiment: Experiment, optimizer: optax.GradientTransformation, base_key: jax.Array) -> Callable[..., State]:
    """Returns advance(state, batches [k, B, ...], span=None), which takes k steps, or of them i to j - 1 for a span (i, j).

    The span is an array, so that one program takes any number of steps; and a step has the same bits in whatever span it is.

    A step whose loss or gradient is not finite changes nothing but its counts. After `train.bad_steps` of them in a row the
    state is frozen, so that a later look still finds the failing step.
    """
    config, times, one_loss = experiment.config.train, experiment.times, example_loss(experiment)
    whole = devices.whole if config.shard else lambda params: params

    def one_step(state: State, batch: Batch) -> State:
        noise = step_noise(experiment, base_key, state.times, state.step, len(batch.levels))

        def mean_loss(params: Any, noise: StepNoise, batch: Batch) -> tuple[Scalar, tuple[Scalar, Scalar]]:
            cost, loss = jax.vmap(one_loss, (None, 0, 0, 0))(whole(params), noise.keys, batch, noise.t)
            mean = jnp.mean(noise.inverse_density * loss + cost)
            return mean, (mean, loss)

        if experiment.discriminator:
            descent = adversarial_gradient(experiment, whole(state.params), state.step, noise.keys, batch)
        else:
            descent = in_parts(partial(jax.grad(mean_loss, has_aux=True), state.params), config.accumulate, noise, batch)
        gradient, (loss, by_example) = descent
        norm = optax.global_norm(gradient)
        update, opt = optimizer.update(gradient, state.opt, state.params)
        params = optax.apply_updates(state.params, update)
        ema = averages.advance(config, state.ema, params, state.step)

        # A finite norm also keeps Adam's second moment, the gradient squared, from overflow.
        finite, frozen = jnp.isfinite(loss) & jnp.isfinite(norm), state.tally.streak >= config.bad_steps
        if config.optimizer is not None:  # which may divide by what is 0
            finite &= jnp.isfinite(optax.global_norm(update))
        choose = lambda condition, this, that: jax.tree.map(lambda a, b: jnp.where(condition, a, b), this, that)
        counted = state.step + 1, _counted(state.tally, finite, loss, norm)
        step, tally = choose(frozen, (state.step, state.tally), counted)
        learned = params, ema, opt, times.update(state.times, noise.t, by_example)
        before = state.params, state.ema, state.opt, state.times
        params, ema, opt, memory = choose(finite & ~frozen, learned, before)
        return State(step, params, ema, opt, memory, tally)

    def advance(state: State, batches: Batch, span: Any = None) -> State:
        k = len(batches.levels)
        step = lambda i, state: one_step(state, jax.tree.map(itemgetter(i), batches))
        i, j = (0, k) if span is None else (span[0], span[1])
        return step(0, state) if k == 1 else jax.lax.fori_loop(i, j, step, state)

    return advance


def make_call(experiment: Experiment, optimizer: optax.GradientTransformation, base_key: jax.Array) -> Callable[..., State]:
    """Returns advance(state, batches, frozen, span=None): that of `make_step`, and what is not trained is an argument.

    A program reads its arguments; what it closes over is compiled into it.
    """

    def advance(state: State, batches: Batch, frozen: Frozen, span: Any = None) -> State:
        whole = devices.whole(frozen) if experiment.config.train.shard else frozen
        return make_step(experiment.adapted(whole), optimizer, base_key)(state, batches, span)

    return advance


def in_parts(function: Callable[..., Any], k: int, *batch: Any) -> Any:
    """Returns (gradient, (mean, by_example [B])) of a batch [B, ...] (any tree): the mean over k parts, one after the other.

    Part j is the examples j, j + k, ...: as many on every device, so that no example moves to another.
    """
    if k == 1:
        return function(*batch)
    parts = jax.tree.map(lambda a: a.reshape(len(a) // k, k, *a.shape[1:]).swapaxes(0, 1), batch)

    def add(total: Any, part: Any) -> tuple[Any, jax.Array]:
        gradient, (mean, by_example) = function(*part)
        return jax.tree.map(lambda a, b: a + b / k, total, (mean, gradient)), by_example

    gradient, (mean, _) = jax.eval_shape(function, *jax.tree.map(lambda a: a[0], parts))
    zero = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), (mean, gradient))
    (mean, gradient), by_example = jax.lax.scan(add, zero, parts)
    return gradient, (mean, by_example.T.reshape(-1))


def _counted(tally: Tally, finite: jax.Array, loss: jax.Array, norm: jax.Array) -> Tally:
    """The tally after a step."""
    return Tally(
        tally.loss + jnp.where(finite, loss, 0.0),
        tally.grad_norm + jnp.where(finite, norm, 0.0),
        tally.n + finite,
        tally.skipped + ~finite,
        jnp.where(finite, 0, tally.streak + 1),
    )
