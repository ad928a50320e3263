"""replay: one step of a run once more, and what in it was not finite."""

from __future__ import annotations

import math
from pathlib import Path

from experiments.build.experiment import Experiment
from experiments.build.optimizer import make_optimizer
from experiments.build.state import placement
from experiments.config.changes import changed_keys
from experiments.data.dataset import Dataset
from experiments.data.feed import stacked
from experiments.randomness import Purpose, stream
from experiments.runs.checkpoint import Checkpoints
from experiments.runs.record import Record
from experiments.runs.resume import state_shapes
from experiments.runtime import devices
from experiments.runtime.errors import ConfigError, StorageError
from experiments.runtime.files import write_json
from experiments.runtime.progress import progress, say
from experiments.training.autopsy import autopsy, first_nan, sentence
from experiments.training.step import make_call


def replay(experiment: Experiment, data: Dataset, run: Path, record: Record, step: int) -> None:
    """Goes from the newest checkpoint at or before `step` to that step, and says what was not finite in it and where.

    Touches nothing of the run; the report is RUN/replay_STEP.json. Bit by bit it is the step of the run where
    train.steps_per_call is 1: a last call of fewer steps is another program.
    """
    config = experiment.config
    if not 0 <= step < config.train.steps:
        raise ConfigError(f"--step={step}: the run has the steps 0 to {config.train.steps - 1}")
    trained_by = record.config_at(step)
    if trained_by and (changed := changed_keys(trained_by.model_dump(), config.model_dump())):
        say(f"warning: step {step} was trained by another config, and is repeated by the present one: {'; '.join(changed[:3])}")
    with Checkpoints(run / "checkpoints", record.id, writing=False) as checkpoints:
        state = checkpoints.restore(state_shapes(experiment), newest=step)
    if state is None:
        raise StorageError(f"{run} has no checkpoint at or before step {step}")
    optimizer = make_optimizer(config.train)
    one_call = make_call(experiment, optimizer, stream(config.seed, Purpose.STEP))
    advance = devices.pmapped(one_call, placement(config, state), frozen=experiment.frozen)
    at, calls = int(state.step), config.train.steps_per_call
    with progress("replay", step, at) as show:
        while at < step:
            rows = range(at, min(at + calls, step))
            read = lambda i: data.train.batch(i, config.train.batch, classes=experiment.classes)
            state = advance(state, devices.split(stacked(map(read, rows)), axis=1), *experiment.frozen)
            at = rows.stop
            show(at, "")
    found = autopsy(experiment, data, state, step)
    found["first"] = first_nan(experiment, data, state, step)
    path = run / f"replay_{step}.json"
    write_json(path, found)
    if not found["examples"] and all(math.isfinite(norm) for norm in found["modules"].values()):
        say(f"step {step} is finite: gradient norms of its modules, and all else, are in {path}")
    else:
        say(f"{sentence(found)}\nfirst at {found['first'] or 'no single operation'}\nall of it is in {path}")
