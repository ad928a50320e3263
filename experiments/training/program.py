"""The compiled call of training: the steps of one run, or those of several runs that differ by their seeds alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

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
Program = Callable[..., tuple[tuple[State, ...], tuple[Outcome, ...]]]


def program(experiments: Sequence[Experiment], like: State) -> Program:
    """Returns advance(states, batches, frozen) -> (states, outcomes), on all devices: of each a tuple, by run.

    `like`: the state of one of them, or its shapes. The next call takes the states; the outcomes stand apart from them, to wait
    for and to read later. Every run has its own state, key and batch: what it becomes depends on no other.
    """
    config = experiments[0].config
    optimizer, rate = optimizer_of(config), optimizer_rate(config.train)
    keys = [stream(each.config.seed, Purpose.STEP) for each in experiments]

    def advance(
        states: tuple[State, ...], batches: tuple[Batch, ...], frozen: Frozen
    ) -> tuple[tuple[State, ...], tuple[Outcome, ...]]:
        def of_run(key: jax.Array, state: State, batch: Batch) -> tuple[State, Outcome]:
            after = make_call(experiments[0], optimizer, key)(state, batch, frozen)
            return after, (after.tally, jnp.asarray(rate(after.step - after.tally.skipped)))

        after, outcomes = zip(*_mapped(of_run, list(zip(keys, states, batches, strict=True))), strict=True)
        return after, outcomes

    placed = (placement(config, like),) * len(experiments)
    return devices.pmapped(advance, placed, (placed, devices.replicated()), experiments[0].frozen)


def _mapped(function: Callable[..., Any], rows: Sequence[tuple[Any, ...]]) -> list[Any]:
    """function(*row) of each row, vmapped over them; of a single one it is the function itself."""
    if len(rows) == 1:
        return [function(*rows[0])]
    results = jax.vmap(function)(*jax.tree.map(lambda *each: jnp.stack(each), *rows))
    return [jax.tree.map(itemgetter(i), results) for i in range(len(rows))]
