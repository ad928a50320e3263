"""The state that a run goes on from: its newest sound checkpoint, or else weights from elsewhere."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np

from experiments import parallel
from experiments.bridge import native
from experiments.build import Experiment
from experiments.checkpoint import Checkpoints
from experiments.errors import StorageError
from experiments.record import read
from experiments.state import State, init_state, placement
from experiments.update import make_optimizer


def trained(experiment: Experiment, workdir: Path) -> State:
    """The newest sound state of a run, without training on: its newest checkpoint, or else the weights it starts from."""
    state = state_shapes(experiment)
    if record := read(workdir):
        if (workdir / "checkpoints").is_dir():
            with Checkpoints(workdir / "checkpoints", record.id, writing=False) as checkpoints:
                restored = checkpoints.restore(state)
            if restored is not None:
                return restored
        record.refuse_if_saved()
    if not (workdir / native.FILE).exists():
        raise StorageError(f"{workdir} holds no checkpoint: train it first, by the same command with `train`")
    return from_weights(experiment, state, workdir)


def state_shapes(experiment: Experiment) -> State:
    """The state by its shapes alone, and where they go."""
    shapes = jax.eval_shape(lambda: init_state(experiment, make_optimizer(experiment.config.train), jax.random.key(0)))
    place = lambda leaf, where: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where)
    return jax.tree.map(place, shapes, placement(experiment.config, shapes))


def from_weights(experiment: Experiment, state: State, workdir: Path) -> State:
    """The state (or its shapes) at step 0 with the weights that were imported into `workdir`, if any were."""
    if not (workdir / native.FILE).exists():
        return state
    origin = str(workdir / native.FILE)
    tensors = native.read(workdir).tensors
    params = native.sound(state.params, native.fitted(state.params, tensors, origin), origin)
    place = lambda: parallel.put(params, placement(experiment.config, state).params)
    return state._replace(step=parallel.put(np.int32(0), parallel.replicated()), params=place(), ema=place())
