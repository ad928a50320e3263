"""An average of any width, after training: fitted to the power-function averages in a run's checkpoints."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from experiments.build import averages
from experiments.build.experiment import Experiment
from experiments.build.power_average import Profile, exponent, fit
from experiments.build.state import State
from experiments.runs.checkpoint import Checkpoints
from experiments.runtime import devices
from experiments.runtime.errors import StorageError
from experiments.runtime.progress import say

FAR = 0.1
"""A distance of the fitted profile that is worth a warning."""


def fitted_average(experiment: Experiment, checkpoints: Checkpoints, like: State) -> Any:
    """Returns the average of width `sample.sigma_rel` at the newest step, by the fit of `experiments.build.power_average.fit`.

    `like`: the shapes of a state. Raises StorageError if a checkpoint is not sound.
    """
    train, sigma_rel = experiment.config.train, experiment.config.sample.sigma_rel
    assert sigma_rel is not None
    steps = [step for step in sorted(checkpoints.steps()) if step > 0]
    if not steps:
        raise StorageError("there is no checkpoint after step 0, to which an average could be fitted: train on")
    widths = [exponent(tracked) for tracked in train.sigma_rel]
    target = Profile(steps[-1], exponent(sigma_rel))
    weights, distance = fit(target, [Profile(step, gamma) for step in steps for gamma in widths])
    total: Any = None
    for step, shares in zip(steps, weights.reshape(len(steps), -1), strict=True):
        state = checkpoints.restore(like, newest=step)
        if state is None or int(state.step) != step:
            raise StorageError(f"checkpoint {step} cannot be read, and the average is fitted to all: again, or move it away")
        # One checkpoint at a time, on the host and in float64: the weights have both signs.
        for share, average in zip(shares, averages.each(train, state.ema)[-len(widths) :], strict=True):
            part = jax.tree.map(lambda a, share=share: share * devices.gather(a).astype(np.float64), average)
            total = part if total is None else jax.tree.map(np.add, total, part)
    what = (
        f"sigma_rel = {sigma_rel:g} at step {steps[-1]} is fitted to {len(weights)} averages, by a profile {distance:.2%} off"
    )
    say(f"warning: {what}; a higher train.keep has more to fit to" if distance > FAR else what)
    place = jax.tree.map(lambda leaf: leaf.sharding, like.params)
    return devices.put(jax.tree.map(lambda a, leaf: a.astype(leaf.dtype), total, like.params), place)
