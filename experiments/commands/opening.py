"""The first half of every command that works by a config: read, validate, load and build, so that all refusals come first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from experiments.build.build import build
from experiments.build.checks import training_problems
from experiments.build.experiment import Experiment
from experiments.commands.arguments import Call
from experiments.config.arms import arm_problems, resolve_arms
from experiments.config.parts import classifies
from experiments.config.problems import parse
from experiments.config.reading import read_config
from experiments.config.schema import Config, Data
from experiments.config.tiny import tiny
from experiments.data.dataset import Dataset, load
from experiments.data.sources import Sources, open_sources
from experiments.runs.folder import Folder
from experiments.runs.guides import with_guides
from experiments.runs.lora_base import with_base
from experiments.runs.record import RunRecord, refuse_changes, session
from experiments.runtime import processes
from experiments.runtime.compile_cache import keep_compiled
from experiments.runtime.errors import ConfigError, DataError, StorageError
from experiments.runtime.lock import sole
from experiments.runtime.progress import warned
from experiments.weights import native


class Plan(NamedTuple):
    """A valid config.

    `arms`: the config of each arm, or the base itself as "" if it compares nothing; `changes`: each arm's own keys; `sources`:
    those of its data, None unless they were opened.
    """

    base: Config
    arms: dict[str, Config]
    changes: dict[str, dict[str, Any]]
    sources: Sources | None

    def load(self) -> Dataset | None:
        """Returns the data, if their sources were opened."""
        return load(self.sources, self.base.data, self.base.seed) if self.sources else None


class Opened(NamedTuple):
    """The objects that a command works on: the plan, the data, the experiment of each arm, and the folder."""

    call: Call
    plan: Plan
    data: Dataset | None
    experiments: dict[str, Experiment]
    workdir: Path

    @property
    def experiment(self) -> Experiment:
        """The experiment of a config without arms."""
        return self.experiments[""]

    @property
    def dataset(self) -> Dataset:
        """The data of a command that opens them always."""
        assert self.data is not None
        return self.data

    @contextmanager
    def held(self, folders: dict[str, Path], training: bool = True) -> Iterator[dict[str, RunRecord]]:
        """Holds the folder of each arm alone, and records a session there. Raises ConfigError if a run would become another."""
        digest = self.data.digest if self.data else ""
        own = [self.workdir] if self.plan.changes else []
        with ExitStack() as stack:
            stack.enter_context(sole(*own, *(folder for folder in folders.values() if folder not in own)))
            for name, experiment in self.experiments.items():
                self.refuse_changes(folders[name], experiment, digest)
            yield {
                name: stack.enter_context(session(folders[name], experiment.config, digest, self.call.line, training))
                for name, experiment in self.experiments.items()
            }

    def refuse_changes(self, folder: Path, experiment: Experiment, digest: str = "") -> None:
        """Raises ConfigError if the folder holds another experiment, but for the keys that --allow-change names."""
        refuse_changes(folder, experiment.config, digest, getattr(self.call.options, "allow_change", []))


def open_arms(call: Call) -> Opened:
    """Opens every arm of a config that compares, to be trained. Raises ConfigError with every problem of every arm."""
    plan = make_plan(read_config(call.options.config, call.overrides, {"tiny": tiny}))
    if not plan.changes:
        commands = "train, sample, interpolate, edit and evaluate"
        raise ConfigError(f"{call.options.config} has no arms: use {commands}, or give it config.arms")
    return _opened(call, plan, call.options.workdir.absolute(), plan.load(), training=True)


def open_run(
    call: Call,
    run: Path | None = None,
    training: bool = False,
    scoreless: bool = False,
    guided: bool = True,
    needs_data: bool = True,
) -> Opened:
    """Opens the one experiment of a config, or of the config of a `run`.

    `training`: refuses what cannot be trained, and needs no run in the folder. `scoreless`: takes a classifier too. `guided`:
    reads the runs that guide its samplers. `needs_data`: loads the data and checks their labels; else
    loads them only if no weights say their shape.
    """
    file, workdir = (call.options.config, call.options.workdir) if run is None else (str(config_of(run)), run)
    workdir = workdir.absolute()
    tree = read_config(file, call.overrides, {"tiny": tiny})
    weights = Folder(workdir).weights
    shape = native.read(weights).shape if not needs_data and weights.is_file() else None
    plan = make_plan(tree, opening=shape is None)
    if plan.changes:
        raise ConfigError(f"{file} compares {', '.join(plan.changes)}: use compare, or a config without arms")
    return _opened(call, plan, workdir, plan.load(), shape, training, scoreless, guided, needs_data, needs_run=not training)


def config_of(run: Path) -> Path:
    """Returns the config of a run. Raises StorageError if the folder holds none, with the runs below it."""
    if not Folder(run).config.is_file():
        arms = ", ".join(sorted(str(file.parent) for file in run.glob("*/config.json")))
        raise StorageError(f"{run} holds no run" + (f"; below it is {arms}" if arms else ""))
    return Folder(run).config


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
    except ValidationError:
        pass  # among the schema's problems
    except DataError as error:
        lines = [f"data: {line}" for line in str(error).splitlines()]
        if not problems:
            raise DataError(lines) from error
        problems += lines
    if problems or base is None:
        raise ConfigError(problems)
    arms = {name: config for name, (config, _) in parsed.items() if config} or {"": base}
    return Plan(base, arms, tree["arms"] if trees else {}, sources)


def build_arms(arms: dict[str, Config], shape: tuple[int, ...], training: bool) -> dict[str, Experiment]:
    """Returns the experiment of each arm on events of `shape`. Raises ConfigError with every problem of every arm."""
    experiments: dict[str, Experiment] = {}
    problems: dict[str, list[str]] = {}
    for name, config in arms.items():
        with warned():
            lines = training_problems(config) if training else []
            try:
                experiments[name] = build(config, shape)
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


def _opened(
    call: Call,
    plan: Plan,
    workdir: Path,
    data: Dataset | None,
    shape: tuple[int, ...] | None = None,
    training: bool = False,
    scoreless: bool = False,
    guided: bool = True,
    needs_data: bool = True,
    needs_run: bool = False,
) -> Opened:
    """The experiments of a plan, with their guides and bases."""
    keep_compiled(not call.options.no_compile_cache)  # the checks of a config compile too, a hundred small programs
    experiments = build_arms(plan.arms, data.shape if data else shape or (), training)
    if not scoreless and any(classifies(experiment.config) for experiment in experiments.values()):
        raise ConfigError(
            [
                f"{call.options.command}: the objective trains a classifier, which has no score to draw from; evaluate "
                "measures it,",
                "and it guides another run: --config.samplers.NAME.guidance={'name': 'classifier', 'run': 'FOLDER'}",
            ]
        )
    if data and needs_data:
        for experiment in experiments.values():
            data.check_labels(experiment.classes)
    if guided:
        experiments = {name: with_guides(experiment) for name, experiment in experiments.items()}
    processes.stop_if_asked()
    if needs_run and not Folder(workdir).config.exists():
        raise StorageError(f"{workdir} holds no run: train it first, by the same command with `train`")
    experiments = {name: with_base(experiment, workdir / name) for name, experiment in experiments.items()}
    return Opened(call, plan, data, experiments, workdir)
