"""The base of a run with `lora`: another run's averaged parameters, held to be those that the adapters were trained on."""

from __future__ import annotations

import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from experiments.build.experiment import Experiment
from experiments.config.messages import schema_problems, shown
from experiments.config.parts import TIMES, learns_variance
from experiments.config.problems import attempt, part_problems
from experiments.config.schema import Config
from experiments.config.tree import flat, stored
from experiments.config.trust import trusted
from experiments.runs.checkpoint import saved_steps
from experiments.runs.folder import Folder
from experiments.runs.record import imported
from experiments.runs.resume import trained
from experiments.runtime import devices
from experiments.runtime.errors import ConfigError, StorageError

SAME = ("sde", "net", "parameterization", "sigma_data", "conditioning", "scale_input", "data.range")
"""Sections and keys that say what the network computes: of a base and of its adapters they are the same."""


def with_base(experiment: Experiment, workdir: Path) -> Experiment:
    """The experiment with its base's parameters, and their digest in its config; as it is where the config has no `lora`.

    ConfigError where the base is another network or adapters itself; StorageError where it holds no parameters, or others than
    the adapters in `workdir`, or of the config, are of.
    """
    lora = experiment.config.lora
    if lora is None:
        return experiment
    run = Path(lora.run)
    params = trained(_of_base(experiment, run), run).ema
    found, known = digest(params), lora.digest or _noted(workdir)
    if known not in ("", found):
        raise StorageError(
            [
                f"lora.run = {run} has parameters of the digest {found}, and these adapters were trained on {known}",
                "if it was trained on: python -m experiments ckpt rollback to the step that it was at, or an export of that",
                "if it is another run, name theirs: --config.lora.run=RUN; for adapters of this one take another --workdir",
            ]
        )
    settled = experiment.config.model_copy(update={"lora": lora.model_copy(update={"digest": found})})
    return experiment._replace(config=settled, frozen=(params,))


def digest(params: Any) -> str:
    """A hash of the parameters, by their names, wherever they lie."""
    content = sha256()
    for name, leaf in sorted(flat(params).items()):
        content.update(name.encode() + devices.gather(leaf).tobytes())
    return content.hexdigest()[:16]


def _of_base(experiment: Experiment, run: Path) -> Experiment:
    """The experiment by which the base was trained, as far as its checkpoints say; its code is that of the experiment alone."""
    path, own = Folder(run).config, experiment.config
    if not os.path.isfile(path):  # of a path too long for the system too
        raise StorageError(f"lora.run = {shown(str(run))} holds no run to adapt, which has a config.json: train one")
    named = [f"={value}" for value in flat(own.model_dump()).values()]  # trusted already
    tree = trusted(stored(path), named, str(path))
    if wrong := schema_problems(tree) + part_problems(tree):
        raise ConfigError([f"{path} is no config of a run:", *wrong[:4]])
    config = Config.model_validate(tree)
    if config.lora is not None:
        merge = f"python -m experiments export {run} FOLDER"
        raise ConfigError(f"lora.run = {run} is of adapters itself: merge them with their base, {merge}, and name that")
    if lines := _differences(config, own):
        raise ConfigError([f"lora.run = {run} is another network or sees other numbers; its config says", *lines[:4]])
    train = config.train.model_copy(update={"shard": own.train.shard})
    problems: list[str] = []
    times = attempt(problems, str(path), lambda: TIMES.find(config.times.name)(experiment.sde, **config.times.options))
    if problems:
        raise ConfigError(problems)
    return experiment._replace(config=config.model_copy(update={"train": train}), times=times)


def _differences(base: Config, own: Config) -> list[str]:
    """The keys among `SAME` that are not, a line each."""
    there, here = (flat(config.model_dump()) for config in (base, own))
    under = lambda key: any(f"{key}.".startswith(f"{same}.") for same in SAME)
    lines = [
        f"{key}: {there.get(key)!r}, and not {here.get(key)!r}"
        for key in sorted(filter(under, there.keys() | here.keys()))
        if there.get(key) != here.get(key)
    ]
    if learns_variance(base) != learns_variance(own):
        lines.append(f"objective: {base.objective.name}, and not {own.objective.name}: one of them learns a variance")
    return lines


def _noted(workdir: Path) -> str:
    """The digest of the base that a run noted as it began; nothing where none has."""
    if saved_steps(Folder(workdir).checkpoints) or imported(workdir):
        with suppress(ValidationError):
            noted = Config.model_validate(stored(Folder(workdir).config)).lora
            return noted.digest if noted else ""
    return ""
