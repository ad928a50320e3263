"""A config by which the run in a folder was not trained: refused, with the ways on that the command has and that work."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from experiments.build.experiment import Experiment
from experiments.config.messages import suggestion
from experiments.config.tree import flatten
from experiments.data.dataset import DataFacts
from experiments.runs.checkpoint import Checkpoints, saved_steps
from experiments.runs.folder import Folder
from experiments.runs.record import differences, imported, read_record, trained_tree
from experiments.runs.resume import state_shapes
from experiments.runtime.errors import ConfigError, StorageError
from experiments.weights import native


def refuse_changes(run: Path, experiment: Experiment, data: DataFacts | None, options: Mapping[str, Any]) -> None:
    """Raises ConfigError if the run in the folder was trained by another config or other `data`, or for an unknown key.

    `options`: those of the command, by name. What `allow_change` names may differ.
    """
    allowed = options.get("allow_change", [])
    keys = flatten(experiment.config.model_dump())
    if allowed:
        keys |= flatten(trained_tree(run) or {})  # an option of another part is no key of the new config
    for key in allowed:
        if key != "data" and not any(f"{one}.".startswith(f"{key}.") for one in keys):
            raise ConfigError(f"--allow-change={key}: no such key{suggestion(key, list(keys))}")
    if changed := differences(run, experiment.config, data, allowed):
        count = f"{len(changed)} key{'s' if len(changed) > 1 else ''}"
        first, *others = _ways_on(run, experiment, options, [line.partition(":")[0] for line in changed])
        raise ConfigError([f"{run} is another experiment ({count}): {first}", *others, *changed[:3]])


def _ways_on(run: Path, experiment: Experiment, options: Mapping[str, Any], keys: list[str]) -> list[str]:
    """A line or two of ways on, of what the command takes and of what works.

    A run goes on with a change, or is forked, only if every array keeps its shape.
    """
    ways = ["undo"]
    if "config" in options and options["command"] != "compare" and Folder(run).config.exists():
        ways.append(f"take its own --config={shlex.quote(str(Folder(run).config))}")
    if "allow_change" in options:
        ways.append("take another --workdir")
    lines = [", or ".join(ways)]
    if "allow_change" in options and _fits(run, experiment):
        some = keys if len(keys) <= 3 else dict.fromkeys(key.partition(".")[0] for key in keys)
        allow = " ".join(f"--allow-change={key}" for key in some)
        lines.append(f"or {allow} (this run goes on with the change)")
        if "fork" in options and saved_steps(Folder(run).checkpoints):
            lines[1] += " or --fork=DIR (a new run from its newest state)"
    return lines


def _fits(run: Path, experiment: Experiment) -> bool:
    """Returns whether the arrays that the run would go on from are those that the experiment builds."""
    state = state_shapes(experiment)
    if imported(run):
        with suppress(StorageError):
            native.fit(state.params, native.read_weights(run).tensors, str(run))
            return True
        return False
    record = read_record(run)
    if record is None or not Folder(run).checkpoints.is_dir():
        return False
    with Checkpoints(Folder(run).checkpoints, record.id, writing=False) as saved:
        return saved.hold(state)
