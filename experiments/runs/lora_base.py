"""The base of a run with `lora`: the averaged parameters of another run, checked to be those that the adapters belong to."""

from __future__ import annotations

import shlex
from pathlib import Path

from experiments.build.experiment import Experiment
from experiments.build.state import params_digest
from experiments.config.messages import in_words
from experiments.config.parts import TIMES, learns_sde, learns_variance
from experiments.config.problems import attempt, parse
from experiments.config.schema import Config
from experiments.config.tree import flatten, read_json_tree
from experiments.config.trust import require_trusted_by
from experiments.runs.folder import Folder
from experiments.runs.other_run import recorded_config
from experiments.runs.resume import trained_state
from experiments.runtime.errors import ConfigError, StorageError
from experiments.runtime.paths import home, is_file
from experiments.runtime.startup import PROGRAM

SAME = ("sde", "net", "parameterization", "sigma_data", "conditioning", "scale_input", "data.range", "data.standardise")
SAME += ("mixed", "in_space", "codec.by", "codec.standardise", "codec.mean", "codec.std", "codec.digest")
"""Sections and keys on which the function of the network depends: a base and its adapters must agree on them."""


def with_base(experiment: Experiment, workdir: Path) -> Experiment:
    """Returns the experiment with its base's parameters and their digest; unchanged if its config has no `lora`.

    Raises ConfigError if the base is another network, or is itself a run of adapters. Raises StorageError if it has no
    parameters, or if the config or the adapters in `workdir` belong to other ones.
    """
    lora = experiment.config.lora
    if lora is None:
        return experiment
    run = home(lora.run)
    base = _of_base(experiment, run)
    params = trained_state(base, run).ema
    digest, expected = params_digest(params), lora.digest or _recorded_digest(workdir)
    if expected not in ("", digest):
        raise StorageError(
            [
                f"lora.run = {run} has parameters with the digest {digest}, and these adapters were trained on {expected}",
                f"if it trained further, go back: {PROGRAM} ckpt rollback {shlex.quote(str(run))} --step=N; or name an export",
                "if it is another run, name theirs: --config.lora.run=RUN; to adapt this one, take another folder",
            ]
        )
    settled = experiment.config.model_copy(update={"lora": lora.model_copy(update={"digest": digest})})
    of_net = base.part(params, "net")
    # What the base learned of its SDE stays as it is.
    experiment = experiment.on(base.at(params).sde) if learns_sde(base.config) else experiment
    return experiment._replace(config=settled, frozen=experiment.frozen._replace(base=of_net))


def _of_base(experiment: Experiment, run: Path) -> Experiment:
    """Returns the experiment with the base's config and times, which is enough to restore the base's checkpoints.

    Raises StorageError if `run` is no run, and ConfigError if it is not a base for the experiment.
    """
    path, own = Folder(run).config, experiment.config
    if not is_file(path):
        raise StorageError(f"lora.run = {in_words(str(run))} holds no run to adapt (there is no config.json): train one")
    config, problems = parse(require_trusted_by(own, read_json_tree(path), str(path)))
    if config is None or problems:
        raise ConfigError([f"{path} is not the config of a run:", *problems[:4]])
    if config.lora is not None:
        merge = f"{PROGRAM} export {shlex.quote(str(run))} FOLDER"
        raise ConfigError(f"lora.run = {run} is a run of adapters itself: merge them with their base, {merge}, and name that")
    if lines := _differences(config, own):
        raise ConfigError([f"lora.run = {run} is another network, or sees data in another range; its config says", *lines[:4]])
    train = config.train.model_copy(update={"shard": own.train.shard})
    times = attempt(problems, str(path), lambda: TIMES.find(config.times.name)(experiment.sde, **config.times.options))
    if problems:
        raise ConfigError(problems)
    return experiment._replace(config=config.model_copy(update={"train": train}), times=times)


def _differences(base: Config, own: Config) -> list[str]:
    """Returns a line for each key under `SAME` that differs."""
    there, here = (flatten(config.model_dump()) for config in (base, own))
    under = lambda key: any(f"{key}.".startswith(f"{same}.") for same in SAME)
    lines = [
        f"{key}: {there.get(key)!r}, and not {here.get(key)!r}"
        for key in sorted(filter(under, there.keys() | here.keys()))
        if there.get(key) != here.get(key)
    ]
    if learns_variance(base) != learns_variance(own):
        lines.append(f"objective: {base.objective.name}, and not {own.objective.name}: one of them learns a variance")
    return lines


def _recorded_digest(workdir: Path) -> str:
    """Returns the digest of the base that the run in `workdir` recorded when it began; "" if there is none."""
    before = recorded_config(workdir)
    return before.lora.digest if before and before.lora else ""
