"""import: a file or folder from elsewhere as a run of ours. export: a run of ours as a folder for elsewhere."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from configs import base
from experiments.build.build import build, structure
from experiments.build.experiment import Experiment
from experiments.config.changes import override_free_keys
from experiments.config.messages import nearest, schema_problems
from experiments.config.problems import part_problems
from experiments.config.reading import overridden, read_config
from experiments.config.schema import Config, Data
from experiments.config.tiny import tiny
from experiments.config.tree import stored
from experiments.data.dataset import load
from experiments.data.decoded import Decoded
from experiments.data.sources import open_sources
from experiments.runs.lora_base import with_base
from experiments.runs.record import imported
from experiments.runs.resume import trained
from experiments.runtime.errors import ConfigError, DataError, StorageError, UserError
from experiments.runtime.progress import say, warned
from experiments.weights import layout as layouts
from experiments.weights import native
from experiments.weights.layout import Layout
from experiments.weights.published import diffusers
from experiments.weights.published.checkpoint import select_params
from experiments.weights.published.layouts import EXPORTS, KINDS, LAYOUTS, OURS
from experiments.weights.tensors import read_safetensors, read_tensors


def import_run(
    source: Path, out: Path, layout: str | None, weights: str | None, file: str | None, overrides: list[str]
) -> None:
    """Makes `out` a run of the network in `source`, a file or a folder.

    `layout`: whose names its tensors have; folders of diffusers and of ours say so themselves. `weights`: "ema", the average,
    or "raw"; None: the average, where there is a choice. `file`: the config file that says what `source` does not. Raises
    ConfigError, DataError, or StorageError with each tensor that has no place, or another shape.
    """
    empty(out)
    if not source.is_dir() and not source.is_file():  # nor a pipe or a device, whose end may never come
        raise StorageError(f"no file or folder {source}")
    own = told(source)
    _agree(source, own, layout, weights, file)
    layout = layout or own
    if layout == "native":
        ours = native.read_weights(source)
        experiment = with_base(experiment_of(override_free_keys(ours.config, overrides, str(source)), ours.shape), out)
        params = native.fit(_like(experiment), ours.tensors, str(source))
        _finish(out, experiment, params, source, ours.step, ours.data)
    elif layout == "diffusers":
        theirs = diffusers.read_folder(source, KINDS)
        experiment = experiment_of(_tree(file, overrides, theirs.sections, source), theirs.shape)
        places = _places((theirs.net,), theirs.layout, layout, experiment)
        _finish(out, experiment, layouts.from_published(_like(experiment), places, theirs.tensors, str(source)), source)
    elif layout is None or file is None:
        options = {"--layout=" + "|".join(LAYOUTS): layout, "--config=FILE": file}
        missing = " and ".join(option for option, value in options.items() if value is None)
        raise ConfigError(f"{source} does not say what network it is of: add {missing}")
    elif layout not in LAYOUTS:
        raise ConfigError(f"--layout={layout} is unknown{nearest(layout, ['native', 'diffusers', *LAYOUTS])}")
    else:
        experiment = experiment_of(read_config(file, overrides, {"tiny": tiny}), None)
        published = LAYOUTS[layout]
        places = _places(published.nets, published.layout, layout, experiment)
        tensors = published.prepare(select_params(read_tensors(source), places, weights or "ema", source))
        _finish(out, experiment, layouts.from_published(_like(experiment), places, tensors, str(source)), source)


def _agree(source: Path, own: str | None, layout: str | None, weights: str | None, file: str | None) -> None:
    """ConfigError where the command line says what a source `own`s to be says itself."""
    said = {"--layout": own and layout != own and layout, "--weights": own and weights, "--config": own == "native" and file}
    if wrong := [f"{option}={value}" for option, value in said.items() if value]:
        raise ConfigError(f"{source} is {own}, which says that itself: leave out {' and '.join(wrong)}")


def _places(nets: tuple[type[Any], ...], layout: Callable[[Any], Layout], name: str, experiment: Experiment) -> Layout:
    """The layout of the experiment's network. ConfigError where it is not of `nets`."""
    if experiment.config.lora is not None:
        raise ConfigError("published weights are a base, and no adapters: import them without lora, then name that as lora.run")
    net = network(experiment)
    if not isinstance(net, nets):
        known = " or ".join(each.__name__ for each in nets)
        raise ConfigError(f"--layout={name} is of the network {known}, and net.name = {experiment.config.net.name}")
    return layout(net)


def _finish(out: Path, experiment: Experiment, params: Any, source: Path, step: int = 0, data: str | None = None) -> None:
    params = native.require_finite(_like(experiment), params, str(source))
    native.write_weights(out, experiment.config, params, experiment.shape, step, data)
    size = sum(a.size for a in jax.tree.leaves(params))
    say(f"{out}: {size} parameters; go on with sample, evaluate or train --config={out}/config.json --workdir={out}")


def export_run(run: Path, out: Path, layout: str, overrides: list[str]) -> None:
    """Writes the averaged parameters of a run as a folder in `layout`'s form: of adapters, merged with their base.

    "lora" is the adapters alone, with the digest of the base that `import` asks for.
    """
    empty(out)
    if layout not in (*OURS, *EXPORTS):
        raise ConfigError(f"--layout={layout} is unknown{nearest(layout, [*OURS, *EXPORTS])}")
    if not (run / "config.json").is_file():
        raise StorageError(f"{run} holds no run, which has a config.json")
    tree = override_free_keys(stored(run / "config.json"), overrides, str(run))
    if wrong := schema_problems(tree):
        raise ConfigError([f"{run / 'config.json'} is no config of a run:", *wrong])
    kept = native.read_weights(run) if (run / native.FILE).is_file() else None
    if kept is not None and imported(run):
        shape, digest = kept.shape, kept.data
    else:
        settings = Config.model_validate(tree)
        data = load(open_sources(settings.data), settings.data, settings.seed)
        shape, digest = data.shape, data.digest
    experiment = with_base(experiment_of(tree, shape), run)
    if layout == "lora" and not experiment.config.lora:
        raise ConfigError(f"--layout=lora: {run} has no adapters, which a run with config.lora trains; take native")
    state = trained(experiment, run)
    step = int(state.step) + (kept.step if kept else 0)
    params = state.ema
    if layout != "lora":
        params = experiment.network(params)
        experiment = experiment._replace(config=experiment.config.model_copy(update={"lora": None}))
    params = jax.tree.map(np.asarray, params)
    if layout in OURS:
        native.write_weights(out, experiment.config, params, shape, step, digest)
    else:
        EXPORTS[layout](out, experiment.config, network(experiment), params, shape)
    say(f"{out}: the averaged parameters of {run} at step {step}, as {layout}")


def told(source: Path) -> str | None:
    """Whose the source is, where that can be told from what it is."""
    if source.is_dir():
        return "native" if (source / native.FILE).is_file() else "diffusers" if diffusers.holds_model(source) else None
    with source.open("rb") as file:
        is_safetensors = file.read(9)[8:] == b"{"
    return "native" if is_safetensors and read_safetensors(source)[1].get("format") == native.FORMAT else None


def empty(out: Path) -> None:
    """StorageError where something would be overwritten."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise StorageError(f"{out} is there already: take another folder")


def experiment_of(tree: dict[str, Any], shape: tuple[int, ...] | None) -> Experiment:
    """What the tree names, on events of `shape`, or of its data's. ConfigError with every problem."""
    if found := schema_problems(tree) + part_problems(tree):
        raise ConfigError(found)
    config = Config.model_validate(tree)
    if config.arms:
        raise ConfigError(f"a config without arms is needed, and this has {', '.join(config.arms)}")
    with warned():
        return build(config, _shape(config.data) if shape is None else shape)


def network(experiment: Experiment) -> nnx.Module:
    """The config's network, by its shapes alone. ConfigError where it is no NNX module, whose names the layouts know."""
    net = structure(experiment.config, experiment.shape)
    if net is None:
        raise ConfigError(f"net {experiment.config.net.name} is a linen module, and no layout but native knows its parameters")
    return net


def _like(experiment: Experiment) -> Any:
    return jax.eval_shape(experiment.initial, jax.random.key(0))


def _tree(file: str | None, overrides: list[str], sections: dict[str, Any], source: Path) -> dict[str, Any]:
    """The file's config, or what every experiment shares, with what the source decides, by dotted keys.

    How it is trained further and sampled is the file's to say.
    """
    if file is not None:
        tree, chosen_here = read_config(file, overrides, {"tiny": tiny}), ("times", "sample.sampler")
        sections = {key: value for key, value in sections.items() if key not in chosen_here}
    elif any(override.startswith("--config.data.name=") for override in overrides):
        tree = base.get_config().to_dict() | {"title": source.name}
    else:
        raise ConfigError("say which images it is compared with: --config.data.name=cifar10, or --config=FILE")
    theirs = [f"--config.{key}={value!r}" for key, value in sections.items()]
    return overridden(tree, theirs + overrides)


def _shape(config: Data) -> tuple[int, ...]:
    """The shape of an example."""
    try:
        source = open_sources(config).train
        return Decoded(source, config.levels, config.origin(config.train)).read([0])[0].shape[1:]
    except DataError as error:
        raise DataError(["the shape of the images is not known without them:", *str(error).splitlines()]) from error


@contextmanager
def briefly(out: Path) -> Iterator[None]:
    """Says the first of many problems, and writes all of them beside `out`. StorageError for what the system refuses."""
    try:
        try:
            yield
        except UserError as error:
            lines = str(error).splitlines()
            if len(lines) <= 5:
                raise
            whole = out.absolute()  # "." has no name
            path = whole.with_name(f"{whole.name}.problems.txt")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(lines) + "\n")
            raise type(error)([*lines[:4], f"and {len(lines) - 4} more: all are in {path}"]) from error
    except OSError as error:
        raise StorageError(f"{error.filename or out} cannot be used: {error.strerror or error}") from error


def bridge(arguments: argparse.Namespace, overrides: list[str]) -> None:
    """import or export."""
    out = arguments.out
    with briefly(out):
        if arguments.command == "export":
            export_run(arguments.run, out, arguments.layout, overrides)
        else:
            import_run(arguments.source, out, arguments.layout, arguments.weights, arguments.config, overrides)
