"""Settings that would change nothing, because another one leaves them no part to play."""

from __future__ import annotations

from experiments.config.options import parameters
from experiments.config.parts import STEP
from experiments.config.schema import Config, Sampler

OF_INCEPTION = ("evaluate.inception", "evaluate.statistics")
OF_LEVELS = ("evaluate.dequantizer", "evaluate.draws", "data.dequantize", "data.range", "sample.pngs")
OF_STEPS = {"deis": ("order", 3, ("reach",)), "edm_heun": ("churn", 0, ("churn_min", "churn_max", "s_noise"))}
"""For each step an option, and those that have no part to play unless it is above a value."""


def idle_problems(config: Config) -> list[str]:
    """Returns a line for each setting that would change nothing, with the reason and the remedy."""
    features, file = config.evaluate.features, config.evaluate.inception
    by_inception = features == "inception" or (file and features not in ("pixels", "classifier"))
    lines = [] if by_inception else _set(config, OF_INCEPTION, "features are not 'inception'")
    lines += [] if config.data.levels else _set(config, OF_LEVELS, "points (data.levels = 0) have no grey levels")
    return lines + [line for label, sampler in config.samplers.items() for line in _of_step(f"samplers.{label}.step", sampler)]


def _set(config: Config, keys: tuple[str, ...], why: str) -> list[str]:
    """A line for each of the keys that is not at its default."""
    lines = []
    for key in keys:
        section, leaf = key.split(".")
        part = getattr(config, section)
        value, default = getattr(part, leaf), type(part).model_fields[leaf].default
        lines += [f"{key} = {value!r} would change nothing: {why}; take {default!r}"] if value != default else []
    return lines


def _of_step(where: str, sampler: Sampler) -> list[str]:
    name, options, sweep = sampler.step.name, sampler.step.options, sampler.sweep
    if name not in OF_STEPS:
        return []
    master, least, idle = OF_STEPS[name]
    most = max([options.get(master, parameters(STEP.find(name))[master].default), *sweep.get(master, ())])
    why = f"would change nothing at {master} = {most:g}; leave it out, or take {master} above {least}"
    return [f"{where}.{option} {why}" for option in idle if option in {*options, *sweep} and most <= least]
