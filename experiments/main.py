"""python -m experiments {train,sample,interpolate,evaluate,compare} --config=FILE --workdir=DIR [--config.key=value ...]

python -m experiments matrix
python -m experiments import SOURCE OUT [--layout=NAME] [--weights=ema|raw] [--config=FILE] [--config.key=value ...]
python -m experiments export RUN OUT [--layout=NAME]
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

import jax
from pydantic import ValidationError

from experiments import config as configs
from experiments import interpolate, matrix, parallel
from experiments.bridge import native
from experiments.bridge.commands import EXPORTS, LAYOUTS, briefly, export_run, import_run
from experiments.build import Experiment, build
from experiments.checks import part_problems
from experiments.compare import compare, describe, reference, summary
from experiments.data import Dataset, load
from experiments.draw import drawing, first_shown, save_images
from experiments.errors import ConfigError, DataError, StorageError, UserError
from experiments.evaluate import evaluate
from experiments.fid import yardstick
from experiments.interrupt import Interrupted
from experiments.progress import say, warned
from experiments.quality import FeatureSpace, feature_space
from experiments.report import write
from experiments.schema import Config, Data
from experiments.sources import Sources, open_sources
from experiments.tiny import tiny
from experiments.train import State, imported, train, trained

COMMANDS = {
    "train": "train one experiment, or go on with it",
    "sample": "draw images from a trained run",
    "interpolate": "show what lies between held-out examples, by a trained run",
    "evaluate": "measure a trained run and write its report",
    "compare": "train and evaluate every arm of a config, in one report",
}


def main(argv: list[str] | None = None) -> int:
    """Runs a command; returns its exit code: 0 done, 2 config, 3 data, 4 numerics, 5 storage, 75 stopped and saved."""
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(
        prog="python -m experiments",
        description="Score-based diffusion from config files.",
        epilog="Any key of the config can be overridden: --config.train.steps=100 --config.sde.name=my_pkg.my_module:MySDE",
        allow_abbrev=False,
    )
    names = ",".join([*COMMANDS, "matrix", "import", "export"])
    commands = parser.add_subparsers(dest="command", required=True, metavar="{" + names + "}")
    about = "print which SDE, objective, draw of t, sampler and likelihood work together"
    commands.add_parser("matrix", help=about, description=about, allow_abbrev=False)
    _add_bridge(commands)
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        command.add_argument("--config", required=True, metavar="FILE", help="a file that defines get_config()")
        command.add_argument("--workdir", required=True, type=Path, metavar="DIR", help="where the run lives")
        command.add_argument(
            "--distributed",
            metavar="auto|HOST:PORT,N,I",
            help="one of several processes: as the cluster says (Slurm, TPU), or process I of N with its coordinator",
        )
    arguments, overrides = parser.parse_known_args(argv)
    if arguments.command == "matrix":
        if overrides:
            parser.error(f"matrix takes no {overrides[0]}")
        print(matrix.table())
        return 0
    logging.getLogger("absl").setLevel(logging.ERROR)  # what Orbax and TFDS have to say is ours to report
    try:
        if arguments.command in ("import", "export"):
            bridge(arguments, overrides)
            return 0
        if arguments.distributed:
            parallel.join(arguments.distributed)
        run(arguments.command, arguments.config, arguments.workdir, overrides, "python -m experiments " + " ".join(argv))
    except (UserError, Interrupted) as error:
        print(f"{arguments.command}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"{arguments.command}: interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return 75
    return 0


def _add_bridge(commands: Any) -> None:
    """The two commands between our runs and others' files."""
    text = "make a run of weights from elsewhere, or from export"
    command = commands.add_parser("import", help=text, description=text, allow_abbrev=False)
    command.add_argument("source", type=Path, metavar="SOURCE", help="a folder of diffusers or of ours, or a file of tensors")
    command.add_argument("out", type=Path, metavar="OUT", help="the run's folder, which is made")
    command.add_argument("--layout", metavar="NAME", help="whose names a file's tensors have: " + ", ".join(LAYOUTS))
    command.add_argument("--weights", choices=("ema", "raw"), help="the average of a file's parameters (the default), or not")
    command.add_argument("--config", metavar="FILE", help="the config of a file that says nothing of its network")
    text = "write a run's averaged parameters and config as a folder for elsewhere"
    command = commands.add_parser("export", help=text, description=text, allow_abbrev=False)
    command.add_argument("run", type=Path, metavar="RUN", help="the run's folder")
    command.add_argument("out", type=Path, metavar="OUT", help="the folder, which is made")
    command.add_argument("--layout", metavar="NAME", default="native", help="its form: " + ", ".join(["native", *EXPORTS]))


def bridge(arguments: argparse.Namespace, overrides: list[str]) -> None:
    """import or export."""
    out = arguments.out
    with briefly(out):
        if arguments.command == "export":
            export_run(arguments.run, out, arguments.layout, overrides)
        else:
            import_run(arguments.source, out, arguments.layout, arguments.weights, arguments.config, overrides)


def run(command: str, file: str, workdir: Path, overrides: list[str], line: str) -> None:
    """One command, from its words to its files."""
    tree = configs.read(file, overrides, {"tiny": tiny})
    arms = configs.arms(tree)
    if (command == "compare") != bool(arms):
        raise ConfigError(
            f"{file} has no arms: use train, sample, interpolate and evaluate, or give it config.arms"
            if command == "compare"
            else f"{file} compares {', '.join(arms)}: use compare, or a config without arms"
        )
    # Of its data, sampling needs no more than the shape, which weights from elsewhere say.
    weights = workdir / native.FILE
    shape = native.read(weights).shape if command == "sample" and weights.is_file() else None
    sources = judge(tree, arms, opening=shape is None)
    base = Config.model_validate(tree)
    data = load(sources, base.data, base.seed) if sources else None
    built: dict[str, Experiment] = {}
    problems: dict[str, list[str]] = {}
    for name, arm in (arms or {"": tree}).items():
        with warned():
            try:
                config = Config.model_validate(arm)
                if command in ("train", "compare") and (n := config.net.options.get("classes")):
                    remedy = "import takes them, and sampling is without a label"
                    raise ConfigError(f"net.classes = {n}: no config trains on labels yet; {remedy}")
                built[name] = build(config, data.shape if data else shape or ())
            except ConfigError as error:
                problems[name] = str(error).splitlines()
    if problems:
        shared = [line for line in next(iter(problems.values())) if all(line in lines for lines in problems.values())]
        raise ConfigError(shared + _by_arm(problems, known=shared) if len(problems) > 1 else _by_arm(problems, known=[]))
    space = feature_space(base, data) if data and command in ("evaluate", "compare") else None
    for name, experiment in built.items():
        settle(workdir / name, experiment.config, command)
    # What a run compiles, its next start and its other arms find again: in the user's own folder, for it is run as it is read.
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    jax.config.update("jax_compilation_cache_dir", str(cache / "onesde" / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    if data is None:
        sample(built[""], trained(built[""], workdir), workdir)
    elif command == "compare" and space:
        say(f"report: {compare(built, base, tree['arms'], data, space, workdir, line)}")
    else:
        single(command, built[""], data, space, workdir, line)


def judge(tree: dict[str, Any], arms: dict[str, dict[str, Any]], opening: bool = True) -> Sources | None:
    """The data's sources, if nothing is wrong with the config or any arm of it; else ConfigError with every problem at once.

    None unless they are for `opening`.
    """
    found = configs.problems(tree) + part_problems(tree) + configs.unlike(tree)
    found += _by_arm({name: configs.problems(arm) + part_problems(arm) for name, arm in arms.items()}, known=found)
    sources = None
    try:
        sources = open_sources(Data.model_validate(tree.get("data"))) if opening else None
    except ValidationError:
        pass  # among the schema's problems
    except DataError as error:
        found += [f"data: {line}" for line in str(error).splitlines()]
    if found:
        raise ConfigError(found)
    return sources


def _by_arm(problems: dict[str, list[str]], known: list[str]) -> list[str]:
    """The problems that are not known yet, each with its arm."""
    return [f"arms.{name}: {line}" if name else line for name, lines in problems.items() for line in lines if line not in known]


def single(command: str, experiment: Experiment, data: Dataset, space: FeatureSpace | None, workdir: Path, line: str) -> None:
    """train, sample, interpolate or evaluate."""
    config = experiment.config
    state = train(experiment, data, workdir) if command == "train" else trained(experiment, workdir)
    if command == "sample":
        sample(experiment, state, workdir)
    if command == "interpolate":
        path = workdir / "interpolation.png"
        interpolate.write(experiment, state.ema, data.test, path)
        say(f"{path}: {config.interpolate.pairs} pairs of held-out examples")
    if command == "evaluate" and space:
        real = yardstick(config, data, space, workdir)
        measured, pictures = evaluate(experiment, state.ema, data, real)
        baseline = reference(config, data, real)
        if jax.process_index() == 0:
            arm = describe("run", experiment, state, workdir) | measured
            results = summary(config, [arm], data, real, baseline, line, arm["train_seconds"])
            say(f"report: {write(workdir, results, {'run': pictures}, first_shown(experiment, data.test))}")
    say(f"{command}: done at step {int(state.step)}, in {workdir}")


def sample(experiment: Experiment, state: State, workdir: Path) -> None:
    """Draws a picture by the config's sampler."""
    config = experiment.config
    sampler = config.samplers[config.sample.sampler]
    drawn = drawing(experiment, sampler)(state.ema, config.sample.seed, config.sample.n, sampler.n)
    path = workdir / "samples" / f"{config.sample.sampler}_seed{config.sample.seed}.png"
    save_images(drawn, experiment, path)
    say(f"{path}: {config.sample.n} samples, NFE {drawn.nfe.mean():.0f}, {drawn.seconds:.1f} s")


def settle(run: Path, config: Config, command: str) -> None:
    """Writes the run's config.json, or refuses to go on with another experiment in its place."""
    path = run / "config.json"
    now = config.model_dump()
    if path.exists():
        changed = configs.changed(json.loads(path.read_text()), json.loads(json.dumps(now)))
        if imported(run):  # how it is trained further is yet to be said
            changed = [line for line in changed if not line.startswith("train.")]
        if changed:
            raise ConfigError([f"{run} is another experiment; take another --workdir, or undo:", *changed[:4]])
    elif command in ("sample", "interpolate", "evaluate"):
        raise StorageError(f"{run} holds no run: train it first, by the same command with `train`")
    if jax.process_index():
        return
    run.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(now, indent=2))
