"""The compiled call of training: the steps of one run, or those of several runs that differ by their seeds alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments.build.experiment import Experiment, Frozen
from experiments.build.optimizer import optimizer_of, optimizer_rate
from experiments.build.state import State, Tally, placement
from experiments.data.dataset import Batch
from experiments.randomness import Purpose, stream
from experiments.runtime import devices
from experiments.training.step import make_call

Outcome = tuple[Tally, jax.Array]
"""The tally after a call, and the learning rate."""


class Arguments(NamedTuple):
    """The parameters that training leaves as they are, and the data of the key of each run."""

    frozen: Frozen
    keys: tuple[jax.Array, ...]


Program = Callable[..., tuple[tuple[State, ...], tuple[Outcome, ...]]]


def program(experiments: Sequence[Experiment], like: State) -> Program:
    """Returns advance(states, batches, arguments, span) -> (states, outcomes), on all devices: of each a tuple, by run.

    Of the k batches of a block it takes those that the span (i, j) has (see `experiments.training.calls`).

    `like`: the state of one of them, or its shapes. The next call takes the states; the outcomes stand apart from them, to wait
    for and to read later. Every run has its own state, key and batch: what it becomes depends on no other.
    """
    first = experiments[0]
    optimizer, rate = optimizer_of(first.config), optimizer_rate(first.config.train)

    def advance(
        states: tuple[State, ...], batches: tuple[Batch, ...], arguments: Arguments, span: jax.Array
    ) -> tuple[tuple[State, ...], tuple[Outcome, ...]]:
        def of_run(key: jax.Array, state: State, batch: Batch) -> tuple[State, Outcome]:
            after = make_call(first, optimizer, jax.random.wrap_key_data(key))(state, batch, arguments.frozen, span)
            return after, (after.tally, jnp.asarray(rate(after.step - after.tally.skipped)))

        after, outcomes = zip(*_mapped(of_run, list(zip(arguments.keys, states, batches, strict=True))), strict=True)
        return after, outcomes

    placed = (placement(first.config, like),) * len(experiments)
    make = lambda: devices.pmapped(advance, placed, (placed, devices.replicated()), arguments_of(experiments))
    return first.once(("step", len(experiments)), make)


def arguments_of(experiments: Sequence[Experiment]) -> Arguments:
    """Returns the arguments of a program by which these runs differ from others that call it."""
    keys = tuple(jax.random.key_data(stream(each.config.seed, Purpose.STEP)) for each in experiments)
    return Arguments(experiments[0].frozen, devices.put(keys, devices.replicated()))


def _mapped(function: Callable[..., Any], rows: Sequence[tuple[Any, ...]]) -> list[Any]:
    """function(*row) of each row, vmapped over them; of a single one it is the function itself."""
    if len(rows) == 1:
        return [function(*rows[0])]
    results = jax.vmap(function)(*jax.tree.map(lambda *each: jnp.stack(each), *rows))
    return [jax.tree.map(itemgetter(i), results) for i in range(len(rows))]
