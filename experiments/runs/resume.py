"""The state that a run continues from: its newest sound checkpoint, or else imported weights. And forks of runs."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import jax
import numpy as np

from experiments.build import averages
from experiments.build.experiment import Experiment
from experiments.build.optimizer import optimizer_of
from experiments.build.state import State, first_state, placement
from experiments.runs.checkpoint import Checkpoints, saved_steps
from experiments.runs.fitted_average import fitted_average
from experiments.runs.folder import Folder
from experiments.runs.metrics import rows
from experiments.runs.record import RunRecord, imported, read_record
from experiments.runtime import devices, processes
from experiments.runtime.errors import StorageError
from experiments.runtime.files import write_text
from experiments.runtime.progress import say
from experiments.runtime.startup import PROGRAM
from experiments.weights import native


def trained_state(experiment: Experiment, workdir: Path) -> State:
    """Returns the newest sound state of a run: its newest checkpoint, or else the weights that it starts from.

    Its `ema` is the one average that `sample` asks for: of those in the checkpoint, or fitted to those in all checkpoints.
    Raises StorageError if the run has neither.
    """
    config, sample = experiment.config, experiment.config.sample
    state = state_shapes(experiment)
    if record := read_record(workdir):
        if (Folder(workdir).checkpoints).is_dir():
            with Checkpoints(Folder(workdir).checkpoints, record.id, writing=False) as checkpoints:
                restored = checkpoints.restore(state)
                if restored is not None:
                    fitted = sample.sigma_rel not in (None, *config.train.sigma_rel)
                    average = (
                        fitted_average(experiment, checkpoints, state) if fitted else averages.choose(config, restored.ema)
                    )
                    return restored._replace(ema=average)
        record.refuse_if_saved()
    if not (Folder(workdir).weights).exists():
        config, place = (shlex.quote(str(path)) for path in (Folder(workdir).config, workdir))
        raise StorageError(f"{workdir} holds no checkpoint: train it, {PROGRAM} train --config={config} --workdir={place}")
    state = from_weights(experiment, state, workdir)
    return state._replace(ema=averages.each(config.train, state.ema)[0])  # all of them are the weights


def state_shapes(experiment: Experiment) -> State:
    """Returns the state with shapes and placements instead of arrays."""
    optimizer = optimizer_of(experiment.config)
    shapes = jax.eval_shape(lambda: first_state(experiment, optimizer, jax.random.key(0)))
    place = lambda leaf, where: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where)
    return jax.tree.map(place, shapes, placement(experiment.config, shapes))


def from_weights(experiment: Experiment, state: State, workdir: Path) -> State:
    """Returns the state (or its shapes) at step 0 with the weights that were imported into `workdir`, if any were."""
    if not (Folder(workdir).weights).exists():
        return state
    origin = str(Folder(workdir).weights)
    tensors = native.read_weights(workdir).tensors
    params = native.require_finite(state.params, native.fit(state.params, tensors, origin), origin)
    place = lambda: devices.put(params, placement(experiment.config, state).params)
    ema = averages.together(tuple(place() for _ in averages.each(experiment.config.train, state.ema)))
    return state._replace(step=devices.put(np.int32(0), devices.replicated()), params=place(), ema=ema)


def refuse_fork(source: Path, target: Path) -> None:
    """Raises StorageError if `source` holds no checkpoint to begin at, or if `target` holds a run that is no fork of it."""
    parent, begun = read_record(source), read_record(target)
    if parent is None:
        raise StorageError(f"{source} holds no run to fork")
    before = begun.content.get("parent") if begun else None
    if before and before["run"] != parent.id:
        raise StorageError(f"{target} is a fork of {before.get('folder')}: fork into another folder")
    if not before and (saved_steps(Folder(target).checkpoints) or imported(target)):
        raise StorageError(f"{target} holds a run already: fork into another folder")
    if not saved_steps(Folder(target).checkpoints) and not saved_steps(Folder(source).checkpoints):
        raise StorageError(f"{source} holds no checkpoint to fork")


def fork(experiment: Experiment, source: Path, target: Path, record: RunRecord) -> None:
    """Makes the run in `target` begin at the newest sound state of the run in `source`, with a copy of its log up to there.

    `record`: that of `target`, which notes its parent. A run that was forked before continues by itself.
    """
    parent = read_record(source)
    if parent is None or saved_steps(Folder(target).checkpoints):
        return
    with Checkpoints(Folder(source).checkpoints, parent.id, writing=False) as checkpoints:
        state = checkpoints.restore(state_shapes(experiment))
        if state is None:
            raise StorageError(f"{source} holds no checkpoint to fork")
        step = int(state.step)
        unlogged = checkpoints.unlogged(step)
    if processes.first():
        earlier = [row for row in rows(Folder(source).metrics) if row["step"] <= step]
        write_text(Folder(target).metrics, "".join(json.dumps(row) + "\n" for row in earlier))
    with Checkpoints(Folder(target).checkpoints, record.id, experiment.config.train.keep) as checkpoints:
        record.begin_as_fork(parent, source, step)
        record.note_saved(checkpoints.save(step, state, wait=True, unlogged=unlogged))
    say(f"{target} begins at step {step} of {source}")
