"""The number of runs that the devices have room for at once, by what XLA says of their compiled program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from experiments.data.dataset import Batch
from experiments.runs.resume import state_shapes
from experiments.runtime import devices
from experiments.runtime.errors import ConfigError, brief
from experiments.runtime.progress import say
from experiments.training.calls import steps_per_call
from experiments.training.course import Training
from experiments.training.program import Program, arguments_of, program

SHARE = 0.8
"""The largest part of a device's free memory for the program of several runs; beside it there are pictures of samples."""


def as_many_as_fit(trainings: Sequence[Training]) -> tuple[int, Program | None]:
    """Returns the most of these runs, the first ones, whose program fits the devices, and the program, which is compiled.

    Returns (1, None) if no two fit. Raises ConfigError if they cannot be mapped, before anything is compiled.
    """
    n, room = len(trainings), SHARE * devices.free()
    experiments = [training.experiment for training in trainings]
    state, batch = state_shapes(experiments[0]), _batch_shapes(trainings[0])
    while n > 1:
        advance = program(experiments[:n], state)
        try:
            lowered = advance.lower((state,) * n, (batch,) * n, arguments_of(experiments[:n]), np.zeros(2, np.int32))
        except Exception as error:  # in a network of the user's, say
            raise ConfigError(f"the step of training cannot be mapped over seeds ({brief(error)})") from error
        need = needed(lowered.compile())
        if need <= room:
            return n, advance
        fewer = max(1, min(n - 1, int(n * room / need)))
        sizes = f"{need / 2**30:.3g} GiB for {n} seeds at once, and {room / 2**30:.3g} GiB are free on each device"
        say(f"{sizes}: {f'{fewer} at once' if fewer > 1 else 'one after the other'}")
        n = fewer
    return 1, None


def needed(compiled: Any) -> int:
    """Returns the bytes that a compiled program takes on each device, with its arguments and results."""
    of = compiled.memory_analysis()
    return of.argument_size_in_bytes + of.output_size_in_bytes - of.alias_size_in_bytes + of.temp_size_in_bytes


def _batch_shapes(training: Training) -> Batch:
    """The shapes of the batches of a block, and where they lie: a call of such arrays is of the same program."""
    experiment, split = training.experiment, devices.over_data(1)
    leading = steps_per_call(training), experiment.config.train.batch
    one = experiment.row(training.data.test.dtype)
    levels = jax.ShapeDtypeStruct((*leading, *one.shape), one.dtype, sharding=split)
    return Batch(levels, jax.ShapeDtypeStruct(leading, np.dtype(np.int32), sharding=split) if experiment.classes else None)
