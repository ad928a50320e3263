"""import: make a run of weights from elsewhere, or from export."""

from __future__ import annotations

import argparse
import shlex
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import jax

from experiments.build.experiment import Experiment
from experiments.commands.arguments import Call, folder
from experiments.commands.exchange import brief_errors, experiment_of, network, refuse_existing
from experiments.config.changes import override_free_keys
from experiments.config.messages import suggestion
from experiments.config.problems import parse
from experiments.config.reading import override, read_config
from experiments.config.tiny import tiny
from experiments.data.moments import Moments
from experiments.runs.checkpoint import saved_steps
from experiments.runs.folder import Folder
from experiments.runs.lora_base import with_base
from experiments.runs.record import data_facts
from experiments.runtime.errors import ConfigError, StorageError
from experiments.runtime.paths import home
from experiments.runtime.progress import say
from experiments.runtime.startup import PROGRAM
from experiments.weights import layout as layouts
from experiments.weights import native
from experiments.weights.layout import Layout
from experiments.weights.published import diffusers, diffusers_pipeline
from experiments.weights.published.checkpoint import select_params
from experiments.weights.published.layouts import KINDS, LAYOUTS
from experiments.weights.tensors import read_safetensors, read_tensors


def add_weights(parser: argparse.ArgumentParser) -> None:
    """Adds SOURCE, OUT, --layout, --weights and --config."""
    parser.add_argument("source", type=folder, metavar="SOURCE", help="a folder of diffusers or of ours, or a file of tensors")
    parser.add_argument("out", type=folder, metavar="OUT", help="the run's folder, which is made")
    parser.add_argument("--layout", metavar="NAME", help="whose names a file's tensors have: " + ", ".join(LAYOUTS))
    parser.add_argument("--weights", choices=("ema", "raw"), help="the average of a file's parameters (the default), or not")
    parser.add_argument("--config", metavar="FILE", help="the config of a file that says nothing of its network")


HELP = "make a run of weights from elsewhere, or from export"
ARGUMENTS = (add_weights,)


def run(call: Call) -> None:
    """Writes the weights and the config of a run to OUT."""
    options = call.options
    with brief_errors(options.out):
        import_run(options.source, options.out, options.layout, options.weights, options.config, call.overrides)


def import_run(
    source: Path, out: Path, layout: str | None, weights: str | None, file: str | None, overrides: list[str]
) -> None:
    """Makes `out` a run of the network in `source`, a file or a folder.

    `layout`: whose names its tensors have; folders of diffusers and of ours say so themselves. `weights`: "ema", the average,
    or "raw"; None: the average, where there is a choice. `file`: the config file that says what `source` does not. Raises
    ConfigError, DataError, or StorageError with each tensor that has no place, or another shape.
    """
    refuse_existing(out)
    if not source.is_dir() and not source.is_file():  # nor a pipe or a device, whose end may never come
        raise StorageError(f"no file or folder {source}")
    if saved_steps(Folder(source).checkpoints):
        run, weights = shlex.quote(str(source)), shlex.quote(f"{source}_weights")
        raise StorageError(f"{source} is a run: {PROGRAM} export {run} {weights}, and import that")
    own = form_of(source)
    _agree(source, own, layout, weights, file)
    layout = layout or own
    if layout == "native":
        ours = native.read_weights(source)
        tree = override_free_keys(ours.config, overrides, str(source))
        by = Moments(*ours.moments) if ours.moments else None
        experiment = with_base(experiment_of(tree, ours.shape, ours.classes, by, out), out)
        params = native.fit(_like(experiment), ours.tensors, str(source))
        _finish(out, experiment, params, source, ours)
    elif layout == "diffusers" and diffusers_pipeline.holds_pipeline(source):
        _import_pipeline(source, out, file, overrides)
    elif layout == "diffusers":
        theirs = diffusers.read_folder(source, KINDS)
        _import_model(source, theirs, out, _tree(file, overrides, theirs.sections, source))
    elif source.is_dir():
        raise StorageError(f"{source} holds neither {native.FILE} nor a model of diffusers: name a file of tensors in it")
    elif layout is None or file is None:
        options = {"--layout=" + "|".join(LAYOUTS): layout, "--config=FILE": file}
        missing = " and ".join(option for option, value in options.items() if value is None)
        raise ConfigError(f"{source} does not say what network it is of: add {missing}")
    elif layout not in LAYOUTS:
        raise ConfigError(f"--layout={layout} is unknown{suggestion(layout, ['native', 'diffusers', *LAYOUTS])}")
    else:
        experiment = experiment_of(read_config(file, overrides, {"tiny": tiny}), None)
        published = LAYOUTS[layout]
        places = _places(published.nets, published.layout, layout, experiment)
        tensors = published.prepare(select_params(read_tensors(source), places, weights or "ema", source))
        _finish(out, experiment, layouts.from_published(_like(experiment), places, tensors, str(source)), source)


def _import_pipeline(source: Path, out: Path, file: str | None, overrides: list[str]) -> None:
    """Makes two runs below `out`: `vae`, a codec, and `unet`, a score of its codes. They are both there, or neither is."""
    theirs = diffusers_pipeline.read(source)
    try:
        _import_model(source, theirs.vae, out / "vae", _tree(file, overrides, theirs.vae.sections, source))
        sections = theirs.unet.sections | {"codec.run": str(out / "vae")}
        _import_model(source, theirs.unet, out / "unet", _tree(file, overrides, sections, source))
    except BaseException:
        for part in theirs._fields:
            shutil.rmtree(out / part, ignore_errors=True)
        with suppress(OSError):
            out.rmdir()
        raise
    if "vocabulary" in theirs.unet.sections["net"]:
        say(f"{out / 'unet'} hears a text by the ids of its tokens, from Python: see docs/weights.md")


def _import_model(source: Path, theirs: diffusers.Source, out: Path, tree: dict[str, Any]) -> None:
    """Makes `out` a run of a model of diffusers, by the tree of its config."""
    shape = _shape_of_examples(tree, source) if theirs.of_codes else theirs.shape
    experiment = experiment_of(tree, shape, run=out)
    _refuse_adapters(experiment)
    _finish(out, experiment, layouts.from_published(_like(experiment), theirs.layout, theirs.tensors, str(source)), source)


def _shape_of_examples(tree: dict[str, Any], source: Path) -> tuple[int, ...]:
    """The shape of the examples of the run that the config names as codec.run. Raises ConfigError if there is none."""
    config, problems = parse(tree)
    run = config.codec.run if config and config.codec else ""
    if not run:
        remedy = "import its codec too, and name that run: --config.codec.run=RUN"
        raise ConfigError(problems or f"{source} scores codes, and does not say whose: {remedy}")
    if (facts := data_facts(home(run))) is None:
        raise StorageError(f"codec.run = {run} holds no run that knows the shape of its examples: import a codec, or train one")
    return facts.shape


def _refuse_adapters(experiment: Experiment) -> None:
    if experiment.config.lora is not None:
        raise ConfigError("published weights are a base, and no adapters: import them without lora, then name that as lora.run")


def _agree(source: Path, own: str | None, layout: str | None, weights: str | None, file: str | None) -> None:
    """Raises ConfigError if the command line repeats what the source says itself."""
    repeated = {
        "--layout": own and layout != own and layout,
        "--weights": own and weights,
        "--config": own == "native" and file,
    }
    if wrong := [f"{option}={value}" for option, value in repeated.items() if value]:
        raise ConfigError(f"{source} is {own}, which says that itself: leave out {' and '.join(wrong)}")


def _places(nets: tuple[type[Any], ...], layout: Callable[[Any], Layout], name: str, experiment: Experiment) -> Layout:
    """The layout of the experiment's network. Raises ConfigError if that is none of `nets`."""
    _refuse_adapters(experiment)
    net = network(experiment)
    if not isinstance(net, nets):
        names = " or ".join(each.__name__ for each in nets)
        raise ConfigError(f"--layout={name} is of the network {names}, and net.name = {experiment.config.net.name}")
    return layout(net)


def _finish(out: Path, experiment: Experiment, params: Any, source: Path, ours: native.Native | None = None) -> None:
    """Writes the run; `ours`: the file that it comes from, if it is one of ours, which knows its training and its data."""
    params = native.require_finite(_like(experiment), params, str(source))
    step, data, moments = (ours.step, ours.data, ours.moments) if ours else (0, None, None)
    native.write_weights(out, experiment.config, params, experiment.shape, step, data, experiment.names, moments)
    size = sum(a.size for a in jax.tree.leaves(params))
    run = shlex.quote(str(out))
    say(f"{out}: {size} parameters; go on with sample, evaluate or train --config={run}/config.json --workdir={run}")


def form_of(source: Path) -> str | None:
    """Returns "native" or "diffusers" if the source shows that itself, else None."""
    if source.is_dir():
        return "native" if (source / native.FILE).is_file() else "diffusers" if diffusers.holds_model(source) else None
    with source.open("rb") as file:
        is_safetensors = file.read(9)[8:] == b"{"
    return "native" if is_safetensors and read_safetensors(source)[1].get("format") == native.FORMAT else None


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
        from configs import base  # no earlier: the folder of a config file comes before ours, and has another perhaps

        tree = base.get_config().to_dict() | {"title": source.name}
    else:
        raise ConfigError("say which images it is compared with: --config.data.name=cifar10, or --config=FILE")
    theirs = [f"--config.{key}={value!r}" for key, value in sections.items()]
    return override(tree, theirs + overrides)
