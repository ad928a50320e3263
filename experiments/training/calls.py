"""The calls of training: the most steps of one, which shape its program, and those that it takes, by the clock.

A program is compiled for a block of k batches, and takes the steps of a span (i, j) of them, in a loop on the devices. A step
has the same bits in whatever span it is, so that spans may follow the machine: a call lasts long against what the host does
between two, and ends where a row of the log, a checkpoint or a picture is due.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax

from experiments.config.parts import is_users
from experiments.config.schema import Config
from experiments.runtime import processes
from experiments.training.course import Training
from models.cpu.gate import is_plain

MOST = 100
"""The most steps of a call."""
BYTES = 2**22
"""The most bytes of the examples of a block, which are read before its first step."""
SECONDS = 0.25
"""The seconds of a call. A signal waits for two of them."""
TIMED = 4
"""The number of calls of one step by which the others are chosen; the first one compiles."""


def steps_per_call(training: Training) -> int:
    """Returns k: `train.steps_per_call`, or the number that the run was begun with, or by itself as many as `BYTES` hold."""
    experiment = training.experiment
    config, row = experiment.config, experiment.row(training.data.test.dtype)
    by_bytes = max(1, min(MOST, BYTES // (config.train.batch * row.size * row.dtype.itemsize)))
    by_itself = 1 if _slow_in_a_loop(config) else by_bytes
    return config.train.steps_per_call or training.record.steps_per_call or by_itself


def _slow_in_a_loop(config: Config) -> bool:
    """Returns whether a step may take longer in a loop: XLA's own convolutions do on a CPU, many times, and ours are others."""
    section = config.codec
    parts = (config.net, *((section.encoder, section.decoder, section.net) if section else ()))
    return jax.default_backend() == "cpu" and (is_plain() or any(is_users(part.name) for part in parts if part))


def pace(seconds: Sequence[float], k: int) -> int | None:
    """Returns the steps of a call, by the `seconds` of calls of one step; None as long as these are fewer than `TIMED`.

    All processes must call this: the first one's clock decides.
    """
    return None if len(seconds) < TIMED else processes.of_first(max(1, min(k, int(SECONDS / min(seconds)))))
