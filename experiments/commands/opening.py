"""The first half of every command that works by a config: read, validate, load and build, so that all refusals come first."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from experiments.build.checks import device_problems, training_problems
from experiments.build.experiment import Experiment
from experiments.build.held_out import with_held_out
from experiments.commands.arguments import Call
from experiments.config.arms import arm_problems, resolve_arms
from experiments.config.parts import classifies
from experiments.config.problems import parse
from experiments.config.reading import read_config
from experiments.config.schema import Config, Data
from experiments.config.seeds import runs_of_arm
from experiments.config.tiny import tiny
from experiments.data.dataset import DataFacts, Dataset, load
from experiments.data.moments import Moments
from experiments.data.sources import Sources, open_sources
from experiments.data.validation import open_validation
from experiments.evaluation.features import FeatureSpace, feature_space
from experiments.runs.codecs import build_run, with_code_moments
from experiments.runs.features import with_features
from experiments.runs.folder import Folder
from experiments.runs.guides import with_guides
from experiments.runs.lora_base import with_base
from experiments.runs.record import RunRecord, data_facts, session, trained_moments
from experiments.runs.teacher import with_teacher
from experiments.runs.ways_on import refuse_changes
from experiments.runtime import processes
from experiments.runtime.compile_cache import keep_compiled
from experiments.runtime.errors import ConfigError, DataError, StorageError
from experiments.runtime.lock import exclusive
from experiments.runtime.progress import warned
from experiments.runtime.startup import PROGRAM


class Plan(NamedTuple):
    """A valid config.

    `arms`: the config of each arm, or the base itself as "" if it compares nothing; `changes`: each arm's own keys; `sources`:
    those of its data, None unless they were opened.
    """

    base: Config
    arms: dict[str, Config]
    changes: dict[str, dict[str, Any]]
    sources: Sources | None

    def load(self, moments: Moments | None = None) -> Dataset | None:
        """Returns the data, if their sources were opened; `moments`: those that a run was trained by."""
        return load(self.sources, self.base.data, self.base.seed, moments) if self.sources else None


class Needs(NamedTuple):
    """The demands of a command on what it opens.

    `run`: there is a run in the folder. `training`: the config can be trained. `score`: the network is a score, no classifier.
    `guides`: the runs that guide samplers are read. `data`: the data are loaded, and their labels checked; else they are loaded
    only if the run does not know them. `space`: the space of features is opened, for a score.
    """

    run: bool = True
    training: bool = False
    score: bool = True
    guides: bool = True
    data: bool = True
    space: bool = False


class Opened(NamedTuple):
    """The objects that a command works on: the plan, the data, the experiment of each arm, and the folder.

    `facts`: what is known of the data, loaded or not. `space`: that of the features which samples are measured in, if the
    command measures some.
    """

    call: Call
    plan: Plan
    data: Dataset | None
    facts: DataFacts
    experiments: dict[str, Experiment]
    workdir: Path
    space: FeatureSpace | None = None

    @property
    def experiment(self) -> Experiment:
        """The experiment of a config without arms."""
        return self.experiments[""]

    @property
    def dataset(self) -> Dataset:
        """The data of a command that opens them always."""
        assert self.data is not None
        return self.data

    def data_of(self, name: str) -> Dataset:
        """The data of an arm: their order is that of its own seed, as it is of the same experiment without other arms."""
        seed = self.experiments[name].config.seed
        return self.dataset if seed == self.plan.base.seed else self.dataset.by(seed)

    @contextmanager
    def held(self, folders: dict[str, Path], training: bool = True) -> Iterator[dict[str, RunRecord]]:
        """Holds the folder of each arm alone, and records a session there. Raises ConfigError if a run would become another."""
        own = [self.workdir] if self.plan.changes else []
        with ExitStack() as stack:
            stack.enter_context(exclusive(*own, *(folder for folder in folders.values() if folder not in own)))
            facts = {name: self.data_of(name).facts if self.data else self.facts for name in self.experiments}
            for name, experiment in self.experiments.items():
                self.refuse_changes(folders[name], experiment, facts[name])
            yield {
                name: stack.enter_context(session(folders[name], experiment.config, facts[name], self.call.line, training))
                for name, experiment in self.experiments.items()
            }

    def refuse_changes(self, folder: Path, experiment: Experiment, data: DataFacts | None = None) -> None:
        """Raises ConfigError if the folder holds another experiment, but for the keys that --allow-change names."""
        refuse_changes(folder, experiment, data, vars(self.call.options))


def open_arms(call: Call, tree: dict[str, Any] | None = None) -> Opened:
    """Opens every arm of a config that compares, or of its `tree`, to be trained.

    Raises ConfigError with every problem of every arm.
    """
    plan = make_plan(read_config(call.options.config, call.overrides, {"tiny": tiny}) if tree is None else tree)
    if not plan.changes:
        commands = "train, sample, interpolate, edit and evaluate"
        raise ConfigError(f"{call.options.config} has no arms: use {commands}, or give it config.arms")
    return _opened(call, plan, call.options.workdir.absolute(), Needs(run=False, training=True, space=True))


def open_run(call: Call, needs: Needs, run: Path | None = None) -> Opened:
    """Opens the one experiment of a config, or of the config of a `run`. Raises ConfigError with every problem of it."""
    file, workdir = _place(call) if run is None else (str(config_of(run)), run)
    workdir = workdir.absolute()
    tree = read_config(file, call.overrides, {"tiny": tiny})
    facts = None if needs.data else data_facts(workdir)
    plan = make_plan(tree, opening=facts is None)
    if plan.changes:
        raise ConfigError(f"{file} compares {', '.join(plan.changes)}: use compare, or a config without arms")
    if seeds := plan.base.train.seeds:
        one = f"take --config.train.seeds=() --config.seed={seeds[0]}"
        several = "or compare, which trains each arm from every seed (an only arm: --config.arms={'a': {}})"
        raise ConfigError(f"train.seeds = {seeds}: {call.options.command} works on one run: {one}, {several}")
    return _opened(call, plan, workdir, needs, facts)


def _place(call: Call) -> tuple[str, Path]:
    """The config file of a call and the folder of its run. If it names no config, it is the run's own."""
    options, run = call.options, getattr(call.options, "run", None)
    if run and options.workdir:
        raise ConfigError(f"RUN is {run} and --workdir is {options.workdir}: name one of them")
    workdir = run or options.workdir
    if workdir is None:
        raise ConfigError(f"{options.command} needs the folder of a run: {PROGRAM} {options.command} RUN")
    return options.config or str(config_of(workdir)), workdir


def config_of(run: Path) -> Path:
    """Returns the config of a run. Raises StorageError if the folder holds none, with the runs below it."""
    if (runs := runs_in(run)) != [run]:
        raise StorageError(f"{run} holds no run; below it is {', '.join(map(str, runs))}")
    return Folder(run).config


def runs_in(folder: Path) -> list[Path]:
    """Returns the folder, if it holds a run, or else those below it, such as the arms of a comparison.

    Raises StorageError if there are none.
    """
    below = sorted(file.parent for file in folder.glob("*/config.json"))
    runs = [folder] if Folder(folder).config.is_file() else below
    if not runs:
        raise StorageError(f"{folder} holds no run")
    return runs


def make_plan(tree: dict[str, Any], opening: bool = True) -> Plan:
    """Returns the plan of a config's tree, with the sources of its data if they are for `opening`.

    Raises ConfigError with every problem of the config and of its arms at once; DataError if only the data are wrong.
    """
    base, problems = parse(tree)
    problems += arm_problems(tree)
    trees = resolve_arms(tree)
    parsed = {name: parse(arm) for name, arm in trees.items()}
    problems += _by_arm({name: lines for name, (_, lines) in parsed.items()}, shared=problems)
    sources = None
    try:
        sources = open_sources(base.data if base else Data.model_validate(tree.get("data"))) if opening else None
        if sources and base and base.data.validation:
            open_validation(base.data)
    except ValidationError:
        pass  # among the schema's problems
    except DataError as error:
        lines = [line if line.startswith("data.") else f"data: {line}" for line in str(error).splitlines()]
        if not problems:
            raise DataError(lines) from error
        problems += lines
    except ConfigError as error:  # of a source of the user's
        problems += str(error).splitlines()
    if problems or base is None:
        raise ConfigError(problems)
    arms = {name: config for name, (config, _) in parsed.items() if config} or {"": base}
    return Plan(base, arms, tree["arms"] if trees else {}, sources)


def build_arms(
    arms: dict[str, Config],
    shape: tuple[int, ...],
    training: bool,
    names: tuple[str, ...] = (),
    moments: Moments | None = None,
    workdir: Path = Path(),
) -> dict[str, Experiment]:
    """Returns the experiment of each arm on events of `shape` and labels of these `names`, if they have names.

    `moments`: those of the events' channels, if data.standardise asks for them. `workdir`: the folder above those of the arms.

    Raises ConfigError with every problem of every arm.
    """
    experiments: dict[str, Experiment] = {}
    problems: dict[str, list[str]] = {}
    for name, config in arms.items():
        with warned():
            lines = device_problems(config) + (training_problems(config) if training else [])
            try:
                experiments[name] = build_run(config, shape, names, moments, workdir / name)
            except ConfigError as error:
                lines += str(error).splitlines()
            if lines:
                problems[name] = lines
    if problems:
        shared = [line for line in next(iter(problems.values())) if all(line in lines for lines in problems.values())]
        raise ConfigError(shared + _by_arm(problems, shared) if len(problems) > 1 else _by_arm(problems, shared=[]))
    return experiments


def _by_arm(problems: dict[str, list[str]], shared: list[str]) -> list[str]:
    """The problems that are not shared, each with its arm."""
    return [
        f"arms.{name}: {line}" if name else line for name, lines in problems.items() for line in lines if line not in shared
    ]


def _refuse_other_report(plan: Plan, workdir: Path) -> None:
    """Raises ConfigError if the report of a run would replace that of a comparison, or the other way round."""
    is_run = Folder(workdir).record.exists() or Folder(workdir).config.exists()
    if plan.changes and is_run:
        raise ConfigError(f"{workdir} is a run, and a comparison has a folder of its own: take another --workdir")
    of_arms = (workdir / "report.json").exists() and any(workdir.glob("*/run.json"))
    if not plan.changes and not is_run and of_arms:
        raise ConfigError(f"{workdir} is a comparison, and a run has a folder of its own: take another --workdir")


def _opened(call: Call, plan: Plan, workdir: Path, needs: Needs, facts: DataFacts | None = None) -> Opened:
    """The experiments of a plan, with their guides and bases, on its data, or on the `facts` of data that are not loaded."""
    if needs.run and not Folder(workdir).config.exists():
        words = [f"--config={call.options.config}", f"--workdir={workdir}", *call.overrides]
        raise StorageError(f"{workdir} holds no run: train it first, {PROGRAM} train {shlex.join(words)}")
    _refuse_other_report(plan, workdir)
    data = plan.load(_moments(plan, workdir))
    keep_compiled(not call.options.no_compile_cache)  # the checks of a config compile too, a hundred small programs
    facts = data.facts if data else facts or DataFacts(())
    experiments = build_arms(plan.arms, facts.shape, needs.training, facts.classes, facts.moments, workdir)
    classifiers = any(classifies(experiment.config) for experiment in experiments.values())
    if classifiers and needs.score:
        what = "the objective trains a classifier, which has no score to draw from; evaluate measures it, and it guides a run:"
        guidance = "--config.samplers.NAME.guidance"
        raise ConfigError([f"{call.options.command}: {what}", f"{guidance}.name=classifier {guidance}.run=FOLDER"])
    if data and needs.data:
        for experiment in experiments.values():
            data.check_labels(experiment.classes)
    experiments = {name: with_code_moments(experiment, data, workdir / name) for name, experiment in experiments.items()}
    if data and needs.data:
        experiments = {name: with_held_out(experiment, data) for name, experiment in experiments.items()}
    if needs.guides:
        experiments = {name: with_guides(experiment, workdir / name) for name, experiment in experiments.items()}
    space = feature_space(plan.base, data) if needs.space and data and not classifiers else None
    processes.stop_if_asked()
    if needs.training:
        experiments = {name: with_features(experiment, workdir / name) for name, experiment in experiments.items()}
    experiments = {name: with_base(experiment, workdir / name) for name, experiment in experiments.items()}
    experiments = {name: with_teacher(each, workdir / name, needs.training) for name, each in experiments.items()}
    return Opened(call, plan, data, facts, experiments, workdir, space)


def _moments(plan: Plan, workdir: Path) -> Moments | None:
    """The moments that a trained run in the folder, or one below it, standardises by: computed once, and never again."""
    if plan.base.data.standardise == "none" or plan.sources is None:
        return None
    runs = (run for name, config in plan.arms.items() for run in runs_of_arm(name, config))
    return next(filter(None, (trained_moments(workdir / run) for run in runs)), None)
