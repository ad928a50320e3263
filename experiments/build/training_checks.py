"""Problems of what a run keeps and shows while it trains: its averages, its callbacks and the forms of its log."""

from __future__ import annotations

from importlib.util import find_spec

from experiments.config.parts import user_function
from experiments.config.problems import Problems, attempt
from experiments.config.schema import Config

PACKAGES = {"tensorboard": ("tensorboardX", "pip install -e .[tensorboard]"), "wandb": ("wandb", "pip install wandb")}
"""For each form of the log the package that writes it, and the way to install that."""


def average_problems(config: Config) -> Problems:
    """Returns the problems of an average that is to draw and that the run does not have."""
    train, sample = config.train, config.sample
    if sample.ema is not None and sample.sigma_rel is not None:
        return ["sample.ema and sample.sigma_rel name two averages, and one draws: take None for one of them"]
    if sample.ema is not None and sample.ema not in train.decays:
        return [f"sample.ema = {sample.ema:g} is no average of this run: take {_either(train.decays)}, of train.ema"]
    if sample.sigma_rel is not None and not train.sigma_rel:
        return [
            f"sample.sigma_rel = {sample.sigma_rel:g}: training kept no such averages; train with train.sigma_rel = (0.05, 0.1)"
        ]
    return []


def watching_problems(config: Config) -> Problems:
    """Returns the problems of what a run cannot show while it trains: an average, a form of the log, or callbacks."""
    train, sample = config.train, config.sample
    problems: Problems = []
    if sample.sigma_rel is not None and train.sigma_rel and sample.sigma_rel not in train.sigma_rel:
        remedy = f"in training take {_either(train.sigma_rel)} or None, and any width afterwards"
        problems.append(f"sample.sigma_rel = {sample.sigma_rel:g} is fitted to checkpoints that are not there yet: {remedy}")
    for form in train.log:
        package, install = PACKAGES.get(form, ("", ""))
        if package and find_spec(package) is None:
            problems.append(f"train.log: {form} is written by {package}, which is not installed: {install}")
    for name in train.callbacks:
        attempt(problems, "train.callbacks", lambda name=name: user_function(name))
    return problems


def _either(values: tuple[float, ...]) -> str:
    return " or ".join(f"{value:g}" for value in values)
