"""Shared by import and export: an experiment for weights, an empty folder for them, and long lists of problems."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flax import nnx

from experiments.build.build import structure
from experiments.build.experiment import Experiment
from experiments.config.problems import parse
from experiments.config.schema import Data
from experiments.data.dataset import DataFacts
from experiments.data.decoded import decode
from experiments.data.moments import Moments
from experiments.data.sources import open_sources
from experiments.runs.codecs import build_run
from experiments.runtime.errors import ConfigError, DataError, StorageError, UserError, printable
from experiments.runtime.files import write_text
from experiments.runtime.progress import warned


def refuse_existing(out: Path) -> None:
    """Raises StorageError if something would be overwritten."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise StorageError(f"{out} is there already: take another folder")


def experiment_of(
    tree: dict[str, Any],
    shape: tuple[int, ...] | None,
    classes: tuple[str, ...] = (),
    moments: Moments | None = None,
    run: Path = Path(),
) -> Experiment:
    """Returns the experiment of the tree of a `run`, on events of `shape` with labels of these names, or on its data if None.

    `moments`: those of the events' channels, if floats are standardised. Raises ConfigError with all problems.
    """
    config, problems = parse(tree)
    if problems or config is None:
        raise ConfigError(problems)
    if config.arms:
        raise ConfigError(f"a config without arms is needed, and this has {', '.join(config.arms)}")
    with warned():
        facts = _facts(config.data) if shape is None else DataFacts(shape, classes, moments=moments)
        return build_run(config, facts.shape, facts.classes, facts.moments, run)


def network(experiment: Experiment) -> nnx.Module:
    """Returns the network with shapes in place of arrays. Raises ConfigError for a linen module, which no layout knows."""
    net = structure(experiment)
    if net is None:
        raise ConfigError(f"net {experiment.config.net.name} is a linen module, and no layout but native knows its parameters")
    return net


def _facts(config: Data) -> DataFacts:
    """What the data are, by one example."""
    try:
        sources = open_sources(config)
        event = decode(sources.train, config, config.train).read([0])[0]
        return DataFacts(event.shape[1:], tuple(map(printable, sources.classes)))
    except DataError as error:
        raise DataError(["the shape of the images is not known without them:", *str(error).splitlines()]) from error


@contextmanager
def brief_errors(out: Path) -> Iterator[None]:
    """Shows the first of many problems, and writes all of them beside `out`. Turns an OSError into a StorageError."""
    try:
        try:
            yield
        except UserError as error:
            lines = str(error).splitlines()
            if len(lines) <= 5:
                raise
            whole = out.absolute()  # "." has no name
            path = whole.with_name(f"{whole.name}.problems.txt")
            write_text(path, "\n".join(lines) + "\n")
            raise type(error)([*lines[:4], f"and {len(lines) - 4} more: all are in {path}"]) from error
    except OSError as error:
        raise StorageError(f"{error.filename or out} cannot be used: {error.strerror or error}") from error
