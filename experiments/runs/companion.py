"""The companion of a run: another trained run on the same SDE, data and codes, which hears no other conditions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from experiments.build.experiment import Experiment
from experiments.config.parts import autoencodes
from experiments.runs.codecs import build_run
from experiments.runs.lora_base import with_base
from experiments.runs.other_run import config_of_other
from experiments.runs.record import data_facts
from experiments.runs.resume import trained_state
from experiments.runtime.errors import ConfigError
from experiments.runtime.paths import home


def companion(key: str, run: str, ours: Experiment, workdir: Path, role: str) -> tuple[Experiment, Any]:
    """Returns the experiment of the run that the key of our config names, and its averaged parameters; our run is in `workdir`.

    `role`: what it is to our run, for errors. Raises StorageError if there is no such run, and ConfigError if it is our own, or
    was trained on another range of data, on data that were standardised otherwise, on another SDE, or given a condition of
    another function.
    """
    folder, same = home(run), f"train the {role} on the same"
    config = config_of_other(key, folder, ours.config, workdir, f"name another trained run as the {role}")
    if config.data.range != ours.config.data.range:
        raise ConfigError(f"{run} was trained with data.range = {config.data.range}, and this run {ours.config.data.range}")
    if config.sde.learned or ours.config.sde.learned:
        raise ConfigError(f"{run} and this run have no SDE in common, as sde.learned trains it: train both on a fixed one")
    if config.sde != ours.config.sde:
        there, here = (" ".join(map(str, (part.name, *part.options.values()))) for part in (config.sde, ours.config.sde))
        raise ConfigError(f"{run} was trained on the SDE {there}, and this run on {here}: {same}")
    if autoencodes(config):
        raise ConfigError(f"{run} hears codes of its own encoder, and this run has another or none: take a {role} without")
    for kind, part in config.conditions:
        here = getattr(ours.config.conditions, kind)
        if part is not None and (here is None or (part.name, part.options) != (here.name, here.options)):
            name = "none" if here is None else here.name
            raise ConfigError(f"{run} hears conditions.{kind} = {part.name}, and this run {name}: {same}")
    facts = data_facts(folder)
    names, moments = (facts.classes, facts.moments) if facts else ((), None)
    theirs = with_base(build_run(config, ours.shape, names, moments, folder), folder)
    if theirs.scaler.moments != ours.scaler.moments:
        raise ConfigError(f"{run} was trained on data of another mean and std than this run: standardise both by the same data")
    if _codes(theirs) != _codes(ours):
        raise ConfigError(f"{run} was trained on other codes than this run: train both by the same codec.run and moments")
    return theirs, theirs.merged(trained_state(theirs, folder).ema)


def _codes(experiment: Experiment) -> dict[str, Any] | None:
    """What codes depend on, wherever the run of the codec is now; None without a codec."""
    codec = experiment.config.codec
    return codec and codec.model_dump(exclude={"run", "cache"})
