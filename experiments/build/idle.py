"""Settings that would change nothing, because another one leaves them no part to play."""

from __future__ import annotations

from experiments.build.conditions import conditions, is_captions
from experiments.config.messages import in_words
from experiments.config.options import parameters
from experiments.config.parts import LEARNING_RATE, STEP, augments
from experiments.config.schedules import OF_SECTION
from experiments.config.schema import Config, Sampler, Train
from experiments.data.shipped import SHIPPED
from experiments.data.toys import TOYS

OF_INCEPTION = ("evaluate.inception", "evaluate.statistics")
OF_LEVELS = ("data.dequantize", "data.range", "evaluate.dequantizer", "sample.pngs")
OF_FLOATS = ("data.standardise",)
OF_SIZE = ("data.crop",)
OF_FILES = ("data.data_dir", "data.train", "data.test")
OF_FIT = ("evaluate.dequantizer_steps",)
OF_ADAMW = ("train.beta1", "train.beta2", "train.epsilon", "train.weight_decay")
OF_STEPS = {"deis": ("order", 3, ("reach",)), "edm_heun": ("churn", 0, ("churn_min", "churn_max", "s_noise"))}
"""For each step an option, and those that have no part to play unless it is above a value."""


def idle_problems(config: Config) -> list[str]:
    """Returns a line for each setting that would change nothing, with the reason and the remedy."""
    features, file = config.evaluate.features, config.evaluate.inception
    by_inception = features == "inception" or (file and features not in ("pixels", "classifier"))
    name, levels, fitted = config.data.name, config.data.levels, config.evaluate.dequantizer == "variational"
    of_examples = any("x" in each.needs for each in conditions(config, ()).values())
    of_tokens = ", but tokens: give y={'tokens': ...} to run.sample in Python" if config.conditions.tokens else ""
    rules = (
        (by_inception, OF_INCEPTION, "features are not 'inception'"),
        (levels, OF_LEVELS, "floats (data.levels = 0) have no grey levels"),
        (levels or config.codec or augments(config), ("evaluate.draws",), "floats (data.levels = 0) have no grey levels"),
        (not levels, OF_FLOATS, "grey levels are scaled as data.range says, and data.levels = 0 is for floats"),
        (config.data.size is not None, OF_SIZE, "images keep their size unless data.size is set"),
        (name not in (*TOYS, *SHIPPED), OF_FILES, f"{name} reads no file of yours"),
        (fitted, OF_FIT, "the dequantizer is not 'variational'"),
        (is_captions(config), ("sample.caption",), f"the network hears no captions{of_tokens}"),
        (of_examples, ("sample.like",), "the network hears no condition that is made of an example"),
        (config.train.optimizer is None, OF_ADAMW, "train.optimizer has options of its own"),
        (config.train.schedule is None, ("train.decay",), "train.schedule is the whole learning rate"),
    )
    lines = [line for used, keys, why in rules if not used for line in _idle_keys(config, keys, why)]
    lines += _idle_keys(config, _beside_schedule(config.train), "train.schedule is the whole learning rate")
    return lines + [line for label, sampler in config.samplers.items() for line in _of_step(f"samplers.{label}.step", sampler)]


def _beside_schedule(train: Train) -> tuple[str, ...]:
    """The keys that fill no option of the section's schedule, which has none for them or has its own values."""
    if train.schedule is None:
        return ()
    open_options = parameters(LEARNING_RATE.find(train.schedule.name)).keys() - train.schedule.options.keys()
    return tuple(f"train.{key}" for key in ("learning_rate", "warm_up") if not open_options & {*OF_SECTION[key]})


def _idle_keys(config: Config, keys: tuple[str, ...], why: str) -> list[str]:
    """A line for each of the keys that is not at its default."""
    lines = []
    for key in keys:
        section, leaf = key.split(".")
        part = getattr(config, section)
        value, default = getattr(part, leaf), type(part).model_fields[leaf].default
        if value != default:
            lines.append(f"{key} = {in_words(value)} would change nothing: {why}; take {in_words(default)}")
    return lines


def _of_step(where: str, sampler: Sampler) -> list[str]:
    """A line for each option of the sampler's step that is not at its default, here or in a sweep, without a part to play."""
    if sampler.step.name not in OF_STEPS:
        return []
    master, least, idle = OF_STEPS[sampler.step.name]
    defaults = {name: p.default for name, p in parameters(STEP.find(sampler.step.name)).items()}
    values = {name: {(defaults | sampler.step.options)[name], *sampler.sweep.get(name, ())} for name in (master, *idle)}
    most = max(values[master])
    why = f"would change nothing at {master} = {most:g}; leave it out, or take {master} above {least}"
    return [f"{where}.{name} {why}" for name in idle if most <= least and values[name] != {defaults[name]}]
