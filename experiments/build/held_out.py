"""The held-out examples that the conditions of samples come from: a part to fill in, or an image to make sharp."""

from __future__ import annotations

from experiments.build.experiment import Experiment
from experiments.data.dataset import Dataset, first_held_out
from experiments.runtime.errors import ConfigError


def with_held_out(experiment: Experiment, data: Dataset | None = None) -> Experiment:
    """Returns the experiment with as many held-out examples as it needs, if the network hears a condition that is made of one.

    They are the first ones of the one random order, from `data`, or decoded now. Raises ConfigError if `sample.like` names one
    that is not there, and DataError if they are not.
    """
    if experiment.held_out is not None or not any("x" in each.needs for each in experiment.conditions.values()):
        return experiment
    config, classes = experiment.config, experiment.classes
    most = max(config.evaluate.n, config.sample.n, 1 + max(config.sample.like, default=0))
    some = first_held_out(config.data, experiment.shape, most, classes) if data is None else data.held_out(most, classes)
    if (n := len(some.levels)) <= (last := max(config.sample.like, default=0)):
        raise ConfigError(f"sample.like: there is no held-out example {last}; take 0 to {n - 1}")
    return experiment._replace(held_out=some)
