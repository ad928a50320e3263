"""The commands that a config is for: train, sample, interpolate, edit, evaluate, compare; replay and demo, by the run's own."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from experiments.build.build import build
from experiments.build.checks import training_problems
from experiments.build.experiment import Experiment
from experiments.commands import edit, interpolate
from experiments.commands.compare import compare
from experiments.commands.evaluate import single
from experiments.commands.replay import replay
from experiments.commands.sample import sample
from experiments.config.arms import arm_problems, resolve_arms
from experiments.config.messages import schema_problems
from experiments.config.parts import classifies
from experiments.config.problems import part_problems
from experiments.config.reading import read_config
from experiments.config.schema import Config, Data
from experiments.config.tiny import tiny
from experiments.data.dataset import Dataset, load
from experiments.data.sources import Sources, open_sources
from experiments.evaluation.features import feature_space
from experiments.runs.guides import with_guides
from experiments.runs.lora_base import with_base
from experiments.runs.record import read, refuse_changes, session
from experiments.runs.resume import fork, trained
from experiments.runtime import processes
from experiments.runtime.compile_cache import keep_compiled
from experiments.runtime.errors import ConfigError, DataError, StorageError
from experiments.runtime.lock import exclusive
from experiments.runtime.progress import say, warned
from experiments.weights import native


def run(arguments: argparse.Namespace, overrides: list[str], line: str) -> None:
    """A command by a config, and replay: everything that can be refused is refused first."""
    command, file, workdir = arguments.command, arguments.config, arguments.workdir.absolute()
    tree = read_config(file, overrides, {"tiny": tiny})
    arms = resolve_arms(tree)
    if (command == "compare") != bool(arms) and not schema_problems(tree):
        raise ConfigError(
            f"{file} has no arms: use train, sample, interpolate, edit and evaluate, or give it config.arms"
            if command == "compare"
            else f"{file} compares {', '.join(arms)}: use compare, or a config without arms"
        )
    # Of its data, sampling needs no more than the shape, which weights from elsewhere say.
    weights = workdir / native.FILE
    shape = native.read_weights(weights).shape if command in ("sample", "demo") and weights.is_file() else None
    sources = judge(tree, arms, opening=shape is None)
    base = Config.model_validate(tree)
    data = load(sources, base.data, base.seed) if sources else None
    keep_compiled(not arguments.no_compile_cache)  # what judges a config compiles too, a hundred small programs
    built = built_arms(arms or {"": tree}, command, data.shape if data else shape or ())
    scoreless = any(classifies(experiment.config) for experiment in built.values())
    if scoreless and command not in ("train", "evaluate", "replay"):
        raise ConfigError(
            [
                f"{command}: the objective trains a classifier, which has no score to draw from; evaluate measures it,",
                "and it guides another run: --config.samplers.NAME.guidance={'name': 'classifier', 'run': 'FOLDER'}",
            ]
        )
    if data and command != "sample":
        for experiment in built.values():
            data.check_labels(experiment.classes)
    built = {name: with_guides(experiment) for name, experiment in built.items()} if command != "replay" else built
    space = feature_space(base, data) if data and command in ("evaluate", "compare") and not scoreless else None
    processes.stop_if_asked()
    folders = {name: workdir / name for name in built}
    digest = data.digest if data else ""
    allowed = getattr(arguments, "allow_change", [])
    if command not in ("train", "compare") and not (workdir / "config.json").exists():
        raise StorageError(f"{workdir} holds no run: train it first, by the same command with `train`")
    built = {name: with_base(experiment, folders[name]) for name, experiment in built.items()}
    if command in ("sample", "interpolate", "edit", "replay", "demo"):  # which look at a run that may be in training
        refuse_changes(workdir, built[""].config, digest if command == "replay" else "", allowed)
        look(command, built[""], data, workdir, arguments)
        return
    with ExitStack() as held:
        target = getattr(arguments, "fork", None)
        if target and target.resolve() == workdir.resolve():
            raise ConfigError(f"--fork={target} is --workdir itself: name a new folder")
        folders = {"": target.absolute()} if target else folders
        own = [] if target else [workdir]
        held.enter_context(exclusive(*own, *(folder for folder in folders.values() if folder not in own)))
        for name, experiment in built.items():
            refuse_changes(folders[name], experiment.config, digest, allowed)
        records = {
            name: held.enter_context(session(folders[name], experiment.config, digest, line, training=command != "evaluate"))
            for name, experiment in built.items()
        }
        if target:
            fork(built[""], workdir, folders[""], records[""])
        if command == "compare" and data and space:
            say(f"report: {compare(built, base, tree['arms'], data, space, workdir, line, records)}")
        elif data:
            single(command, built[""], data, space, folders[""], line, records[""])


def judge(tree: dict[str, Any], arms: dict[str, dict[str, Any]], opening: bool = True) -> Sources | None:
    """The data's sources, if nothing is wrong with the config or any arm of it; else ConfigError with every problem at once.

    DataError where the data alone is what is wrong. None unless they are for `opening`.
    """
    found = schema_problems(tree) + part_problems(tree) + arm_problems(tree)
    found += _by_arm({name: schema_problems(arm) + part_problems(arm) for name, arm in arms.items()}, known=found)
    sources = None
    try:
        sources = open_sources(Data.model_validate(tree.get("data"))) if opening else None
    except ValidationError:
        pass  # among the schema's problems
    except DataError as error:
        lines = [f"data: {line}" for line in str(error).splitlines()]
        if not found:
            raise DataError(lines) from error
        found += lines
    except ConfigError as error:
        found += str(error).splitlines()
    if found:
        raise ConfigError(found)
    return sources


def _by_arm(problems: dict[str, list[str]], known: list[str]) -> list[str]:
    """The problems that are not known yet, each with its arm."""
    return [f"arms.{name}: {line}" if name else line for name, lines in problems.items() for line in lines if line not in known]


def built_arms(trees: dict[str, dict[str, Any]], command: str, shape: tuple[int, ...]) -> dict[str, Experiment]:
    """The experiment of each arm on events of `shape`; ConfigError with every problem of every arm."""
    built: dict[str, Experiment] = {}
    problems: dict[str, list[str]] = {}
    for name, tree in trees.items():
        with warned():
            config = Config.model_validate(tree)
            found = training_problems(config) if command in ("train", "compare", "replay") else []
            try:
                built[name] = build(config, shape)
            except ConfigError as error:
                found += str(error).splitlines()
            if found:
                problems[name] = found
    if problems:
        shared = [line for line in next(iter(problems.values())) if all(line in lines for lines in problems.values())]
        raise ConfigError(shared + _by_arm(problems, known=shared) if len(problems) > 1 else _by_arm(problems, known=[]))
    return built


def look(command: str, experiment: Experiment, data: Dataset | None, workdir: Path, arguments: argparse.Namespace) -> None:
    """sample, interpolate, edit, replay or demo: nothing of the run changes."""
    config = experiment.config
    if command == "replay" and data:
        record = read(workdir)
        if record is None:
            raise StorageError(f"{workdir} holds no run that was trained here")
        replay(experiment, data, workdir, record, arguments.step)
    elif command == "demo":
        from experiments.page.serve import serve  # a web server, which no other command needs

        held_out = data.test if data else np.zeros((0, *experiment.shape), np.uint8)
        state = trained(experiment, workdir)
        state = state._replace(ema=experiment.network(state.ema))
        serve(experiment, state, held_out, arguments.run, arguments.door, arguments.anyone)
    elif command == "sample":
        sample(experiment, trained(experiment, workdir), workdir)
    elif command == "edit" and data:
        edit.write(experiment, data, workdir)
    elif data:
        path = workdir / "interpolation.png"
        interpolate.write(experiment, experiment.network(trained(experiment, workdir).ema), data.test, path)
        say(f"{path}: {config.interpolate.pairs} pairs of held-out examples")
