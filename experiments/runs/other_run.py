"""Another run that a config names, on data of the same kind."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from experiments.config.messages import in_words
from experiments.config.problems import parse
from experiments.config.schema import Config
from experiments.config.tree import read_json_tree
from experiments.config.trust import require_trusted_by
from experiments.data.dataset import DataFacts
from experiments.runs.checkpoint import saved_steps
from experiments.runs.folder import Folder
from experiments.runs.record import data_facts, imported
from experiments.runtime.errors import ConfigError, StorageError
from experiments.runtime.paths import is_file


def config_of_other(key: str, run: Path, own: Config, workdir: Path, remedy: str) -> Config:
    """Returns the config of the run that the key of the config `own` names; its own run is in `workdir`.

    Raises ConfigError if it is that run itself, or if its config is wrong; StorageError with the remedy if there is no run.
    """
    path = Folder(run).config
    if os.path.realpath(run) == os.path.realpath(workdir):
        raise ConfigError(f"{key} = {run} is this run itself: {remedy}")
    if not is_file(path):
        raise StorageError(f"{key} = {in_words(str(run))} holds no run (there is no config.json): {remedy}")
    theirs, problems = parse(require_trusted_by(own, read_json_tree(path), str(path)))
    if theirs is None or problems:
        raise ConfigError([f"{path} is not the config of a run:", *problems[:4]])
    # It is not evaluated here: a codec without a density is a codec.
    return theirs.model_copy(update={"evaluate": theirs.evaluate.model_copy(update={"likelihood": 0})})


def facts_of_other(key: str, run: Path, theirs: Config, own: Config, shape: tuple[int, ...]) -> DataFacts:
    """Returns what that run knows of its data, which are to be of the kind of ours, of this shape. ConfigError if not."""
    for data in ("range", "levels", "standardise"):
        there, here = getattr(theirs.data, data), getattr(own.data, data)
        if there != here:
            raise ConfigError(f"{key} = {run} was trained with data.{data} = {there!r}, and this config has {here!r}")
    facts = data_facts(run) or DataFacts(shape)
    if facts.shape != shape:
        raise ConfigError(f"{key} = {run} was trained on examples of shape {facts.shape}, and these have {shape}")
    return facts


def recorded_config(run: Path) -> Config | None:
    """Returns the config that the run in the folder recorded when it began; None if it has not begun."""
    if not saved_steps(Folder(run).checkpoints) and not imported(run):
        return None
    with suppress(ValidationError):
        return Config.model_validate(read_json_tree(Folder(run).config))
    return None
