"""export: write a run's averaged parameters and config as a folder for elsewhere."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.build.experiment import Experiment
from experiments.commands.arguments import Call, folder
from experiments.commands.exchange import brief_errors, experiment_of, network, refuse_existing
from experiments.config.changes import override_free_keys
from experiments.config.messages import suggestion
from experiments.config.parts import autoencodes
from experiments.config.problems import parse
from experiments.config.schema import Config
from experiments.config.tree import read_json_tree
from experiments.data.dataset import load
from experiments.data.sources import open_sources
from experiments.runs.folder import Folder
from experiments.runs.lora_base import with_base
from experiments.runs.record import data_facts, imported
from experiments.runs.resume import trained_state
from experiments.runtime.errors import ConfigError, StorageError
from experiments.runtime.paths import home
from experiments.runtime.progress import say
from experiments.runtime.signals import stop
from experiments.weights import native
from experiments.weights.published.layouts import EXPORTS, OURS, Export


def add_folders(parser: argparse.ArgumentParser) -> None:
    """Adds RUN, OUT and --layout."""
    parser.add_argument("run", type=folder, metavar="RUN", help="the run's folder")
    parser.add_argument("out", type=folder, metavar="OUT", help="the folder, which is made")
    parser.add_argument("--layout", metavar="NAME", default="native", help="its form: " + ", ".join([*OURS, *EXPORTS]))


HELP = "write a run's averaged parameters and config as a folder for elsewhere"
ARGUMENTS = (add_folders,)


def run(call: Call) -> None:
    """Writes the parameters of RUN to OUT in the form that --layout names."""
    options = call.options
    with brief_errors(options.out):
        export_run(options.run, options.out, options.layout, call.overrides)


def export_run(run: Path, out: Path, layout: str, overrides: list[str]) -> None:
    """Writes the averaged parameters of a run as a folder in `layout`'s form: of adapters, merged with their base.

    "lora" is the adapters alone, with the digest of the base that `import` asks for.
    """
    refuse_existing(out)
    if layout not in (*OURS, *EXPORTS):
        raise ConfigError(f"--layout={layout} is unknown{suggestion(layout, [*OURS, *EXPORTS])}")
    if not Folder(run).config.is_file():
        raise StorageError(f"{run} holds no run, which has a config.json")
    tree = override_free_keys(read_json_tree(Folder(run).config), overrides, str(run))
    config, problems = parse(tree)
    if config is None:
        raise ConfigError([f"{Folder(run).config} is no config of a run:", *problems])
    data = data_facts(run) or load(open_sources(config.data), config.data, config.seed).facts
    experiment = with_base(experiment_of(tree, data.shape, data.classes, data.moments, run), run)
    if layout == "lora" and not experiment.config.lora:
        raise ConfigError(f"--layout=lora: {run} has no adapters, which a run with config.lora trains; take native")
    stop.check()
    state = trained_state(experiment, run)
    stop.check()
    weights = native.read_weights(run) if Folder(run).weights.is_file() else None
    step = int(state.step) + (weights.step if weights else 0)
    digest = weights.data if weights and imported(run) else data.digest
    params = state.ema
    one_average = experiment.config.sample.model_copy(update={"ema": None, "sigma_rel": None})  # the one that is written
    experiment = experiment._replace(config=experiment.config.model_copy(update={"sample": one_average}))
    if layout != "lora":
        params = experiment.merged(params)
        alone = {"lora": None, "sde": experiment.fixed_sde} if config.lora else {}
        experiment = experiment._replace(config=experiment.config.model_copy(update=alone))
    params = jax.tree.map(np.asarray, params)
    ours = {"a mixed score": config.mixed, "an encoder": autoencodes(config), "a learned SDE": bool(config.sde.learned)}
    if layout not in OURS and any(ours.values()):
        which = next(name for name, there in ours.items() if there)
        raise ConfigError(f"--layout={layout} has no place for {which}, as {run} has one: take native")
    if layout in OURS:
        native.write_weights(out, experiment.config, params, data.shape, step, digest, data.classes, data.moments)
    else:
        EXPORTS[layout](out, Export(experiment.config, network(experiment), params, data.shape, _codec(experiment)))
    say(f"{out}: the averaged parameters of {run} at step {step}, as {layout}")


def _codec(experiment: Experiment) -> tuple[Config, Any] | None:
    """The config and the parameters of codec.run; None if the experiment has none."""
    section = experiment.config.codec
    if section is None or not section.run:
        return None
    theirs = Config.model_validate(read_json_tree(Folder(home(section.run)).config))
    return theirs, jax.tree.map(np.asarray, experiment.frozen.codec[0][-1])
