"""Several runs of an arm at once, ahead of the training of each: one program, mapped over their seeds."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import jax

from experiments.config.schema import Config
from experiments.runtime.errors import StorageError, UserError
from experiments.runtime.progress import say
from experiments.training.course import Training, begin
from experiments.training.loop import announce, go_on
from experiments.training.room import as_many_as_fit


def train_at_once(trainings: Sequence[Training]) -> int:
    """Trains runs that stand at one step, and differ by their seeds alone, to train.steps: the first ones, as many as fit.

    It goes ahead of `train`, which takes each from where this leaves it: from its end, if all is well. So what keeps runs from
    being trained at once is no error, be it memory that lacks after all: a line says it, and they are left to be trained one
    after the other. An error that a user can cause ends its own run here, and that run meets it again by itself.

    Returns the number of runs that were trained at once; 1 if none were.
    """
    why = obstacle(trainings[0].experiment.config)
    try:
        if not why:
            return _train(trainings)
    except (UserError, jax.errors.JaxRuntimeError) as error:
        why = str(error).splitlines()[0][:200]
    say(f"not at once, but one seed after the other: {why}")
    return 1


def obstacle(config: Config) -> str:
    """Returns what keeps runs of a config from being trained at once, before anything is compiled; "" if nothing does."""
    if jax.process_count() > 1:
        return f"{jax.process_count()} processes agree on the end of one run, and not of several"
    if "wandb" in config.train.log:
        return "wandb, of train.log, follows one run of a process"
    return ""


def _train(trainings: Sequence[Training]) -> int:
    seeds = ", ".join(str(training.experiment.config.seed) for training in trainings)
    announce(trainings[0].experiment, f"step of seeds {seeds} at once")
    n, advance = as_many_as_fit(trainings)
    if advance is None:
        return n
    with ExitStack() as stack:
        begun = [stack.enter_context(begin(training, at_once=n)) for training in trainings[:n]]
        courses, states = zip(*begun, strict=True)
        if len({int(state.step) for state in states}) > 1:
            raise StorageError("their newest sound checkpoints are of different steps")
        go_on(courses, states, advance)
    return n
