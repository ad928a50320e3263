"""replay: repeat one step of a run, and say what in it was not finite."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np

from experiments.build.experiment import Experiment
from experiments.build.optimizer import optimizer_of
from experiments.build.state import init_state, placement
from experiments.commands.arguments import Call, compile_cache
from experiments.commands.arguments import run as run_folder
from experiments.commands.opening import Needs, open_run
from experiments.config.changes import changed_keys
from experiments.data.dataset import Dataset
from experiments.data.feed import blocks, feed
from experiments.randomness import Purpose, stream
from experiments.runs.checkpoint import Checkpoints
from experiments.runs.code_cache import with_codes
from experiments.runs.folder import Folder
from experiments.runs.record import RunRecord, read_record
from experiments.runs.resume import from_weights, state_shapes
from experiments.runtime import devices
from experiments.runtime.errors import ConfigError, StorageError
from experiments.runtime.files import write_json
from experiments.runtime.progress import progress, say
from experiments.training.autopsy import autopsy, first_nan, sentence
from experiments.training.calls import steps_per_call
from experiments.training.course import Training
from experiments.training.step import make_call


def add_step(parser: argparse.ArgumentParser) -> None:
    """Adds --step, which is required."""
    parser.add_argument("--step", type=int, metavar="N", required=True, help="the number of a step")


HELP = "repeat one step of a run, and say what in it was not finite"
ARGUMENTS = (run_folder, add_step, compile_cache)


def run(call: Call) -> None:
    """Writes replay_STEP.json in the run's folder; nothing else of the run changes."""
    opened = open_run(call, Needs(training=True, score=False, guides=False), call.options.run)
    opened.refuse_changes(opened.workdir, opened.experiment, opened.dataset.facts)
    record = read_record(opened.workdir)
    if record is None:
        raise StorageError(f"{opened.workdir} holds no run that was trained here")
    data = with_codes(opened.experiment, opened.dataset, opened.workdir)
    replay(opened.experiment, data, opened.workdir, record, call.options.step)


def replay(experiment: Experiment, data: Dataset, run: Path, record: RunRecord, step: int) -> None:
    """Goes from the newest checkpoint at or before `step`, or from the beginning, and says what was not finite in it and where.

    It is the step of the run bit by bit.
    """
    config = experiment.config
    if not 0 <= step < config.train.steps:
        raise ConfigError(f"--step={step}: the run has the steps 0 to {config.train.steps - 1}")
    trained_by = record.config_at(step)
    if trained_by and (changed := changed_keys(trained_by.model_dump(), config.model_dump())):
        say(f"warning: step {step} was trained by another config, and is repeated by the present one: {'; '.join(changed[:3])}")
    with Checkpoints(Folder(run).checkpoints, record.id, writing=False) as checkpoints:
        state = checkpoints.restore(state_shapes(experiment), newest=step)
    optimizer = optimizer_of(config)
    if state is None:
        if parent := record.content.get("parent"):
            raise StorageError(f"{run} has no checkpoint at or before step {step}: it begins at step {parent.get('step')}")
        state = from_weights(experiment, init_state(experiment, optimizer, stream(config.seed, Purpose.INIT)), run)
    one_call = make_call(experiment, optimizer, stream(config.seed, Purpose.STEP))
    advance = devices.pmapped(one_call, placement(config, state), frozen=experiment.frozen)
    at, k = int(state.step), steps_per_call(Training(experiment, data, run, record))
    with progress("replay", step, at) as show:
        for (block,) in feed([data.batches], config.train.batch, blocks(at, step, k), experiment.classes):
            n = min(k, step - at)
            state = advance(state, block, experiment.frozen, np.array([0, n], np.int32))
            at += n
            show(at, "")
    report = autopsy(experiment, data, state, step)
    report["first"] = first_nan(experiment, data, state, step)
    path = Folder(run).replay(step)
    write_json(path, report)
    if not report["examples"] and all(math.isfinite(norm) for norm in report["modules"].values()):
        say(f"step {step} is finite: gradient norms of its modules, and all else, are in {path}")
    else:
        say(f"{sentence(report)}\nfirst at {report['first'] or 'no single operation'}\nall of it is in {path}")
